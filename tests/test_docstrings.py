"""Everything public says what it takes, gives and raises, in the sections that its signature asks for."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests import numpydoc

PACKAGE = Path(__file__).parents[1] / "conetheory"
ROOMS = ["conetheory", *sorted(f"conetheory.{p.parent.name}" for p in PACKAGE.glob("*/__init__.py"))]
ALONE = [
    f"conetheory.{name}"
    for name in ("simulate", "simulate_conv", "errors", "counts", "progress", "references")
]


def public() -> dict[str, Any]:
    """`{module:name: function, class or method}` of what rooms export, of modules what they define."""
    found: dict[str, Any] = {}
    for name in [*ROOMS, *ALONE]:
        room = import_module(name)
        exported = (
            [(n, getattr(room, n)) for n in room.__all__] if name in ROOMS else numpydoc.of_module(room)
        )
        for own, thing in exported:
            inside = list(numpydoc.of_module(thing)) if isinstance(thing, ModuleType) else [(own, thing)]
            for _, each in inside:
                if inspect.isfunction(each) or inspect.isclass(each):
                    found[f"{each.__module__}:{each.__qualname__}"] = each
                if inspect.isclass(each):
                    found |= {f"{each.__module__}:{label}": each_ for label, each_ in numpydoc.methods(each)}
    return {key: thing for key, thing in sorted(found.items()) if key.startswith("conetheory")}


PUBLIC = public()


def test_what_is_public_is_found():
    assert len(PUBLIC) > 300


@pytest.mark.parametrize("module", sorted({key.partition(":")[0] for key in PUBLIC}))
def test_it_has_the_sections_that_its_signature_asks_for(module):
    wrong = {key: numpydoc.wrong(PUBLIC[key]) for key in PUBLIC if key.startswith(f"{module}:")}
    assert {key: said for key, said in wrong.items() if said} == {}
