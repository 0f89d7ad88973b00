"""CONTRIBUTING's three paths work as they are written: a rule, a theory, a theorem.

The quick tests run the examples here; the slow ones follow each path in a copy of the checkout, with the
commands that it names.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from conetheory.chain.relevance import RelevanceChain
from conetheory.predict import Theory, predict_csc
from conetheory.predict import registry as theories
from conetheory.rules import registry as rules
from conetheory.theory.theorems import THEOREMS, Theorem, _entry
from tests.toys import chain, graph, images

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
FENCED = r"^( *)```{kind}\n(.*?)^\1```$"
LEFT_OUT = shutil.ignore_patterns(".*", "out", "__pycache__")


def path_of(name: str) -> str:
    """The section that leads to a rule, a theory or a theorem."""
    return TEXT.split(f"\n## A {name}\n")[1].split("\n## ")[0]


def blocks(section: str, kind: str) -> list[str]:
    return [dedent(text) for _, text in re.findall(FENCED.format(kind=kind), section, re.M | re.S)]


def example(section: str) -> tuple[str, str]:
    """The file that a path begins with: its name and what is in it."""
    (path,) = re.findall(r"^ *`((?:conetheory|proofs)/\w+(?:/\w+)?\.py)`$", section, re.MULTILINE)
    return path, blocks(section, "python")[0]


def run(section: str) -> dict[str, object]:
    path, code = example(section)
    found: dict[str, object] = {}
    exec(compile(code, path, "exec"), found)
    return found


@pytest.mark.parametrize("name", ["rule", "theory", "theorem"])
def test_the_examples_fit_the_width_of_a_line(name):
    (width,) = re.findall(r"^line-length = (\d+)$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    found = [line for code in blocks(path_of(name), "python") for line in code.splitlines()]
    assert found
    assert [line for line in found if len(line) > int(width)] == []


def test_a_rule():
    try:
        run(path_of("rule"))
        assert rules.find("lrp-absolute").equation  # which the site's test asks of each method
        C = RelevanceChain(graph("residual of signed branches"), images(), "lrp-absolute").as_matrix("logits")
        assert (C >= 0).all()
        np.testing.assert_allclose(C.sum(0), 1, rtol=1e-12)
    finally:
        rules._ENTRIES.pop("lrp-absolute", None)


def test_a_theory():
    """It is not below the exact law's median at a location, and so where there is one location."""
    try:
        (theory,) = [it for name, it in run(path_of("theory")).items() if name == "StableRank"]
        said = {name for name in vars(theory) if not name.startswith("_")}
        assert said <= {*dir(Theory), *Theory.__annotations__}  # nothing that nobody asks a theory for
        toy = chain("linear alone, signed input")
        assert theory("logits").cost(toy).passes == toy.graph.classes
        found = predict_csc(toy, theory=["stable-rank", "local-spectrum"]).dataset
        bound, exact = found["predicted_stable_rank"].values, found["predicted_local_spectrum"].values
        assert np.isfinite(bound).any()
        assert (bound >= exact)[np.isfinite(bound)].all()
    finally:
        theories.unregister("stable-rank")


def test_a_theorem():
    checks = [item for name, item in run(path_of("theorem")).items() if name.startswith("test_")]
    assert len(checks) >= 2
    for check in checks:
        check()
    entry = _written_entry()
    assert example(path_of("theorem"))[0] == entry.proof
    assert entry.id not in THEOREMS


def _written_entry() -> Theorem:
    (text,) = [block for block in blocks(path_of("theorem"), "python") if block.startswith("_entry(")]
    return eval(text, {"_entry": _entry})


# ---------------------------------------------------------------- the whole paths


def follow(section: str, copy: Path) -> None:
    """The example's file into the copy, then the path's commands."""
    path, code = example(section)
    (copy / path).write_text(code)
    for command in "\n".join(blocks(section, "bash")).splitlines():
        program, *arguments = re.findall(r'"[^"]*"|\S+', command)
        module = [] if program == "python" else ["-m", "conetheory.cli"]
        done = subprocess.run(
            [sys.executable, *module, *(a.strip('"') for a in arguments)],
            capture_output=True,
            text=True,
            cwd=copy,
            env=os.environ | {"PYTHONPATH": str(copy)},
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(ROOT, tmp_path / "copy", ignore=LEFT_OUT))


@pytest.mark.exhaustive
@pytest.mark.parametrize(("name", "room"), [("rule", "rules"), ("theory", "predict")])
def test_the_path_to_a_rule_and_to_a_theory(copy, name, room):
    module = Path(example(path_of(name))[0]).stem
    registry = copy / "conetheory" / room / "registry.py"
    text = registry.read_text()
    registry.write_text(
        re.sub(r"^(BUILTIN = \(.*?)^\)", rf'\1    "{module}",\n)', text, count=1, flags=re.M | re.S)
    )
    follow(path_of(name), copy)


@pytest.mark.exhaustive
def test_the_path_to_a_theorem(copy):
    (text,) = [block for block in blocks(path_of("theorem"), "python") if block.startswith("_entry(")]
    replaced(
        copy / "conetheory/theory/theorems.py", "\n)\n\nTHEOREMS", f"\n    {text.strip()},\n)\n\nTHEOREMS"
    )
    follow(path_of("theorem"), copy)
