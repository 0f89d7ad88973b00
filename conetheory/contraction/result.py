"""Rates as a dataset: a row for each operation, from the start down."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from conetheory.chain.layers import state_cuts
from conetheory.chain.relevance import RelevanceChain
from conetheory.contraction import variables
from conetheory.contraction.layer import Ratio
from conetheory.contraction.record import Record
from conetheory.contraction.study import PASSES, Survey
from conetheory.progress import Progress, silent
from conetheory.results.dataset import Result
from conetheory.results.layout import frame, provenance
from conetheory.schema import DIMS


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
    vectors: int = 10,
    seed: int = 0,
    passes: float = PASSES,
    progress: Progress = silent,
) -> Rates:
    """The rates of contraction of a chain's first image, operation by operation (see `record.Record`).

    passes: vectors through the whole chain that may be spent, `math.inf` for everything; what they don't
    suffice for is named in `left_out`. vectors, seed: of the measured curve and of the probes.
    """
    survey = Survey(chain, start, vectors=vectors, seed=seed, passes=passes, progress=progress)
    records = survey.run()
    values: dict[str, dict[tuple[str, str], Any]]
    values = {name: {(start, r.name): take(r) for r in records} for name, take in _numbers(records).items()}
    values["rate_block_operations"] = {(start, r.name): _length(chain, start, r) for r in records}
    names = [r.name for r in records]
    data = frame(chain.graph, chain.method, [start], names, values)
    texts = {r.name: json.dumps(r.as_json()) for r in records}
    data["rate_record"] = (DIMS, np.array([[[texts[name] for name in data["layer"].values]]]))
    settings = {"vectors": vectors, "seed": seed, "passes": passes}
    data["rate_left_out"] = ("method", [json.dumps(survey.budget.left_out)])
    data["rate_passes"] = ("method", [survey.budget.spent])
    data = data.assign_attrs(provenance(chain.network, **settings))
    return Rates(data)


def _numbers(records: list[Record]) -> Mapping[str, Callable[[Record], float]]:
    """How each variable is read off a record."""
    sources = {source for r in records for source in r.lost}
    return {
        "rate_rows": lambda r: r.size.rows,
        "rate_columns": lambda r: r.size.columns,
        "rate_density": lambda r: r.size.density,
        "rate_sum_error": lambda r: r.sum_error,
        "rate_scrambling": lambda r: (
            math.nan if r.meeting is None or r.meeting.holds is None else float(r.meeting.holds)
        ),
        "rate_birkhoff": lambda r: r.coefficient.value if r.coefficient else math.nan,
        "rate_block_diameter": lambda r: r.block.diameter.value if r.block else math.nan,
        "rate_block_birkhoff": lambda r: r.block.coefficient.value if r.block else math.nan,
        "rate_tau_1_upper": lambda r: r.tau_1.value if r.tau_1 else math.nan,
        "rate_sigma": lambda r: r.sigma.estimate if isinstance(r.sigma, Ratio) else math.nan,
        "rate_sigma_upper": lambda r: r.sigma.upper if isinstance(r.sigma, Ratio) else math.nan,
        "rate_sigma_location": lambda r: r.local.ratio if r.local else math.nan,
        "rate_sigma_whole": lambda r: r.whole.ratio if r.whole else math.nan,
        "rate_lyapunov": lambda r: r.gap,
        "rate_mixing": lambda r: r.mixing,
        "rate_mixing_walk": lambda r: r.walk_mixing,
        "rate_variance": lambda r: r.variance_added,
        "rate_between": lambda r: r.between_added,
        **{variables.lost(s): lambda r, s=s: r.lost.get(s, math.nan) for s in sources},
    }


def _length(chain: RelevanceChain, start: str, record: Record) -> float:
    """Steps between cuts from the tensor below up to the block's top."""
    if record.block is None or record.block.top is None:
        return math.nan if record.block is None else math.inf
    order = [*chain.graph.nodes]
    cuts = [order.index(c) for c in state_cuts(chain, start) if c in order]
    below = order.index(record.below[0]) if record.below[0] in order else -1
    return float(np.sum([below < c <= order.index(record.block.top) for c in cuts]))
