"""How fast one operation mixes locations: the second singular value of its location chain.

`t f (p) = <b(p), (M (c f))(p)>`, c the image of the start's column sums at the operation's output, b a
covector with `<b, M c> = 1` at each location of its inputs, which are stacked as channels (`theory.
secondmoment`); t 1 = 1. With weights w below (uniform over live locations) and t^T w above, it contracts the
deviations of a field from its mean, in mean square, by at most this (`ergodicity.chi_square_contraction`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from conetheory.chain.operation import Operation, is_own
from conetheory.chain.reach import space
from conetheory.chain.relevance import RelevanceChain
from conetheory.contraction.sided import Sided, absent
from conetheory.contraction.vectors import probes
from conetheory.networks.graph import INPUT
from conetheory.theory.secondmoment import covector
from conetheory.theory.spectrum import leading_singular_values

STEPS, RTOL = 6, 1e-3
PASSES = 4 * STEPS + 4  # vectors through the chain


@dataclass(frozen=True, eq=False)
class LocationChain:
    """t of one operation: above `(channels, locations)` is c, b `(channels of all inputs, locations)`."""

    operation: Operation
    above: Tensor
    b: Tensor

    @classmethod
    def of(cls, operation: Operation, c: Tensor, nonnegative: bool) -> LocationChain:
        """c: `(channels, locations)` at the operation's output. Its inputs must have the same locations."""
        image = _stacked(operation, operation.down(c.reshape(-1, 1)))[0]
        return cls(operation, c, covector(image, nonnegative))

    def down(self, f: Tensor) -> Tensor:
        """`t f` for f (locations above, count)."""
        sent = (self.above[:, :, None] * f[None]).flatten(0, 1)
        return (_stacked(self.operation, self.operation.down(sent)) * self.b).sum(1).T

    def up(self, g: Tensor) -> Tensor:
        """`t^T g` for g (locations below, count)."""
        sent = self.b[:, :, None] * g[None]
        widths = [shape[0] for shape in self.operation.shapes]
        parts = [part.flatten(0, 1) for part in sent.split(widths)]
        arrived = self.operation.up(torch.cat(parts)).T
        return (arrived.reshape(g.shape[1], *self.above.shape) * self.above).sum(1).T


def mixing(chain: RelevanceChain, start: str, seed: int = 0) -> dict[str, Sided]:
    """The second singular value of t of every operation from the start down, for one image.

    A Ritz value of block Lanczos, which begins with the slowest modes of a map without weights: a lower
    bound.
    """
    top = chain.graph.resolve(start)
    operations = {n.name: Operation.of(chain, n, m) for n, m in chain.crossed(top) if is_own(n)}
    found = {}
    for name, parts in chain.sweep({top: chain.up(chain.ones(INPUT), INPUT, top)}):
        if name in operations:
            c = parts[top][0, 0].flatten(1) if parts[top].ndim > 3 else parts[top][0, 0][:, None]
            found[name] = second_value(operations[name], c, chain, seed)
    return found


def second_value(operation: Operation, c: Tensor, chain: RelevanceChain, seed: int = 0) -> Sided:
    """Of one operation, c `(channels, locations)` at its output."""
    size = space(operation.node.shape)
    if len({space(shape) for shape in operation.shapes}) > 1:
        return absent("its inputs lie on different maps")
    if math.prod(size) < 2 or math.prod(space(operation.shapes[0])) < 2:
        return absent("one side has a single location")
    t = LocationChain.of(operation, c, chain.method.nonnegative)
    live = (t.b != 0).any(0)
    w = live.to(c.dtype) / max(int(live.sum()), 1)
    weights = t.up(w[:, None])[:, 0]
    if bool((weights < 0).any()):
        return absent("weights of locations are negative")
    if int(live.sum()) < 2 or int((weights > 0).sum()) < 2:
        return absent("relevance arrives at a single location")
    low, high = w.sqrt(), weights.sqrt()
    inverse = torch.where(weights > 0, 1 / high, 0.0)

    def down(x: Tensor) -> Tensor:
        return _off(low[:, None] * t.down(inverse[:, None] * _off(x, high)), low)

    def up(y: Tensor) -> Tensor:
        return _off(inverse[:, None] * t.up(low[:, None] * _off(y, low)), high)

    count = min(2, int((weights > 0).sum()) - 1)
    slow = _slow_modes(size, probes(chain, math.prod(size), 2, seed))[:, :count]
    begin = _off(high[:, None] * slow, high)
    found = leading_singular_values(down, up, begin, count=1, rtol=RTOL, max_steps=STEPS)
    return Sided(float(found.lower[0]), "lower")


def _slow_modes(size: tuple[int, int], noise: Tensor) -> Tensor:
    """cos(pi y / height) and cos(pi x / width) on a map, and noise against symmetry: (locations, 2)."""
    height, width = (torch.cos(math.pi * (torch.arange(n) + 0.5) / n).to(noise) for n in size)
    modes = [height[:, None].expand(size), width[None, :].expand(size)]
    return torch.stack([mode.flatten() for mode in modes], 1) + 0.1 * noise


def _stacked(operation: Operation, frame: Tensor) -> Tensor:
    """What arrives at the inputs, `(rows, count)`, as `(count, channels of all, locations)`."""
    sizes = [math.prod(shape) for shape in operation.shapes]
    parts = zip(frame.T.split(sizes, 1), operation.shapes, strict=True)
    return torch.cat([part.reshape(len(part), shape[0], -1) for part, shape in parts], 1)


def _off(x: Tensor, root: Tensor) -> Tensor:
    """x without its part along the unit vector `root`."""
    return x - root[:, None] * (root @ x)[None]
