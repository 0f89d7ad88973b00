"""Chains in rational arithmetic: the matrices of the computed activations, from the textbooks' formulas.

What a certificate speaks of is exactly this. Nothing of a rule or a chain is used but the activations of one
forward pass; weights, denominators, distances, sums and products are rationals (FLINT's), without rounding.
A matrix is an `fmpq_mat` of shape (units of a tensor, units of the start).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import torch
from flint import fmpq, fmpq_mat
from torch import Tensor

from conetheory.chain.relevance import RelevanceChain
from conetheory.networks.graph import Node
from conetheory.networks.ops import AvgPool2d, Concat, Conv2d, Linear, LinearOp, MaxPool2d, PassThrough
from conetheory.rules.alphabeta import AlphaBeta
from conetheory.rules.composite import Composite
from conetheory.rules.deeplift import Ablation
from conetheory.rules.differences import secant
from conetheory.rules.domains import Flat, WSquare, ZBox
from conetheory.rules.excitation import ExcitationBackprop

ZERO = fmpq(0)
Step = tuple[Node, Sequence[Tensor], Tensor]


def rational(x: float) -> fmpq:
    return fmpq(*float(x).as_integer_ratio())


def rationals(t: Tensor) -> list[fmpq]:
    return [rational(x) for x in t.flatten().tolist()]


def identity(n: int) -> fmpq_mat:
    return fmpq_mat(n, n, [int(i == j) for i in range(n) for j in range(n)])


def nonzeros(M: fmpq_mat) -> np.ndarray:
    return np.array([x != 0 for x in M.entries()]).reshape(M.nrows(), M.ncols())


# ---------------------------------------------------------------- the chain


def exact_chain(chain: RelevanceChain, start: str, layer: str, image: int = 0) -> fmpq_mat:
    """C from `start` down to `layer` for one image of the chain."""
    return exact_columns(chain, start, image)[chain.graph.resolve(layer)]


def exact_columns(chain: RelevanceChain, start: str, image: int = 0) -> dict[str, fmpq_mat]:
    """C from `start` down to every tensor below it that all of it reaches on its way to the input."""
    rule = chain.method.rule
    bound = rule.bind(chain.graph)
    steps = {node.name: (node, xs, y) for node, xs, y in chain.graph.run(bound.inputs(chain.images))}
    start = chain.graph.resolve(start)
    if isinstance(rule, Ablation):
        ends = _references(rule, chain, steps, image)
        up, down = (_descend(chain, start, _ablation(steps, len(chain), image, side)) for side in (1, -1))
        return {name: _joined(up[name], down[name], ends[name], name == "input") for name in up}
    return _descend(chain, start, lambda node: _matrices(rule, bound, steps[node.name], image))


def _descend(
    chain: RelevanceChain, start: str, maps: Callable[[Node], list[fmpq_mat]]
) -> dict[str, fmpq_mat]:
    held = {start: identity(int(np.prod(chain.shape(start))))}
    for node in chain.graph.between(start, "input"):
        for name, M in zip(node.inputs, maps(node), strict=True):
            part = M * held[node.name]
            held[name] = held[name] + part if name in held else part
    return held


def _matrices(rule, bound, step: Step, image: int) -> list[fmpq_mat]:
    """One matrix for each input of a node."""
    node, xs, y = step
    xs = [x[image : image + 1] for x in xs]
    if isinstance(node.op, LinearOp):
        part = bound.at(node) if isinstance(rule, Composite) else rule
        return _linear(part, node.op, xs)
    return _passed(node, xs, y)


def _passed(node: Node, xs: Sequence[Tensor], y: Tensor) -> list[fmpq_mat]:
    """What is not linear: reshapes, activations, concatenations, max pools."""
    if isinstance(node.op, MaxPool2d):
        return [_winners(node.op.with_indices(xs[0])[1], xs[0])]
    if isinstance(node.op, Concat):
        total, first, found = sum(x.numel() for x in xs), 0, []
        for x in xs:
            n = x.numel()
            found.append(fmpq_mat(n, total, [int(j == first + i) for i in range(n) for j in range(total)]))
            first += n
        return found
    assert isinstance(node.op, PassThrough)
    return [identity(xs[0].numel())]


def _winners(at: Tensor, x: Tensor) -> fmpq_mat:
    space, count = x[0, 0].numel(), at[0].numel()
    M = [[0] * count for _ in range(x.numel())]
    for k, place in enumerate(at.flatten().tolist()):
        M[k // at[0, 0].numel() * space + place][k] = 1
    return fmpq_mat(x.numel(), count, [v for row in M for v in row])


# ---------------------------------------------------------------- linear operations


def weights(op: LinearOp, xs: Sequence[Tensor], ones: bool = False) -> list[list[list[fmpq]]]:
    """W of each input, (outputs, inputs): exact, as every weight is multiplied by one and added to zeros."""
    found = []
    for k, x in enumerate(xs):
        n = x.numel()
        basis = torch.eye(n, dtype=x.dtype).view(n, *x.shape[1:])
        given = [basis if i == k else torch.zeros_like(basis) for i in range(len(xs))]
        y = op.linear(given, torch.ones_like) if ones else op.linear(given)
        rows = y.flatten(1).T.tolist()
        mean = isinstance(op, AvgPool2d)
        found.append([[_share(w) if mean else rational(w) for w in row] for row in rows])
    return found


def _share(value: float) -> fmpq:
    """1/k or a product of two such, from its nearest float: a mean's weight."""
    near = Fraction(value).limit_denominator(10000)
    assert abs(float(near) - value) <= 2.0**-52 * value
    return fmpq(near.numerator, near.denominator)


