"""What certificates of one image cost, counted from the network and the options."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from conetheory.chain.cost import Cost, swept
from conetheory.chain.relevance import RelevanceChain


def certificate_cost(
    chain: RelevanceChain, start: str, layers: Sequence[str] | None = None, positions: int | None = None
) -> Cost:
    """Columns in float64."""
    return swept(chain, start, 2 * prod(chain.shape(start)))
