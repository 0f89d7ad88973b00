"""Matrices of rules as the textbooks write them, dense and in float64."""

from __future__ import annotations

import itertools
from functools import cache, lru_cache

import numpy as np
import torch

from conetheory.networks.bcos import Aligned
from conetheory.networks.coupling import Product
from conetheory.networks.graph import Node
from conetheory.networks.ops import Concat, LinearOp, MaxPool2d
from conetheory.networks.selection import Selection
from conetheory.rules.alphabeta import AlphaBeta
from conetheory.rules.registry import get_method
from tests.toys import METHODS, graph, images


@cache
def activations(toy: str) -> list[tuple[Node, tuple[torch.Tensor, ...], torch.Tensor]]:
    return list(graph(toy).run(images()))


def dense_weights(node: Node, xs) -> tuple[np.ndarray, np.ndarray]:
    """W (outputs, inputs) and b of a linear operation, column by column from what it computes."""
    sizes = [x[0].numel() for x in xs]
    hot = torch.cat([torch.eye(sum(sizes), dtype=xs[0].dtype), torch.zeros(1, sum(sizes), dtype=xs[0].dtype)])
    parts = [part.reshape(-1, *x.shape[1:]) for part, x in zip(hot.split(sizes, 1), xs, strict=True)]
    found = node.op.forward(*parts).flatten(1).numpy()
    b = found[-1].copy()
    return (found[:-1] - b).T, b


def pools(W, b, x, bias: str):
    """For each output: its positive and negative contributions by input, and the two pools."""
    outputs, inputs = W.shape
    plus, minus = np.zeros((inputs, outputs)), np.zeros((inputs, outputs))
    z_plus, z_minus = np.zeros(outputs), np.zeros(outputs)
    for o in range(outputs):
        for i in np.flatnonzero(W[o]):
            contribution = W[o, i] * x[i]
            if contribution > 0:
                plus[i, o] = contribution
                z_plus[o] += contribution
            elif contribution < 0:
                minus[i, o] = contribution
                z_minus[o] += contribution
        if bias == "signed" or (bias == "bach" and b[o] > 0):
            z_plus[o] += b[o]
        if bias == "signed" or (bias == "bach" and b[o] < 0):
            z_minus[o] += b[o]
    return plus, minus, z_plus, z_minus


@lru_cache(maxsize=64)
def dense_pools(toy: str, name: str, bias: str):
    """`pools` of each image at one linear operation of a toy; none at the others."""
    node, xs, _ = next(step for step in activations(toy) if step[0].name == name)
    if not isinstance(node.op, LinearOp):
        return []
    W, b = dense_weights(node, xs)
    return [pools(W, b, x, bias) for x in torch.cat([x.flatten(1) for x in xs], 1).numpy()]


def textbook(parts, alpha: float, beta: float, stabiliser: float, renormalise: bool) -> np.ndarray:
    """M (inputs, outputs) = alpha Z+ - beta Z-."""
    plus, minus, z_plus, z_minus = parts
    M = np.zeros_like(plus)
    for share, numerators, z, other in ((alpha, plus, z_plus, z_minus), (-beta, minus, z_minus, z_plus)):
        shares = np.where(renormalise & (other == 0), 1.0, share)
        denominators = z + np.where(z >= 0, stabiliser, -stabiliser)
        filled = denominators != 0
        M[:, filled] += shares[filled] * numerators[:, filled] / denominators[filled]
    return M


def winners(op: MaxPool2d, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The 0/1 matrix of a max pool on (C, H, W): each output takes the first largest input of its window."""
    M = np.zeros((*x.shape, *y.shape))
    for c, i, j in np.ndindex(*y.shape):
        window = itertools.product(_window(op, i, 0, x, y), _window(op, j, 1, x, y))
        p, q = max(window, key=lambda at: x[c, at[0], at[1]])
        M[c, p, q, c, i, j] = 1
    return M.reshape(x.size, y.size)


def _window(op: MaxPool2d, out: int, axis: int, x: np.ndarray, y: np.ndarray) -> list[int]:
    size, outs = x.shape[1 + axis], y.shape[1 + axis]
    if op.kernel is None:
        return list(range(out * size // outs, -((out + 1) * size // -outs)))
    kernel, stride, padding, dilation = op.kernel, op.stride, op.padding, op.dilation
    places = [out * stride - padding + dilation * k for k in range(kernel)]
    return [p for p in places if 0 <= p < size]


def dense(node: Node, xs, y) -> np.ndarray:
    """The textbook matrix of an operation that is not linear."""
    match node.op:
        case MaxPool2d():
            return winners(node.op, xs[0][0].numpy(), y[0].numpy())
        case Concat():  # outputs in the order of the inputs
            return np.eye(y.numel())
        case Selection():
            return dense_weights(node, xs)[0].T
        case Product():  # all to the branch
            parts = [np.zeros((x.numel(), y.numel())) for x in xs]
            parts[1 - node.op.gate] = np.eye(y.numel())
            return np.concatenate(parts)
        case Aligned():  # all to the linear unit, nothing to what its cosine is taken with
            return np.concatenate([np.eye(y.numel()), np.zeros((xs[1].numel(), y.numel()))])
    return np.eye(y.numel())  # activations, dropout, reshapes, norms of their own


def ours(rule: AlphaBeta, node: Node, xs, y) -> np.ndarray:
    """(images, inputs, outputs), from one-hot relevance."""
    eye = torch.eye(y[0].numel(), dtype=torch.float64).view(1, -1, *y.shape[1:])
    parts = rule.local(node, xs, y).down(eye.expand(len(y), -1, *y.shape[1:]).clone())
    return torch.cat([part.flatten(2) for part in parts], 2).mT.numpy()


RULES = {name: get_method(name).rule for name in METHODS}
