"""What a variable of a result is, and what a theory is to results; the names of dimensions and units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

VERSION = 2  # of what files say; 1 are those without attributes
INPUT = "input"  # the layer that is the image
DIMS = ("method", "start", "layer")
SIDES = ("lower", "upper")
BANDED = (*DIMS, "side")
ABOVE, CROSSING = "above", "crossing"  # of a layer: the one whose relevance it gets, and what lies between
# coordinates that describe others, and number nothing
LABELS = ("label", "depth", "rule", "family", ABOVE, CROSSING)
STAGE = "stage"  # of a plan: measure, a theory by name, certify
RESIDUAL, PROJECTION, STRIDE = "residual block", "projection block", ", stride "  # in crossings
WEIGHTS = "network_weights_sha256"  # the attribute that tells networks apart
UNNAMED = "unnamed"  # a network that nobody named
DEFICIT, DECADES, COUNT, SHARE, NUMBER = "deficit", "decades", "count", "share", "1"
FORMULA = "1 - |cos|"  # of a deficit, wherever it is said

Side = Literal["measured", "estimate", "lower", "upper", "exact", "text"]


@dataclass(frozen=True)
class Variable:
    """A variable of a result: what it is, in what unit, and on which side.

    Attributes
    ----------
    name
        in the dataset.
    label
        at the head of a column.
    meaning
        in a sentence.
    dims
        beside what its dataset always has.
    unit
        one of the names above.
    side
        `measured` from a sample, `estimate` without a guarantee, `lower` and `upper` bounds that are
        certain or hold with the stated probability, `exact` a count or what was asked for, `text` a
        reason.
    part
        of `KINDS`, for what a comparison is made of.
    theory, rank
        of a prediction, the theory's name and its place among theories.
    theorem
        what it rests on, by its id in `theory.theorems`.
    """

    name: str
    label: str
    meaning: str
    dims: tuple[str, ...] = DIMS
    unit: str = DEFICIT
    side: Side = "measured"
    part: str = ""
    theory: str = ""
    rank: int = -1
    theorem: str = ""

    @property
    def attributes(self) -> dict[str, Any]:
        """As files carry it."""
        said = {"long_name": self.meaning, "units": self.unit, "label": self.label, "side": self.side}
        said |= {"part": self.part} if self.part else {}
        said |= {"theorem": self.theorem} if self.theorem else {}
        return said | ({"theory": self.theory, "rank": self.rank} if self.theory else {})


@dataclass(frozen=True)
class Theory:
    """What results say of a theory.

    Attributes
    ----------
    name
        as a user types it.
    label
        in tables and figures.
    rank
        its place among theories.
    """

    name: str
    label: str
    rank: int

    @property
    def key(self) -> str:
        return self.name.replace("-", "_")

    @property
    def predicted(self) -> str:
        return f"predicted_{self.key}"

    @property
    def error(self) -> str:
        return f"error_decades_{self.key}"

    @property
    def variables(self) -> tuple[Variable, ...]:
        common = {"side": "estimate", "part": "predicted", "theory": self.name, "rank": self.rank}
        median = f"median deficit by {self.label}"
        return (
            Variable(self.predicted, self.label, median, **common),
            Variable(f"{self.predicted}_band", self.label, f"95% band of the {median}", BANDED, **common),
            Variable(self.error, self.label, "log10(predicted / measured)", unit=DECADES, **common),
        )
