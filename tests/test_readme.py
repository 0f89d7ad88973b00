"""The README is true and short: its table is what results say, and its words lead somewhere.

Its code runs in `tests/docs/test_code.py`, its links are followed in `tests/docs/test_made.py`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.made import site

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_it_is_short_and_begins_with_verdicts():
    lines = README.splitlines()
    assert len(lines) <= 125
    assert lines.index("<!-- made: verdicts -->") < 20


@pytest.mark.parametrize(
    ("path", "names"),
    {
        "README.md": ["verdicts"],
        "experiments/README.md": [
            *("paper-deficits", "paper-random-weights", "paper-predictions"),
            *("paper-randomised", "paper-classes", "paper-two-classes"),
        ],
    }.items(),
)
def test_tables_are_what_results_say(path, names):
    text = (ROOT / path).read_text()
    held = re.findall(r"<!-- made: ([\w-]+) -->\n(.*?)\n<!-- /made -->", text, re.DOTALL)
    assert [name for name, _ in held] == names
    for name, table in held:
        assert table == site.TABLES[name](), f"put what docs.made makes of {name!r} between its marks"


def test_its_targets_of_make_exist():
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    rows = README.split("| make | what it does |")[1].split("\n## ")[0]
    named = {
        name
        for row in re.findall(r"^\| (`[^|]*`) \|", rows, re.MULTILINE)
        for name in re.findall(r"`([\w-]+)`", row)
    }
    assert named == known - {"coq"}
