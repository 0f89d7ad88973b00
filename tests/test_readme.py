"""The README is true: its example runs, its commands exist, its table of theorems is the registry."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from conetheory.chain.relevance import RelevanceChain
from conetheory.cli.app import COMMANDS
from conetheory.cli.listings import theorem_markdown
from conetheory.rules import registry
from conetheory.theory.theorems import THEOREMS
from tests.toys import graph, images

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_example_fits_in_15_lines():
    block, _ = BLOCKS
    assert len([line for line in block.splitlines() if line.strip()]) <= 15
    compile(block, "README.md", "exec")


@pytest.mark.slow
def test_the_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    block, _ = BLOCKS
    exec(compile(block, "README.md", "exec"), {})
    assert (tmp_path / "csc.png").is_file()
    printed = capsys.readouterr().out
    assert "'violations': 0" in printed
    assert (tmp_path / "report.html").is_file()
    assert "(1024, 10)" in printed


def test_a_new_rule_is_one_class_of_20_lines(capsys):
    """It runs, keeps the cone and the sums as it says, and leaves the registry when it is done."""
    _, block = BLOCKS
    rule = block.split("@register")[1].split("net =")[0]
    assert len([line for line in rule.splitlines() if line.strip()]) <= 20
    try:
        exec(compile(block, "README.md", "exec"), {})
        found = RelevanceChain(graph("linear alone, signed input"), images().abs(), "sqrt-plus")
        C = found.as_matrix("logits")
        assert (C >= 0).all()
        np.testing.assert_allclose(C.sum(0), 1, rtol=1e-12)
    finally:
        registry._ENTRIES.pop("sqrt-plus", None)
    assert len(capsys.readouterr().out.split()) >= 9


def test_every_command_is_listed():
    listed = set(
        re.findall(r"`(?:conetheory )?([a-z]+)[^`]*`", README.split("## Commands")[1].split("```")[0])
    )
    assert set(COMMANDS) <= listed


def test_the_table_of_theorems_is_the_registry():
    table = re.search(r"<!-- theorems -->\n(.*?)\n<!-- /theorems -->", README, re.DOTALL)[1]
    assert table == theorem_markdown(list(THEOREMS.values())), "paste `conetheory theorems --markdown`"
