"""The house: rooms that say what they are, files of one idea, and a page that is made without torch."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.report import folders

ROOT = Path(__file__).parents[1]
CODE = [
    p
    for part in ("conetheory", "experiments", "tests", "proofs")
    for p in sorted((ROOT / part).rglob("*.py"))
]
ROOMS = [p for p in (ROOT / "conetheory").rglob("__init__.py") if p.parent.name != "bundled"]
WITHOUT_TORCH = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
"""


def test_no_file_is_longer_than_400_lines():
    assert len(CODE) > 300
    lengths = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in CODE}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def test_digits_are_set_for_a_while_alone():
    """mpmath's, with `workdps`: set for good, they are those of every test that follows in the process."""
    assert [p for p in CODE if re.search(r"\bmp\.(dps|prec) =", p.read_text())] == []


@pytest.mark.parametrize(("given", "kept"), [({}, "1"), ({"THP_MEM_ALLOC_ENABLE": "0"}, "0")])
def test_large_pages_are_asked_for_unless_that_is_said_already(given, kept):
    code = "import conetheory, os, sys; sys.exit(os.environ['THP_MEM_ALLOC_ENABLE'] != sys.argv[1])"
    others = {k: v for k, v in os.environ.items() if k != "THP_MEM_ALLOC_ENABLE"}
    subprocess.run([sys.executable, "-c", code, kept], env=others | given, cwd=ROOT, check=True)


def test_every_room_says_what_it_is():
    assert len(ROOMS) > 10
    assert [p.parent.name for p in ROOMS if not ast.get_docstring(ast.parse(p.read_text()))] == []


@pytest.mark.parametrize("path", ROOMS, ids=lambda p: p.parent.name)
def test_what_a_room_exports_is_there_and_is_seen(path):
    """`__all__` resolves, `dir` shows it, and type checkers see each name imported."""
    room = import_module(".".join(path.parent.relative_to(ROOT).parts))
    assert set(room.__all__) <= set(dir(room))
    assert all(hasattr(room, name) for name in room.__all__)
    seen = {
        a.asname or a.name for n in ast.walk(ast.parse(path.read_text())) for a in getattr(n, "names", ())
    }
    here = {name for name, value in vars(room).items() if getattr(value, "__module__", "") == room.__name__}
    assert set(room.__all__) <= seen | here | {"FORMATS"}


def test_the_top_shows_its_public_names_and_nothing_else():
    import conetheory

    assert [name for name in dir(conetheory) if not name.startswith("_")] == sorted(conetheory.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        conetheory.nothing  # noqa: B018


def test_torchvision_is_imported_by_what_uses_it_alone():
    """Its import takes as long as torch's, and most commands need none of it.

    What has a subclass of one of its models is imported where a file holds such a one.
    """
    for path in set((ROOT / "conetheory").rglob("*.py")) - {ROOT / "conetheory/networks/vgg_trunk.py"}:
        assert not re.search(
            r"^(from|import) conetheory\.networks\.vgg_trunk", path.read_text(), re.MULTILINE
        )
        assert not re.search(r"^(from|import) torchvision", path.read_text(), re.MULTILINE), path


def test_no_test_imports_from_another():
    tests = [p for p in CODE if p.name.startswith("test_")]
    assert len(tests) > 50
    for path in tests:
        assert not re.search(r"^\s*from tests\S*\.test_\w+ import", path.read_text(), re.MULTILINE), path


@pytest.mark.parametrize("formats", [("html",), pytest.param(("md", "pdf"), marks=pytest.mark.exhaustive)])
@pytest.mark.slow
def test_a_report_is_made_without_torch(tmp_path, formats):
    folders.write(tmp_path)
    calls = [["report", str(tmp_path), "--format", format] for format in formats]
    code = f"{WITHOUT_TORCH}from conetheory.cli import main; sys.exit(sum(map(main, {calls})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / f"report.{format}").is_file() for format in formats)
