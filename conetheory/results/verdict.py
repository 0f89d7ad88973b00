"""The verdict: does an explanation depend on the decision that it is said to explain?

Two questions, asked of whatever evidence there is (`results.evidence`). *Do the channels remember?* How
far apart are the maps of two starts at a location of the input. *Does the map move?* How far apart are they
as a whole. From the two:

    the map stands still                        it does not depend on the decision
    channels forget, the map moves or unknown   it depends at most through a spatial weighting, of rank k
    channels remember                           it depends on the decision

Randomising the last layers decides only one way: a map that changes with them depends on them, but one that
stays similar may do so for other reasons (Binder et al., Shortcomings of top-down randomization-based sanity
checks for evaluations of deep neural network explanations, CVPR 2023). Evidence that says otherwise than the
verdict is kept and shown beside it.

A number that was measured has a 95% band, where its result has one. Where the verdict is not the same at both
ends of the bands that it rests on, it is borderline, and is given with them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product
from typing import Any

import xarray as xr

from conetheory.results import evidence
from conetheory.results.evidence import Evidence, Says
from conetheory.schema import KINDS


class Outcome(StrEnum):
    DEPENDS = "depends on the decision"
    SPATIAL = "only through a spatial weighting"
    BLIND = "does not depend on the decision"
    BORDERLINE = "borderline"
    OPEN = "not decided by this evidence"


@dataclass(frozen=True)
class Verdict:
    """The outcome for one method and network with what it rests on.

    Attributes
    ----------
    network, method
        by name.
    outcome
        of `Outcome`.
    rank
        dimensions that the maps of all classes fill, rounded up, where that was measured.
    collapsed_by
        from this layer down the channels have forgotten the start, by all of the 95% band where there is
        one.
    blind_above
        the lowest start layer that is so at the input; nothing above it is seen in the map, a spatial
        weighting aside.
    dead_from
        at this layer and below there is no relevance, so that there is no map to judge.
    evidence
        what it rests on.
    missing
        kinds of evidence that there was not.
    leans, borderline
        of a borderline verdict, the outcome without bands, and the evidence in whose bands its thresholds
        lie.
    """

    network: str
    method: str
    outcome: Outcome
    rank: int | None = None
    collapsed_by: str | None = None
    blind_above: str | None = None
    dead_from: str | None = None
    evidence: tuple[Evidence, ...] = ()
    missing: tuple[str, ...] = ()
    leans: Outcome | None = None
    borderline: tuple[Evidence, ...] = ()

    @property
    def text(self) -> str:
        if self.dead_from is not None:
            return f"no verdict: no relevance arrives at {self.dead_from}"
        if self.outcome is Outcome.BORDERLINE:
            return f"{self.outcome}: {' and '.join(map(_held, self.borderline))}"
        ranked = self.outcome is Outcome.SPATIAL and self.rank is not None
        return f"{self.outcome} of rank {self.rank}" if ranked else str(self.outcome)

    @property
    def against(self) -> tuple[Evidence, ...]:
        """Evidence that by itself says otherwise."""
        said = self.leans or self.outcome
        if said is Outcome.OPEN:
            return ()
        forgets = {
            "channels": said is not Outcome.DEPENDS,
            "map": said is Outcome.BLIND,
            "check": said is not Outcome.DEPENDS,
        }
        other = {about: Says.REMEMBERS if it_does else Says.FORGETS for about, it_does in forgets.items()}
        return tuple(e for e in self.evidence if e.says is other[e.about])

    def find(self, name: str) -> Evidence | None:
        """The evidence of a variable, None where there is none."""
        return next((e for e in self.evidence if e.name == name), None)

    def record(self) -> dict[str, Any]:
        """Plain data, as written to JSON."""
        kept = ("network", "method", "rank", "collapsed_by", "blind_above", "dead_from")
        return {
            **{name: getattr(self, name) for name in kept},
            "verdict": self.text,
            "outcome": self.outcome.name.lower(),
            "leans": self.leans and self.leans.name.lower(),
            "borderline": [e.record() for e in self.borderline],
            "evidence": [e.record() for e in self.evidence],
            "against": [e.label for e in self.against],
            "missing": list(self.missing),
        }


def verdicts(
    comparison: xr.Dataset | None = None, sanity: xr.Dataset | None = None, classes: xr.Dataset | None = None
) -> list[Verdict]:
    """A verdict for every method in results of one network; each of them is optional.

    Parameters
    ----------
    comparison
        as `Comparison.dataset` (method, start, layer).
    sanity
        `similarity_median(method, mode, layer, measure)`, layers from the output down.
    classes
        `movable_share(method, image)`, `effective_rank` and `class_distance_median`.

    Returns
    -------
    list of Verdict
        a verdict for each method.
    """
    given = [data for data in (comparison, sanity, classes) if data is not None]
    names = dict.fromkeys(str(m) for data in given for m in data["method"].values)
    network = str(given[0].attrs.get("network", "unnamed")) if given else ""
    return [decide(network, n, *(_of(data, n) for data in (comparison, sanity, classes))) for n in names]


def decide(
    network: str,
    method: str,
    comparison: xr.Dataset | None = None,
    sanity: xr.Dataset | None = None,
    classes: xr.Dataset | None = None,
) -> Verdict:
    """The verdict on one method, whose results these are: without the dimension `method`."""
    dead = evidence.dead_from(comparison)
    if dead is not None:
        return Verdict(network, method, Outcome.OPEN, dead_from=dead)
    one_valued = evidence.one_valued(comparison)
    found = (
        *(() if one_valued else evidence.of_channels(comparison)),
        *evidence.of_the_map(comparison, classes),
        *evidence.of_the_check(sanity),
    )
    missing = tuple(text for kind, text in KINDS.items() if kind not in {e.kind for e in found})
    outcome, held = _outcome(found, one_valued), _borderline(found, one_valued)
    verdict = Verdict(network, method, outcome, evidence=found, missing=missing)
    if held:
        verdict = replace(verdict, outcome=Outcome.BORDERLINE, leans=outcome, borderline=held)
    if comparison is not None:
        verdict = replace(
            verdict, collapsed_by=_collapsed_by(comparison), blind_above=_blind_above(comparison)
        )
    rank = evidence.median_over_images(classes, "effective_rank")
    if verdict.outcome is Outcome.SPATIAL and rank is not None:
        verdict = replace(verdict, rank=math.ceil(rank))
    return verdict


def to_json(found: Sequence[Verdict]) -> str:
    return json.dumps([verdict.record() for verdict in found], indent=2)


def _outcome(found: Sequence[Evidence], one_valued: bool = False) -> Outcome:
    """one_valued: the map has no channels that could forget, so that it is judged as a whole."""
    channels, whole, check = (_vote(found, about) for about in ("channels", "map", "check"))
    if whole is Says.FORGETS:
        return Outcome.BLIND
    if channels is Says.FORGETS:
        return Outcome.SPATIAL
    if Says.REMEMBERS in (channels, check) or (one_valued and whole is Says.REMEMBERS):
        return Outcome.DEPENDS
    return Outcome.OPEN


def _borderline(found: Sequence[Evidence], one_valued: bool = False) -> tuple[Evidence, ...]:
    """The evidence on whose band the outcome hangs: that changes it alone, else that does so together."""
    outcome = _outcome(found, one_valued)
    held = [e for e in found if e.borderline]
    alone = [e for e in held if any(_outcome(one, one_valued) is not outcome for one in _varied(found, [e]))]
    if alone:
        return tuple(alone)
    other = any(_outcome(one, one_valued) is not outcome for one in _varied(found, held))
    return tuple(held) if other else ()


def _varied(found: Sequence[Evidence], held: Sequence[Evidence]) -> Iterator[list[Evidence]]:
    """The evidence with some of it saying what the ends of its bands say."""
    for says in product(*({e.says, *e.ends} for e in held)):
        chosen = {id(e): said for e, said in zip(held, says, strict=True)}
        yield [replace(e, says=chosen.get(id(e), e.says)) for e in found]


def _held(e: Evidence) -> str:
    lower, upper = e.band or (e.value, e.value)
    return f"95% band [{lower:.2g}, {upper:.2g}] holds {e.threshold:.2g}"


def _vote(found: Sequence[Evidence], about: str) -> Says:
    """What the first piece of evidence that decides says."""
    votes = (e.says for e in found if e.about == about and e.says is not Says.NOTHING)
    return next(votes, Says.NOTHING)


def _collapsed_by(data: xr.Dataset) -> str | None:
    """The highest layer from which on, down to the input, the channels have forgotten the highest start."""
    one = evidence.from_the_top(data)
    known = [
        (str(label), f)
        for label, f in zip(one["label"].values, evidence.forgotten(one), strict=True)
        if f is not None
    ]
    name = None
    for label, forgets in reversed(known):
        if not forgets:
            break
        name = label
    return name


def _blind_above(data: xr.Dataset) -> str | None:
    """The lowest start layer of which the lowest layer knows nothing any more."""
    known = {
        str(s): [f for f in evidence.forgotten(data.sel(start=s)) if f is not None]
        for s in data["start"].values
    }
    blind = [start for start, layers in known.items() if layers and layers[-1]]
    return max(blind, key=lambda start: evidence.depth(data, start), default=None)


def _of(data: xr.Dataset | None, method: str) -> xr.Dataset | None:
    return data.sel({"method": method}) if data is not None and method in data["method"].values else None
