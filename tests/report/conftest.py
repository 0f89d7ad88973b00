"""Made-up results of every kind and their page, written once."""

from __future__ import annotations

from pathlib import Path

import pytest

from conetheory.report import write_report
from tests.report import folders


@pytest.fixture(scope="session")
def results(tmp_path_factory) -> Path:
    """A folder of results of every kind; nothing is to be written there."""
    return folders.write(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="session")
def report(results, tmp_path_factory) -> Path:
    """Their page."""
    return write_report(results, tmp_path_factory.mktemp("page") / "report.html")
