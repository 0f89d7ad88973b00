"""One call for one chain, whoever made it: what it sends down, measured, predicted and judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from conetheory.chain.protocol import Chain
from conetheory.counts import DEFAULT_VECTORS
from conetheory.measure import CscMeter
from conetheory.predict import applies, predict_csc
from conetheory.results.comparison import compare
from conetheory.runs.audited import Audit
from conetheory.runs.progress import shown

SAMPLED = "sampled-spectrum"  # the theory that needs passes down alone


def audit_chain(
    chain: Chain,
    start: str | Sequence[str] = "logits",
    *,
    vectors: int = DEFAULT_VECTORS,
    seed: int = 0,
    bootstrap: int = 100,
) -> Audit:
    """Measure and predict one chain, whoever made it: a composite of zennit, captum's LRP, any vjp.

    What is predicted needs passes down alone, and a chain that is linear (`sampled-spectrum`); nothing is
    certified, as nothing is known of the chain's matrices.

    Parameters
    ----------
    chain
        with `sweep`, as those of `conetheory.adapters` and our own.
    start
        layers that relevance starts from, by the chain's own names.
    vectors, seed, bootstrap
        as in `Settings`.

    Returns
    -------
    Audit
        The verdict, the numbers and the page, as `audit` gives them.

    Raises
    ------
    InputError
        for a start that the chain has not, and where relevance leaves the range of its dtype.
    """
    starts = [start] if isinstance(start, str) else list(start)
    meter = CscMeter(starts, vectors=vectors, seed=seed, bootstrap=bootstrap)
    with shown() as progress:
        progress("measure", 0, 1)
        meter.add(chain)
        progress("measure", 1, 1)
    measured = meter.result()
    if applies(SAMPLED, chain.method) is not None:
        return Audit(compare(measured))
    return Audit(compare(measured, predict_csc(cast(Any, chain), starts, theory=SAMPLED, seed=seed)))
