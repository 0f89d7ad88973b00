"""The README is true: its example runs, its commands exist, its table of theorems is the registry."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib

from conetheory.cli.app import app
from conetheory.cli.listings import theorem_markdown
from conetheory.theory.theorems import THEOREMS

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_example_runs_and_fits_in_15_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in block.splitlines() if line.strip()]) <= 15
    exec(compile(block, "README.md", "exec"), {})
    assert (tmp_path / "csc.png").is_file()
    printed = capsys.readouterr().out
    assert "'violations': None" in printed
    assert "(1024, 10)" in printed


def test_every_command_is_listed():
    names = {command.name for command in app.registered_commands}
    listed = set(
        re.findall(r"`(?:conetheory )?([a-z]+)[^`]*`", README.split("## Commands")[1].split("```")[0])
    )
    assert names <= listed


def test_the_table_of_theorems_is_the_registry():
    table = re.search(r"<!-- theorems -->\n(.*?)\n<!-- /theorems -->", README, re.DOTALL)[1]
    assert table == theorem_markdown(list(THEOREMS.values())), "paste `conetheory theorems --markdown`"
