"""A new user's first minute: a module of one's own, in a fresh process, to verdicts and a page.

With a residual connection and batch norm, two images of 32 x 32, two methods. Target on two idle cores: 60 s.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RUN = (Path(__file__).parents[1] / "new_user.py").read_text()


def test_a_new_users_first_audit(benchmark, tmp_path):
    def run():
        command = [sys.executable, "-"]
        done = subprocess.run(command, input=RUN, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    benchmark.pedantic(run, rounds=1)
    assert (tmp_path / "page.html").stat().st_size > 10_000
