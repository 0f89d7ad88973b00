"""The registered theories: what each predicts, needs, and applies to."""

from __future__ import annotations

import inspect

from conetheory.predict.registry import applies, theories
from conetheory.rules.registry import methods
from docs.made.markdown import prose, sections, table

INTRODUCTION = """# Theories

A theory predicts the median deficit at every layer. `conetheory compare` runs what a budget affords;
`--theory NAME` asks for one by name. [Scores](scores.md) hold each against the measurement, and [a
tutorial](tutorials/new-theory.md) adds one."""


def pages() -> dict[str, str]:
    known = theories()
    rows = [
        (
            f"[{name}](#{name})",
            theory.label,
            "yes" if theory.by_default else "by name only",
            "the drawn vectors" if theory.of_drawn_vectors else "the law",
            str(sum(applies(name, method) is None for method in methods())),
        )
        for name, theory in known.items()
    ]
    headings = ("theory", "label", "run by default", "predicts for", "methods")
    details = [
        part
        for name, theory in known.items()
        for part in (f"## {name}", prose(inspect.cleandoc(theory.__doc__ or "")), _module(theory))
    ]
    return {"theories.md": sections(INTRODUCTION, table(headings, rows), *details)}


def _module(theory: type) -> str:
    module = inspect.getmodule(theory)
    said = inspect.cleandoc((module and module.__doc__) or "")
    return prose(said) if said else ""
