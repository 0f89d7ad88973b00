"""What tests of commands share."""

from __future__ import annotations

import pytest

from conetheory.cli import main

QUICK = ["--limit", "1", "--vectors", "3"]


SMOKE = [*QUICK, "--positions", "3"]


CIFAR = ["csc", "cifar10_cnn", *QUICK]


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a bad request gets."""
    assert main(list(arguments)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("conetheory: ")
    return line
