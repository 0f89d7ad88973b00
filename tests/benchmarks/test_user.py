"""A new user's first minute: a module of one's own, in a fresh process, to verdicts and a page.

With a residual connection and batch norm, two images of 32 x 32, two methods. Target on two idle cores: 60 s.
"""

from __future__ import annotations

import subprocess
import sys

RUN = """
import torch
from torch import nn
import conetheory as ct

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16)

    def forward(self, x):
        return torch.relu(x + self.norm(self.conv(x)))

torch.manual_seed(0)
body = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), Block(), nn.MaxPool2d(2), Block(), nn.AdaptiveAvgPool2d(1)]
model = nn.Sequential(*body, nn.Flatten(), nn.Linear(16, 10)).eval()
found = ct.audit(model, torch.rand(2, 3, 32, 32), ["lrp-zplus", "gradient"], name="mine")
print(found.verdict)
found.report("page.html")
"""


def test_a_new_users_first_audit(benchmark, tmp_path):
    def run():
        done = subprocess.run([sys.executable, "-c", RUN], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    benchmark.pedantic(run, rounds=1)
    assert (tmp_path / "page.html").stat().st_size > 10_000
