"""Progress in a notebook's cell, and one set of defaults for Python and the command line."""

from __future__ import annotations

import inspect
import sys
from dataclasses import fields
from types import SimpleNamespace

import pytest
from rich.console import Console

import conetheory as ct
from conetheory.cli.options import Drawing, MethodOptions, Placement, SampleOptions
from conetheory.runs import progress
from conetheory.runs.settings import Settings


@pytest.fixture
def cell(monkeypatch):
    """A notebook's output: what its display was updated with."""
    drawn: list[str] = []
    handle = SimpleNamespace(update=drawn.append)
    module = SimpleNamespace(HTML=str, display=lambda html, display_id: drawn.append(html) or handle)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(Console, "is_jupyter", True, raising=False)
    monkeypatch.setattr(progress, "Console", lambda **_: SimpleNamespace(is_jupyter=True, is_terminal=False))
    return drawn


def test_a_notebook_gets_bars_that_go_when_the_work_is_done(cell):
    with progress.shown() as tell:
        tell("measure", 1, 4)
        tell("a < b", 4, 4)
    assert cell[0] == ""
    assert '<progress value="4" max="4"></progress> a &lt; b: 4 of 4' in cell[-2]
    assert "measure: 1 of 4" in cell[-2]
    assert cell[-1] == ""


def test_bars_go_when_the_work_fails(cell):
    def fails(tell):
        tell("measure", 1, 4)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), progress.shown() as tell:
        fails(tell)
    assert cell[-1] == ""


def test_bars_are_not_drawn_at_every_step(cell, monkeypatch):
    monkeypatch.setattr(progress.time, "monotonic", lambda: 100.0)
    with progress.shown() as tell:
        for step in range(1000):
            tell("measure", step, 1000)
    assert len(cell) < 5


def test_python_has_the_defaults_of_the_command_line():
    settings = {field.name: field.default for field in fields(Settings)}
    drawn, audit = Drawing(), inspect.signature(ct.audit).parameters
    assert (settings["vectors"], settings["seed"]) == (drawn.vectors, drawn.seed)
    assert settings["positions"] == SampleOptions().positions
    assert str(settings["dtype"]) == f"torch.{Placement().dtype}"
    assert audit["device"].default == Placement().device
    assert audit["methods"].default == MethodOptions().method
    for function in (ct.measure_csc, ct.predict_csc):
        found = inspect.signature(function).parameters
        assert (found["vectors"].default, found["seed"].default) == (drawn.vectors, drawn.seed)
