"""The named methods: what a user types, and what theory may assume about it."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, fields
from typing import Any

from conetheory.errors import InputError
from conetheory.rules.alphabeta import AlphaBeta
from conetheory.rules.base import Rule


@dataclass(frozen=True)
class Method:
    """A rule with its parameters, and the properties of its matrices.

    linear: relevance below is a linear function of relevance above. nonnegative: every matrix is
    nonnegative, so the cone of nonnegative relevances is kept. sum_preserving: columns sum to one
    wherever both pools are non-empty.
    """

    name: str
    rule: Rule
    description: str
    source: str
    linear: bool = True
    nonnegative: bool = False
    sum_preserving: bool = False


_ALPHA_BETA = re.compile(r"lrp-alpha(\d+(?:\.\d+)?)beta(\d+(?:\.\d+)?)")
_ALIASES = {"lrp-zplus": "lrp-alpha1beta0", "lrp-z+": "lrp-alpha1beta0", "zplus": "lrp-alpha1beta0"}
NAMES = ("lrp-alpha1beta0", "lrp-alpha2beta1", "lrp-alpha5beta4")


def get_method(name: str, **parameters: Any) -> Method:
    """The method called `name` (`lrp-alpha1beta0`, any `lrp-alphaAbetaB` with A - B = 1, `lrp-zplus`).

    `parameters` are those of its rule (`bias`, `stabiliser`, `empty_pool`). Raises `InputError`.
    """
    match = _ALPHA_BETA.fullmatch(_ALIASES.get(name, name))
    if match is None:
        close = difflib.get_close_matches(name, [*NAMES, *_ALIASES], 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(NAMES)}, lrp-alphaAbetaB"
        raise InputError(f"unknown method {name!r}; {hint}")
    known = {f.name for f in fields(AlphaBeta)} - {"alpha", "beta"}
    if unknown := set(parameters) - known:
        raise InputError(
            f"method {name!r} has no parameter {sorted(unknown)[0]!r}; it has {', '.join(sorted(known))}"
        )
    rule = AlphaBeta(float(match[1]), float(match[2]), **parameters)
    return Method(
        name=match[0],
        rule=rule,
        description="positive contributions only (z+)"
        if rule.beta == 0
        else "positive minus negative contributions",
        source="Bach et al. 2015, eq. 60" + ("; Montavon et al. 2017 (z+)" if rule.beta == 0 else ""),
        nonnegative=rule.beta == 0 and rule.bias != "signed",
        sum_preserving=rule.bias == "none" and rule.stabiliser == 0,
    )


def methods() -> list[Method]:
    """All named methods."""
    return [get_method(name) for name in NAMES]
