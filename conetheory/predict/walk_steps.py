"""What each operation adds to the walk of the weights: a table, without a random vector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan, prod

import torch
from torch import Tensor

from conetheory.chain.layers import state_cuts
from conetheory.chain.operation import Operation, is_own
from conetheory.chain.places import places, without_attention
from conetheory.chain.reach import space
from conetheory.chain.relevance import RelevanceChain
from conetheory.networks.graph import INPUT
from conetheory.predict.origin_cut import centred_grid
from conetheory.predict.states import flat, white_state
from conetheory.theory.origin import moments
from conetheory.theory.walk import slowest_mode_estimate

FIELDS = 6  # 1, x, y, x^2, x y, y^2
PASSES = 2 * FIELDS + 2  # vectors through the chain: the steps, the whole, the start's column sums


@dataclass(frozen=True)
class WalkStep:
    """The step of one operation of the walk; means over the locations below that are live, and both axes.

    layer: the operation's output; below: the tensors that it hands relevance to. pixel: the distance of
    locations of its output in pixels of the walk's start (`first_map`). In these pixels squared, weights
    c_i^2, added: the variance of the step of a channel, which the operation adds to Sigma; injected: the
    variance of the mean step between channels, which it injects into G; NaN where its output has no
    locations or its inputs lie on different grids. total: the variance Sigma of the origin below it, the mean
    of its inputs. explained: the share of Sigma that is between channels, about the tail of the spectrum
    (theorem `origin-law`: half of it an axis, two axes). slowest: the second eigenvalue that a walk of that
    variance leaves on the start's map (an estimate; its longer side), 1 where nothing moves, NaN where a
    signed chain's variance is negative. slowest_step: the same of this step alone, on the map of the
    operation's output.
    """

    layer: str
    below: tuple[str, ...]
    pixel: float
    added: float
    injected: float
    total: float
    explained: float
    slowest: float
    slowest_step: float


def first_map(chain: RelevanceChain, start: str) -> str | None:
    """The highest cut from the start down that is a map of more than one place, with no attention below.

    None where none is, and where that is the input.
    """
    known = places(chain.graph)
    for cut in state_cuts(chain, start):
        own = space(chain.shape(cut))
        if cut != INPUT and prod(own) > 1 and known[cut] == own:
            return cut if INPUT in without_attention(chain.graph, cut) else None
    return None


@torch.inference_mode()
def walk_steps(chain: RelevanceChain, start: str) -> list[WalkStep]:
    """The steps of the operations below the first map of a chain's first image, from there down.

    chain: of a flat network (`predict.walk.flat_chain`); of a real one, what its image makes of the walk.
    c is the image of the start's column sums. Empty for a chain without a map.
    """
    chain = chain.only(0)
    top = first_map(chain, start)
    if top is None:
        return []
    above = chain.graph.resolve(start)
    c = white_state(chain, above).c.reshape(1, 1, *chain.shape(above))
    whole = _six(c if above == top else chain.down(c, above, top))
    side = max(space(chain.shape(top)))
    operations = {n.name: Operation.of(chain, n, m) for n, m in chain.crossed(top) if is_own(n)}
    named = {name for o in operations.values() for name in (o.node.name, *o.below)}
    weights, totals = {}, {}
    for name, parts in chain.sweep({top: whole}, INPUT):
        if name in named:
            weights[name] = parts[top][:, :1].clone()
            totals[name] = _variances(flat(parts[top])[0], side**2)
    return [*_steps(operations, weights, totals, side)]


def _steps(
    operations: dict[str, Operation],
    weights: dict[str, Tensor],
    totals: dict[str, tuple[float, float]],
    side: int,
) -> Iterator[WalkStep]:
    for name, operation in operations.items():
        if name not in weights:  # of a branch that no relevance of the first map enters
            continue
        here = max(space(operation.node.shape))
        pixel = side / here
        added, injected = (v * pixel**2 for v in _step(operation, weights[name]))
        each = [totals[b] for b in operation.below if b in totals]
        within, between = (sum(parts) / len(each) for parts in zip(*each, strict=True))
        total = within + between
        moved = (added + injected) / pixel**2
        yield WalkStep(
            name,
            operation.below,
            pixel,
            added,
            injected,
            total,
            explained=between / total if total > 0 else 0.0,
            slowest=slowest_mode_estimate(side, total) if total >= 0 else nan,
            slowest_step=slowest_mode_estimate(here, moved) if moved >= 0 else nan,
        )


def _step(operation: Operation, c: Tensor) -> tuple[float, float]:
    """Within and between channels, in pixels of the operation's output."""
    sizes = {space(shape) for shape in operation.shapes}
    if len(sizes) > 1 or prod(space(operation.node.shape)) == 1:
        return nan, nan
    vectors = _six(c)[0].flatten(1).T
    parts = operation.down(vectors).T.split([prod(shape) for shape in operation.shapes], 1)
    stacked = torch.cat(
        [p.reshape(FIELDS, s[0], -1) for p, s in zip(parts, operation.shapes, strict=True)], 1
    )
    return _variances(stacked, max(space(operation.node.shape)) ** 2)


def _six(c: Tensor) -> Tensor:
    """c times 1, x, y, x^2, x y, y^2, coordinates on its own grid: `(1, 6, *shape)` of `(1, 1, *shape)`."""
    size = space(tuple(c.shape[2:]))
    x, y = centred_grid(size).T.to(c)
    fields = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y])
    return (c.reshape(1, 1, c.shape[2], -1) * fields.view(1, FIELDS, 1, -1)).reshape(1, FIELDS, *c.shape[2:])


def _variances(six: Tensor, largest: float) -> tuple[float, float]:
    """Within and between channels, of `(6, channels, locations)`; NaN where every location is dead.

    Sigma is a difference of second moments, which are as large as `largest`: what is below its rounding is 0.
    """
    origin = moments(*six)
    length = origin.c.square().sum(1)
    live = length > 0
    between = origin.G.square().sum((1, 2)) / length / 2
    whole = (origin.Sigma[:, 0, 0] + origin.Sigma[:, 1, 1]) / 2
    within, among = (part[live].mean().item() for part in (whole - between, between))
    least = torch.finfo(six.dtype).eps * largest
    return _above(within, least), _above(among, least)


def _above(value: float, least: float) -> float:
    return 0.0 if abs(value) < least else value
