"""What a method says of itself: the properties that theory may assume, and parameters that are checked."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import ClassVar

from conetheory.rules.parameters import check_parameters


class Traits:
    """The base of `Rule` and `Explainer`. A method says what it is; nothing is guessed from its class.

    is_linear: the map is linear in the relevance (else it has no adjoint and no spectrum).
    is_nonnegative: every matrix is nonnegative, so the cone of nonnegative relevances is kept.
    is_sum_preserving: columns sum to one where all pools are filled.
    has_fixed_pattern: every matrix is `diag N diag`, with N a matrix of the weights alone and positive
        diagonals on what is alive, for all images with the same active units, pool winners and input signs;
        and what is sent down is the relevance itself, one number a unit. Then, and only then, block and
        image-free certificates speak of it.
    rectifies: relevance passes a ReLU or a threshold at each activation, as a `maps.Rectifier`, and linear
        maps between them (the mean field of `theory.rectified` applies).
    reduce: how the channels of a map become one picture, `sum` or `absmax` (of the paper).
    """

    is_linear: ClassVar[bool] = True
    is_nonnegative: ClassVar[bool] = False
    is_sum_preserving: ClassVar[bool] = False
    has_fixed_pattern: ClassVar[bool] = False
    rectifies: ClassVar[bool] = False
    reduce: ClassVar[str] = "sum"

    @property
    def mass(self) -> float | None:
        """A bound of the absolute column sums of the pools that an operation's matrix is a combination of.

        `alpha Z+ - beta Z-` has alpha + beta: what rounding is held against. None where none is known.
        """
        return 1.0 if self.is_linear and self.is_nonnegative and self.is_sum_preserving else None

    def __post_init__(self) -> None:
        """Hold a dataclass's parameters against their annotations. Raises `InputError`."""
        if is_dataclass(self):
            given = {field.name: getattr(self, field.name) for field in fields(self) if field.init}
            check_parameters(type(self).__name__, type(self), given)
