"""The registry holds: every name in it exists, and nothing proved is left out."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from conetheory.errors import InputError
from conetheory.theory.theorems import THEOREMS, Theorem, theorem

ROOT = Path(__file__).parents[2]
REQUIRED = {
    "birkhoff-hopf",
    "metric-to-cosine",
    "half-angle",
    "generators",
    "tau1",
    "scrambling",
    "h-transform",
    "gaussian-law",
    "collatz-wielandt",
    "z-plus-image-dependence",
    "mean-field",
    "critical-alpha",
    "local-csc-certificate",
    "two-scale",
}


@pytest.fixture(params=THEOREMS.values(), ids=THEOREMS.keys())
def entry(request: pytest.FixtureRequest) -> Theorem:
    return request.param


def resolve(dotted: str) -> object:
    """The object of a dotted name: a module, or an attribute of one."""
    try:
        return import_module(dotted)
    except ModuleNotFoundError as error:
        module, _, name = dotted.rpartition(".")
        if error.name != dotted:
            raise
        return getattr(import_module(module), name)


def test_functions_exist(entry: Theorem) -> None:
    assert entry.functions
    for dotted in entry.functions:
        assert resolve(dotted).__doc__, f"{dotted} has no docstring"


def test_files_exist(entry: Theorem) -> None:
    assert (ROOT / entry.proof).is_file()
    assert (ROOT / entry.test).is_file()


def test_the_proof_is_prose_and_checks(entry: Theorem) -> None:
    text = (ROOT / entry.proof).read_text()
    title, *body = text.split('"""')[1].strip().splitlines()
    assert title
    assert len(" ".join(body).split()) > 100, "statement, source and proof take more than 100 words"
    assert text.count("\ndef test_") >= 2, "a proof has two tests or more"


def test_every_proof_is_registered() -> None:
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "proofs").glob("test_*.py")}
    assert files == {entry.proof for entry in THEOREMS.values()}


def test_entries_are_complete() -> None:
    assert set(THEOREMS) >= REQUIRED
    for key, entry in THEOREMS.items():
        assert key == entry.id
        assert entry.status in ("proved here", "cited", "estimate", "conjecture")
        assert all((entry.title, entry.statement, entry.hypotheses, entry.source))


def test_unknown_theorem_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="half-angle"):
        theorem("riemann")
