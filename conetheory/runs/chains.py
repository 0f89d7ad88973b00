"""One call for one chain or several, whoever made them: what they send down, measured, predicted, judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from conetheory.chain.protocol import Chain
from conetheory.counts import DEFAULT_VECTORS
from conetheory.errors import InputError
from conetheory.measure import CscMeter
from conetheory.predict import applies, predict_csc
from conetheory.progress import Progress
from conetheory.results.comparison import Comparison, compare
from conetheory.results.joining import join_methods
from conetheory.runs.audited import Audit
from conetheory.runs.progress import shown

SAMPLED = ("sampled-spectrum",)  # the cheapest theory that needs passes down alone


def audit_chain(
    chain: Chain,
    start: str | Sequence[str] = "logits",
    *,
    beside: Chain | Sequence[Chain] = (),
    theory: str | Sequence[str] = SAMPLED,
    vectors: int = DEFAULT_VECTORS,
    seed: int = 0,
    bootstrap: int = 100,
) -> Audit:
    """Measure and predict a chain, whoever made it: zennit's, captum's LRP, any vjp, or one of ours.

    What is predicted of another library's chain needs passes down alone, and a chain that is linear:
    `sampled-spectrum` redraws the vectors, `local-spectrum` sends a column for each start unit, and
    `location-columns` one for each location of a cut, where the chain can be started from it. Nothing is
    certified, as nothing is known of the chain's matrices.

    Parameters
    ----------
    chain
        with `sweep`, as those of `conetheory.adapters` and our own.
    start
        layers that relevance starts from, by the chain's own names.
    beside
        other chains of the same network and images, ours or another's, which are measured with the same
        vectors; all are then reported at the layers that they have in common, by name.
    theory
        names; what does not apply to a chain is left out.
    vectors, seed, bootstrap
        as in `Settings`.

    Returns
    -------
    Audit
        The verdict, the numbers and the page, as `audit` gives them.

    Raises
    ------
    InputError
        for a start that a chain has not, for chains whose common layers differ in shape, and where relevance
        leaves the range of its dtype.
    """
    starts = [start] if isinstance(start, str) else list(start)
    chains = [chain, *(beside if isinstance(beside, Sequence) else [beside])]
    layers = _common(chains)
    names = [theory] if isinstance(theory, str) else list(theory)
    options: dict[str, Any] = {"vectors": vectors, "seed": seed, "layers": layers}
    with shown() as progress:
        each = [_audited(one, starts, names, bootstrap, progress, options) for one in chains]
    return Audit(each[0] if len(each) == 1 else join_methods(each))


def _common(chains: Sequence[Chain]) -> list[str] | None:
    """The layers that all of several chains have."""
    if len(chains) == 1:
        return None
    found = [layer for layer in chains[0].layers if all(layer in one.layers for one in chains[1:])]
    for layer in found:
        shapes = dict.fromkeys(tuple(one.graph.shape(layer)) for one in chains)
        if len(shapes) > 1:
            raise InputError(f"{layer!r} is of shapes {' and '.join(map(str, shapes))}: other networks?")
    return found


def _audited(
    chain: Chain,
    starts: Sequence[str],
    names: Sequence[str],
    bootstrap: int,
    progress: Progress,
    options: dict[str, Any],
) -> Comparison:
    meter = CscMeter(starts, bootstrap=bootstrap, **options)
    meter.add(chain, progress)
    theories = [name for name in names if applies(name, chain.method) is None]
    found = predict_csc(cast(Any, chain), starts, theory=theories, **options, progress=progress)
    return compare(meter.result(), *([found] if theories else []))
