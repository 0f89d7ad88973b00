"""The shortest block above a layer whose cone at a location is bounded, where Birkhoff's theorem bites.

At location p the rows of the block from `top` are P_p, (channels x units of top), both where relevance from
the start arrives. Its projective diameter is finite if and only if all live channels of p have the same
support (theorem `birkhoff-hopf`); and once that is so it stays so for every longer block. That two channels
differ is seen on a few of them; that none does takes a covector for each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from conetheory.chain.layers import state_cuts
from conetheory.chain.local import widest
from conetheory.chain.relevance import RelevanceChain
from conetheory.contraction.sided import Sided, absent
from conetheory.networks.graph import INPUT
from conetheory.theory import cone

PAIRS = 2**31  # operations that the comparison of all pairs of rows may take
NUMBERS = 2**24  # numbers in the covectors that go up at a time
FEW = 8  # channels that are tried first

Alive = Mapping[str, Tensor]


@dataclass(frozen=True)
class Block:
    """top: the lowest cut from which the diameter at the location may be finite; None where none is.

    held: channels that were held against each other there; certain: that these are all, so that it is finite.
    diameter, coefficient: of P_p on what is alive. channels: of p, those at which relevance from the start
    arrives; arriving: units of top that reach p.
    """

    layer: str
    place: int
    top: str | None
    certain: bool
    diameter: Sided
    coefficient: Sided
    channels: Tensor
    arriving: int
    held: int

    @property
    def live(self) -> int:
        return len(self.channels)


def arrivals(chain: RelevanceChain, start: str) -> dict[str, Tensor]:
    """Where relevance from the start arrives by structure: booleans over the units of every tensor below."""
    pattern, top = chain.pattern(), chain.graph.resolve(start)
    return {name: parts[top][0, 0] > 0 for name, parts in pattern.sweep({top: pattern.ones(top)})}


def candidate(chain: RelevanceChain, start: str, layer: str, place: int, alive: Alive) -> Block:
    """The block by a few spread channels alone: none lower than its top has a finite diameter.

    For one image and a nonnegative method. alive: the `arrivals` of relevance from the start.
    """
    pattern, here = chain.pattern(), alive[chain.graph.resolve(layer)]
    live = here.reshape(len(here), -1)[:, place].nonzero()[:, 0]
    few = live[torch.linspace(0, len(live) - 1, min(FEW, len(live))).round().long()]
    none = absent("no relevance arrives")
    nothing = Block(layer, place, None, True, none, none, live, 0, 0)
    if len(live) == 0:
        return nothing
    for top in above(chain, start, layer):
        rows = _support(pattern, layer, place, top, few, alive)
        if _alike(rows):
            why = absent(f"finite at the lowest from {top!r}: {len(few)} of {len(live)} channels agree there")
            sizes = {"arriving": int(rows[0].sum()), "held": len(few), "certain": len(few) == len(live)}
            return replace(nothing, top=top, diameter=why, coefficient=why, **sizes)
    return _unbounded(nothing, start, len(few))


def _unbounded(found: Block, start: str, held: int) -> Block:
    why = f"no block from {start!r} down has one"
    ends = {"diameter": Sided(math.inf, "exact", why), "coefficient": Sided(1.0, "exact", why)}
    return replace(found, top=None, certain=True, held=held, **ends)


def finite_block(chain: RelevanceChain, start: str, layer: str, place: int) -> Block:
    """The shortest block above `layer` whose diameter is finite at flat location `place`, with its number.

    For one image and a nonnegative method.
    """
    alive = arrivals(chain, start)
    return settled(chain, start, candidate(chain, start, layer, place, alive), alive)


def settled(chain: RelevanceChain, start: str, found: Block, alive: Alive) -> Block:
    """A candidate with all channels held against each other, from its top on up, and the numbers."""
    if found.top is None:
        return found
    pattern = chain.pattern()
    live = found.channels
    tops = above(chain, start, found.layer)
    for top in tops[tops.index(found.top) :]:
        rows = _support(pattern, found.layer, found.place, top, live, alive)
        if _alike(rows):
            arriving = rows[0].nonzero()[:, 0]
            width, tau = _number(chain, found.layer, found.place, top, live, arriving)
            sizes = {"arriving": len(arriving), "held": len(live), "certain": True}
            return replace(found, top=top, diameter=width, coefficient=tau, **sizes)
    return _unbounded(found, start, len(live))


def above(chain: RelevanceChain, start: str, layer: str) -> list[str]:
    """The cuts above a layer, from the lowest up to the start."""
    order = [INPUT, *chain.graph.nodes]
    bottom = order.index(chain.graph.resolve(layer))
    return [c for c in reversed(state_cuts(chain, start)) if order.index(c) > bottom]


def _alike(rows: Tensor) -> bool:
    return bool((rows == rows[0]).all())


def _support(
    pattern: RelevanceChain, layer: str, place: int, top: str, channels: Tensor, alive: Alive
) -> Tensor:
    """Where the rows of P_p are not zero by structure: booleans `(channels, units of top)`, alive ones."""
    at_top = alive[top].flatten()
    return torch.cat([(rows > 0) & at_top for rows in _rows(pattern, layer, place, top, channels)])


def _rows(chain: RelevanceChain, layer: str, place: int, top: str, channels: Tensor) -> Iterator[Tensor]:
    """Rows of P_p in blocks that fit in memory."""
    locations = math.prod(chain.shape(layer)[1:])
    for some in channels.split(max(1, NUMBERS // widest(chain, top, layer))):
        units = (some * locations + place).tolist()
        yield chain.up(chain.one_hot(layer, units), layer, top).flatten(2)[0]


def _number(
    chain: RelevanceChain, layer: str, place: int, top: str, live: Tensor, arriving: Tensor
) -> tuple[Sided, Sided]:
    rows, columns = len(live), len(arriving)
    if min(rows, columns) * rows * columns > PAIRS:
        cost = absent(f"finite; {rows} channels and {columns} units from {top!r} are too many pairs")
        return cost, cost
    P = torch.cat([part[:, arriving].double() for part in _rows(chain, layer, place, top, live)])
    if not bool((P > 0).all()):
        return absent("entries underflow"), absent("entries underflow")
    found = float(cone.projective_diameter(P.cpu().numpy()))
    return Sided(found, "exact"), Sided(float(cone.birkhoff_tau(found)), "exact")
