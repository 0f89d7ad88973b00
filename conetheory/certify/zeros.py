"""Where a computed zero can only be one of structure: no number on the way is small enough to underflow.

An entry of a column that is not zero by structure is at least one product of numbers along a path: of the
least share, weight and activation other than zero of each operation, as nothing is subtracted. While all
products of these, from the start down, are normal numbers far above the least one, none of them is lost, and
what is 0.0 is dead. It takes the place of a pass over the pattern.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from conetheory.chain.relevance import RelevanceChain
from conetheory.networks.ops import BLOCK, Add, AvgPool2d, Conv2d, Linear, Part
from conetheory.networks.transposed import ConvTranspose2d
from conetheory.rules.localmap import LocalMap
from conetheory.rules.maps import Same, ScaledMap, Split, WinnerTakesAll
from conetheory.rules.smallness import merge, nonzero, occupied, split

LEAST = 2.0**-1000  # of a product: 2^22 times what underflows, which roundings don't come to


def structural(chain: RelevanceChain, start: str) -> set[str]:
    """The layers below a start at which every zero of a one-hot start's relevance is structural.

    Parameters
    ----------
    chain
        in float64, of a nonnegative method.
    start
        where columns are sent down from.

    Returns
    -------
    set of str
        names of tensors; none of a method that carries more than relevance.
    """
    if chain.carries_state:
        return set()
    least = {chain.graph.resolve(start): 1.0}
    for node, local in chain.crossed(start):
        found = _least(local, least[node.name])
        for source in node.inputs:
            least[source] = min(least.get(source, math.inf), found)
    return {layer for layer, value in least.items() if value >= LEAST}


def _least(local: LocalMap, value: float) -> float:
    """What no entry is below that is not zero by structure, of vectors with entries of at least `value`.

    0 where that is not known.
    """
    match local:
        case Same() | Split() | WinnerTakesAll():
            return value
        case ScaledMap():
            return min((_of_term(local, *term, value) for term in _terms(local)), default=math.inf)
    return 0.0


def _terms(local: ScaledMap) -> Iterator[tuple[Sequence[Tensor], Tensor, Part]]:
    for xs, terms in local.groups:
        for share, part in terms:
            ones = [share.new_ones((1, 1, *shape)) for shape in local.shapes]
            yield (ones if xs is None else xs), share, part


def _of_term(local: ScaledMap, xs: Sequence[Tensor], share: Tensor, part: Part, value: float) -> float:
    """Through `diag(x) part(W)^T diag(share)`: the least product; 0 where one on the way is below `LEAST`."""
    weights = _weights(local, part)
    if weights is None or not _positive(xs, share, weights) or _vanished(local, xs, share, part):
        return 0.0
    factors = [_smallest([share]), _smallest(weights), _smallest(xs)]
    if math.inf in factors:  # there is no path
        return math.inf
    for factor in factors:
        value *= factor
        if not value >= LEAST:
            return 0.0
    return value


def _weights(local: ScaledMap, part: Part) -> list[Tensor] | None:
    """Those of a part that are not zero by structure, in blocks; None for an operation that is not known."""
    op = local.op
    if isinstance(op, Conv2d | Linear | ConvTranspose2d):
        weight = op.weight.flatten(1)
        blocks = weight.split(max(1, BLOCK // weight.shape[1]))
        return [part(block)[part(block.sign()) != 0] for block in blocks]
    if type(op) is Add or type(op) is AvgPool2d:  # of a mean over all locations at most
        count = math.prod(local.shapes[0][1:]) if type(op) is AvgPool2d else 1
        scale = part(torch.ones((1,), dtype=torch.float64))
        return [scale[scale != 0] / count]
    return None


def _positive(xs: Sequence[Tensor], share: Tensor, weights: Sequence[Tensor]) -> bool:
    """Whether no product of the three is negative, by the signs that each has throughout."""
    first, second, rest = _sign([share]), _sign(weights), [_sign([x]) for x in xs]
    if first is None or second is None:
        return False
    return all(sign is not None and first * second * sign >= 0 for sign in rest)


def _sign(tensors: Sequence[Tensor]) -> int | None:
    """Of all entries, 0 where all are zero; None where they differ, or one is not a number."""
    ends = [torch.aminmax(t) for t in tensors if t.numel()]
    low, high = min((float(a) for a, _ in ends), default=0.0), max((float(b) for _, b in ends), default=0.0)
    if low >= 0:
        return int(high > 0)
    return -1 if high <= 0 else None


def _vanished(local: ScaledMap, xs: Sequence[Tensor], share: Tensor, part: Part) -> bool:
    """Whether a share is zero though its output has contributions: its pool left the range of numbers."""
    if local.chosen:  # it may be, by the rule
        return False
    fed = local.op.linear([merge(nonzero(x)) for x in xs], occupied(part))
    return bool(((share == 0) & (split(fed, len(xs[0])) > 0)).any())


def _smallest(tensors: Sequence[Tensor]) -> float:
    """The least absolute value that is not zero, inf where there is none."""
    least = [float(t[t != 0].abs().min()) for t in tensors if bool(t.any())]
    return min(least, default=math.inf)