def _linear(rule, op: LinearOp, xs: Sequence[Tensor]) -> list[fmpq_mat]:
    match rule:
        case AlphaBeta():
            return _pooled(rule, op, [rationals(x) for x in xs], weights(op, xs))
        case ExcitationBackprop():
            found = [[v if v > 0 else ZERO for v in rationals(x)] for x in xs]
            return _pooled(AlphaBeta(stabiliser=rule.stabiliser), op, found, weights(op, xs))
        case WSquare() | Flat():
            own = isinstance(op, Conv2d | Linear)
            W = weights(op, xs, ones=own and isinstance(rule, Flat))
            square = own and isinstance(rule, WSquare)
            return _divided([[[w * w if square else w for w in row] for row in Wk] for Wk in W])
        case ZBox():
            return _divided([_boxed(rule, x, Wk) for x, Wk in zip(xs, weights(op, xs), strict=True)])
    raise NotImplementedError(type(rule).__name__)


def _divided(contributions: list[list[list[fmpq]]]) -> list[fmpq_mat]:
    """Contributions (outputs, inputs) of each input over their sum for each output."""
    rows = [sum((sum(part[o], ZERO) for part in contributions), ZERO) for o in range(len(contributions[0]))]
    shares = [1 / z if z != 0 else ZERO for z in rows]
    return [
        _transposed([[c * s for c in row] for row, s in zip(C, shares, strict=True)]) for C in contributions
    ]


def _transposed(rows: list[list[fmpq]]) -> fmpq_mat:
    return fmpq_mat(len(rows[0]), len(rows), [row[i] for i in range(len(rows[0])) for row in rows])


def _boxed(rule: ZBox, x: Tensor, W: list[list[fmpq]]) -> list[list[fmpq]]:
    values = rationals(x)
    low = min(values) if rule.low is None else rational(rule.low)
    high = max(values) if rule.high is None else rational(rule.high)
    above = [max(v - low, ZERO) for v in values]
    below = [min(v - high, ZERO) for v in values]
    return [[w * a if w > 0 else w * b for w, a, b in zip(row, above, below, strict=True)] for row in W]


