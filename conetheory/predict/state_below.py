"""The first state of a chain that can only be sent down: another library's, of unknown operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from conetheory.chain.local import is_enumerable
from conetheory.chain.reach import space
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks.graph import INPUT
from conetheory.predict.states import State, columns_between, state_of_columns

LOCATIONS = (
    256  # of a cut: the lower it is, the more its channels have collapsed, and the more columns it takes
)
AGREE = {torch.float32: 1e-4, torch.float64: 1e-10}  # of relevance that goes through a cut, to its largest


def state_below(chain: RelevanceChain, start: str) -> tuple[str, State] | None:
    """The lowest cut of at most 256 locations, and the exact state there, by a column for each start unit.

    A layer is a cut where relevance that is sent down from it once it has arrived gives the same map as what
    came past it: this is tried with a random vector. None where there is no such layer, where the chain
    can't be started from it, and where the start has more than 1,024 units.
    """
    if not is_enumerable(chain, start):
        return None
    graph: Any = chain.graph  # as another library's chain has it (`adapters.vjp.Layers`)
    top = graph.resolve(start)
    places = {name: int(np.prod(space(chain.shape(name)))) for name in graph.below(top)}
    for name in (name for name, count in places.items() if name != INPUT and 1 < count <= LOCATIONS):
        if _is_cut(chain, top, name):
            columns, _ = columns_between(chain, top, name, {})
            return name, state_of_columns(columns, bool((columns >= 0).all()))
    return None


def _is_cut(chain: RelevanceChain, top: str, name: str) -> bool:
    v = torch.randn(1, 1, *chain.shape(top), generator=torch.Generator().manual_seed(0))
    v = v.to(chain.device, chain.dtype).expand(len(chain), *v.shape[1:])
    try:
        arrived, whole = chain.down(v, top, name), chain.down(v, top, INPUT)
        through = chain.down(arrived, name, INPUT)
    except (InputError, ValueError):  # it can't be started there, or nothing arrives
        return False
    return float((through - whole).abs().max()) <= AGREE[chain.dtype] * float(whole.abs().max())
