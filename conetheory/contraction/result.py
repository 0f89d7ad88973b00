"""Rates as a dataset: a row for each operation, from the start down."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from conetheory.chain.relevance import RelevanceChain
from conetheory.contraction.block import Block, above
from conetheory.contraction.layer import Ratio
from conetheory.contraction.record import LEFT_OUT, Record
from conetheory.contraction.sided import Sided, absent
from conetheory.contraction.study import Survey
from conetheory.counts import DEFAULT_VECTORS
from conetheory.errors import InputError
from conetheory.predict.states import applies_to_relevance
from conetheory.progress import Progress, silent
from conetheory.results.dataset import Result
from conetheory.results.layout import frame, provenance
from conetheory.schema import DIMS, declare
from conetheory.schema.rates import lost


class Rates(Result):
    """`dataset` has the numbers (`rate_*`) and each operation's `rate_record`; `records` are these, read."""

    kind = "rates"

    @property
    def records(self) -> list[dict[str, Any]]:
        """One for each operation: size, density, `birkhoff`, `tau_1`, `sigma`, `lyapunov`, ... with sides."""
        texts = self.dataset["rate_record"].isel(method=0, start=0).values
        return [json.loads(text) for text in texts if isinstance(text, str) and text]

    @property
    def left_out(self) -> dict[str, float]:
        """What was left out for its cost, and that cost in vectors through the chain."""
        return json.loads(str(self.dataset["rate_left_out"].values[0]))

    @property
    def spent(self) -> float:
        """Vectors through the chain that were spent."""
        return float(self.dataset["rate_passes"].values[0])


def rates(
    chain: RelevanceChain,
    start: str = "logits",
    *,
    vectors: int = DEFAULT_VECTORS,
    seed: int = 0,
    passes: float | None = None,
    progress: Progress = silent,
) -> Rates:
    """The rates of contraction of a chain's first image, operation by operation (see `record.Record`).

    Parameters
    ----------
    chain
        of whose images the first is taken.
    start
        the layer where relevance starts.
    vectors
        of the measured curve and of the probes.
    seed
        of the same.
    passes
        vectors through the whole chain that may be spent, `math.inf` for everything, None for as many as
        cost what 400 do on VGG-16; what they don't suffice for is named in `left_out`.
    progress
        is told of each operation that is done.

    Returns
    -------
    Rates
        bounds, exact values and estimates by operation, each with its side.

    Raises
    ------
    InputError
        for a method that is not linear in the relevance, or whose state is more than relevance.
    """
    if (reason := applies_to_relevance(chain.method)) is not None:
        raise InputError(f"no rates: {reason.reason}")
    if chain.carries_state:
        raise InputError(f"no rates: {chain.method.name} carries more than relevance from layer to layer")
    survey = Survey(chain, start, vectors=vectors, seed=seed, passes=passes, progress=progress)
    records = survey.run()
    numbers = {r.name: _numbers(chain, start, r) for r in records}
    variables = dict.fromkeys(name for each in numbers.values() for name in each)
    declare([lost(source) for r in records for source in r.lost])
    values: dict[str, dict[tuple[str, str], Any]]
    values = {v: {(start, r): each[v].value for r, each in numbers.items() if v in each} for v in variables}
    data = frame(chain.graph, chain.method, [start], [r.name for r in records], values)
    texts = {r.name: json.dumps(r.as_json()) for r in records}
    reasons = {name: json.dumps(_reasons(each)) for name, each in numbers.items()}
    for variable, text in (("rate_record", texts), ("rate_absent", reasons)):
        data[variable] = (DIMS, np.array([[[text[name] for name in data["layer"].values]]]))
    data["rate_left_out"] = ("method", [json.dumps(survey.budget.left_out)])
    data["rate_passes"] = ("method", [survey.budget.spent])
    settings = {"vectors": vectors, "seed": seed, "passes": survey.budget.limit}
    return Rates(data.assign_attrs(provenance(chain.network, **settings)))


def _reasons(numbers: Mapping[str, Sided]) -> dict[str, str]:
    """Why variables of an operation have no number."""
    return {name: found.why or "unknown" for name, found in numbers.items() if math.isnan(found.value)}


def _numbers(chain: RelevanceChain, start: str, r: Record) -> dict[str, Sided]:
    """The variables of one operation."""
    return {
        "rate_rows": Sided(r.size.rows, "exact"),
        "rate_columns": Sided(r.size.columns, "exact"),
        "rate_density": Sided(r.size.density, "exact", "the method's pattern does not count entries"),
        "rate_sum_error": Sided(r.sum_error, "measured"),
        "rate_scrambling": _met(r),
        "rate_diameter": r.diameter,
        "rate_birkhoff": r.coefficient,
        "rate_tau_1_upper": r.tau_1,
        **_of_block(chain, start, r.block),
        **_of_sigma(r),
        "rate_lyapunov": r.gap_gained,
        "rate_lyapunov_gap": r.gap,
        "rate_mixing_lower": r.mixing,
        "rate_mixing_walk": r.walk_mixing,
        "rate_variance": r.stepped("added"),
        "rate_injected": r.stepped("injected"),
        "rate_walk_variance": r.stepped("added", flat=True),
        "rate_walk_injected": r.stepped("injected", flat=True),
        **{lost(source).name: r.decades(source) for source in r.lost},
    }


def _met(r: Record) -> Sided:
    if r.meeting.holds is None:
        return absent(f"{r.meeting.tried} columns were tried, and none are apart")
    return Sided(float(r.meeting.holds), "exact")


def _of_block(chain: RelevanceChain, start: str, found: Block | str | None) -> dict[str, Sided]:
    names = ("rate_block_operations_lower", "rate_block_diameter", "rate_block_birkhoff")
    if not isinstance(found, Block):
        return dict.fromkeys(names, LEFT_OUT if found is None else absent(found))
    length = math.inf if found.top is None else above(chain, start, found.layer).index(found.top) + 1.0
    lengths = absent("no relevance arrives") if found.live == 0 else Sided(length, "lower")
    return dict(zip(names, (lengths, found.diameter, found.coefficient), strict=True))


def _of_sigma(r: Record) -> dict[str, Sided]:
    none = absent(r.sigma) if isinstance(r.sigma, str) else LEFT_OUT
    own = {"rate_sigma": none, "rate_sigma_lower": none, "rate_sigma_upper": none}
    if isinstance(r.sigma, Ratio):
        own = {
            "rate_sigma": Sided(r.sigma.estimate, "estimate"),
            "rate_sigma_lower": Sided(r.sigma.lower, "lower"),
            "rate_sigma_upper": Sided(r.sigma.upper, "upper"),
        }
    so_far = {"rate_sigma_location": r.local, "rate_sigma_whole": r.whole}
    none = absent("one row or column, or no relevance arrives")
    return own | {
        name: LEFT_OUT if one is None else none if math.isnan(one.ratio) else Sided(one.ratio, "estimate")
        for name, one in so_far.items()
    }
