"""A theorem as the package speaks of it: what it states, and where it is proved, coded and tested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["proved here", "cited", "estimate", "conjecture"]


@dataclass(frozen=True)
class Theorem:
    """A statement, where it is from, and where it is proved, coded and tested.

    Attributes
    ----------
    id
        as commands and docstrings have it.
    title, statement, hypotheses
        no wider than the proof.
    source
        authors and year, or new here.
    status
        proved here, cited, an estimate or a conjecture.
    functions
        dotted names.
    proof, test
        paths from the root of the repository.
    machine_checked
        the path of the Coq file that proves the theorem formally, or None. Its head, and
        `proofs/README.md`, say which parts of the statement it covers.
    """

    id: str
    title: str
    statement: str
    hypotheses: str
    source: str
    status: Status
    functions: tuple[str, ...]
    proof: str
    test: str
    machine_checked: str | None = None


def entry(id: str, functions: str, test: str, status: Status = "proved here", **text: str) -> Theorem:
    """A theorem from what its names follow from.

    Parameters
    ----------
    id
        which its file in `proofs` is named after.
    functions
        of `conetheory.theory`, as `module.function`, with spaces between.
    test
        a file of `tests/theory`, or `../ROOM/FILE`.
    status
        as in `Theorem`.
    **text
        its other fields.

    Returns
    -------
    Theorem
        with all paths.
    """
    dotted = tuple(f"conetheory.theory.{name}" for name in functions.split())
    proof = f"proofs/test_{id.replace('-', '_')}.py"
    where = f"tests/{test[3:]}" if test.startswith("../") else f"tests/theory/{test}"
    return Theorem(id=id, functions=dotted, proof=proof, test=where, status=status, **text)
