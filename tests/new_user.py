"""A new user's first audit: a module of one's own, with a residual connection and batch norm, to a page.

Run as it is (`python - < tests/new_user.py`), so that nothing of a checkout can be imported; it writes
`page.html`.
"""

import torch
from torch import nn

import conetheory as ct


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16)

    def forward(self, x):
        return torch.relu(x + self.norm(self.conv(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.low, self.high = nn.Conv2d(3, 16, 3, padding=1), Block(), Block()
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(16, 10)

    def forward(self, x):
        y = self.high(self.pool(self.low(torch.relu(self.stem(x)))))
        return self.head(y.mean((2, 3)))


torch.manual_seed(0)
found = ct.audit(Net().eval(), torch.rand(2, 3, 32, 32), ["lrp-zplus", "gradient"], name="mine")
print(found.verdict)
found.report("page.html")
