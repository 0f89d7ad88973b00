"""The shortest block above a layer whose cone at a location is bounded, where Birkhoff's theorem bites.

At location p the rows of the block from `top` are P_p, (channels x units of top). Its projective diameter is
finite if and only if all live channels of p have the same support (theorem `birkhoff-hopf`); and once that is
so it stays so for every longer block. One pass of covectors up decides it for every top.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from conetheory.chain.layers import state_cuts
from conetheory.chain.relevance import RelevanceChain
from conetheory.contraction.sided import Sided, absent
from conetheory.theory import cone

PAIRS = 2**32  # operations that the comparison of all pairs of rows may take


@dataclass(frozen=True)
class Block:
    """top: the lowest cut from which the diameter at the location is finite; None where none is.

    diameter, coefficient: of P_p on what is alive. live, arriving: channels of p, units of top.
    """

    layer: str
    place: int
    top: str | None
    diameter: Sided
    coefficient: Sided
    live: int
    arriving: int


def finite_block(chain: RelevanceChain, start: str, layer: str, place: int) -> Block:
    """The shortest block above `layer` whose diameter is finite at flat location `place`.

    For one image and a nonnegative method.
    """
    supports = covectors(chain.pattern(), start, layer, place)
    for top, rows in supports:
        live = rows.any(1)
        if not live.any():
            return Block(
                layer, place, None, absent("no relevance arrives"), absent("no relevance arrives"), 0, 0
            )
        alive = rows[live]
        arriving = alive.any(0)
        if bool((alive[:, arriving] > 0).all()):
            found = _number(chain, layer, place, top, live, arriving)
            return Block(layer, place, top, *found, int(live.sum()), int(arriving.sum()))
    why = f"no block from {start!r} down has one"
    return Block(
        layer, place, None, Sided(math.inf, "exact", why), Sided(1.0, "exact", why), int(live.sum()), 0
    )


def covectors(chain: RelevanceChain, start: str, layer: str, place: int) -> Iterator[tuple[str, Tensor]]:
    """(cut, rows of P_p from it) for the cuts above a layer, from the lowest up: `(channels, units)`."""
    cuts = state_cuts(chain, start)
    order = [*chain.graph.nodes]
    bottom = chain.graph.resolve(layer)
    above = [
        c
        for c in reversed(cuts)
        if c in order and (bottom not in order or order.index(c) > order.index(bottom))
    ]
    h = _at(chain, bottom, place)
    for cut in above:
        h = chain.up(h, bottom, cut)
        bottom = cut
        yield cut, h.flatten(2)[0]


def _at(chain: RelevanceChain, layer: str, place: int) -> Tensor:
    """One covector for each channel of a location."""
    channels, *space = chain.shape(layer)
    hot = torch.zeros((1, channels, channels, math.prod(space)), dtype=chain.dtype, device=chain.device)
    hot[0, torch.arange(channels), torch.arange(channels), place] = 1
    return hot.reshape(1, channels, channels, *space)


def _number(
    chain: RelevanceChain, layer: str, place: int, top: str, live: Tensor, arriving: Tensor
) -> tuple[Sided, Sided]:
    count = int(arriving.sum())
    if int(live.sum()) ** 2 * count > PAIRS:
        cost = f"finite; {int(live.sum())} channels and {count} units from {top!r} are too many pairs"
        return absent(cost), absent(cost)
    *_, (_, rows) = _until(covectors(chain, top, layer, place), top)
    P = rows[live][:, arriving].double().cpu().numpy()
    if not (P > 0).all():
        lost = "entries underflow"
        return absent(lost), absent(lost)
    found = float(cone.projective_diameter(P))
    return Sided(found, "exact"), Sided(float(cone.birkhoff_tau(found)), "exact")


def _until(pairs: Iterator[tuple[str, Tensor]], top: str) -> Iterator[tuple[str, Tensor]]:
    for name, rows in pairs:
        yield name, rows
        if name == top:
            return