def _pooled(rule: AlphaBeta, op: LinearOp, xs: list[list[fmpq]], W: list) -> list[fmpq_mat]:
    bias = [ZERO] * len(W[0]) if op.bias is None or rule.bias == "none" else _spread(op, len(W[0]))
    renormalise = rule.empty_pool == "renormalise" or not isinstance(op, Conv2d | Linear)
    alpha, beta, eps = rational(rule.alpha), rational(rule.beta), rational(rule.stabiliser)
    found = [[] for _ in xs]
    for o in range(len(W[0])):
        parts = [[w * x for w, x in zip(Wk[o], xk, strict=True)] for Wk, xk in zip(W, xs, strict=True)]
        flat = [c for part in parts for c in part]
        plus = sum((c for c in flat if c > 0), ZERO) + max(bias[o], ZERO)
        minus = sum((c for c in flat if c < 0), ZERO) + min(bias[o], ZERO)
        a = 1 if renormalise and minus == 0 else alpha
        b = -1 if renormalise and plus == 0 else beta
        a, b = (a / (plus + eps) if plus else ZERO), (-b / (minus - eps) if minus else ZERO)
        for row, part in zip(found, parts, strict=True):
            row.append([c * (a if c > 0 else b) if c != 0 else ZERO for c in part])
    return [_transposed(rows) for rows in found]


def _spread(op: LinearOp, outputs: int) -> list[fmpq]:
    values = rationals(op.bias)
    return [v for v in values for _ in range(outputs // len(values))]


# ---------------------------------------------------------------- DeepLIFT's ablation


def _ablation(steps: dict[str, Step], images: int, image: int, side: int) -> Callable[[Node], list[fmpq_mat]]:
    """The maps of one of its two chains: that of the inputs that rose (1) or of those that fell (-1)."""

    def maps(node: Node) -> list[fmpq_mat]:
        _, xs, y = steps[node.name]
        mine = [x[image : image + 1] for x in xs]
        still = [x[images:][image if len(x) - images > 1 else 0].unsqueeze(0) for x in xs]
        if isinstance(node.op, AvgPool2d):
            return [_transposed(W) for W in weights(node.op, mine)]
        if isinstance(node.op, LinearOp):
            found = []
            for x, x0, W in zip(mine, still, weights(node.op, mine), strict=True):
                on = ((x - x0) * side > 0).flatten().tolist()
                found.append(
                    _transposed([[w if w > 0 and m else ZERO for w, m in zip(r, on, strict=True)] for r in W])
                )
            return found
        if isinstance(node.op, PassThrough) and node.op.kind == "activation":
            return [_diagonal(_secants(node, still[0], mine[0]))]
        return _passed(node, mine, y)

    return maps


def _secants(node: Node, x0: Tensor, x: Tensor) -> list[fmpq]:
    """Exact secants of a ReLU; where the difference is lost to rounding both ends lie on one side of zero."""
    near = (x - x0).abs() <= torch.finfo(x.dtype).eps ** 0.5 * torch.maximum(x.abs(), x0.abs())
    slopes = secant(node.op, x0, x).flatten().tolist()
    found = []
    for a, b, n, slope in zip(rationals(x0), rationals(x), near.flatten().tolist(), slopes, strict=True):
        found.append(rational(slope) if n else (max(b, ZERO) - max(a, ZERO)) / (b - a))
    return found


def _diagonal(values: Sequence[fmpq]) -> fmpq_mat:
    n = len(values)
    return fmpq_mat(n, n, [values[i] if i == j else ZERO for i in range(n) for j in range(n)])


def _references(rule, chain, steps: dict[str, Step], image: int) -> dict[str, list[fmpq]]:
    """|Delta x| at every tensor, of rounded activations, exact."""
    images = len(chain)
    tensors = {"input": rule.bind(chain.graph).inputs(chain.images)} | {
        k: y for k, (_, _, y) in steps.items()
    }
    found = {}
    for name, t in tensors.items():
        x0 = t[images:][image if len(t) - images > 1 else 0]
        found[name] = [abs(b - a) for a, b in zip(rationals(x0), rationals(t[image]), strict=True)]
    return found


def _joined(up: fmpq_mat, down: fmpq_mat, delta: list[fmpq], contributions: bool) -> fmpq_mat:
    mean = (up + down) * fmpq(1, 2)
    return _diagonal(delta) * mean if contributions else mean


__all__ = ["exact_chain", "exact_columns", "identity", "nonzeros", "rational", "rationals", "weights"]
