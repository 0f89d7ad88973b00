"""Oracles: what rates should be, from dense matrices alone."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from conetheory.chain.operation import Operation
from conetheory.chain.relevance import RelevanceChain


def column_sums(chain: RelevanceChain) -> dict[str, Tensor]:
    """The image of the start's column sums at every tensor below the logits, `(1, 1, *shape)`."""
    h = chain.up(chain.ones("input"), "input", "logits")
    return {name: parts["logits"] for name, parts in chain.sweep({"logits": h})}


def _tensor(operation: Operation, r: Tensor) -> np.ndarray:
    """(channels, locations) of a relevance at an operation's output."""
    return r[0, 0].reshape(operation.node.shape[0], -1).double().numpy()


def blocks(operation: Operation) -> np.ndarray:
    """M as (channels of all inputs, locations below, channels above, locations above)."""
    M = operation.dense().double().numpy()
    sizes = [math.prod(shape) for shape in operation.shapes]
    parts = np.split(M, np.cumsum(sizes)[:-1])
    above = operation.node.shape[0]
    shaped = [
        part.reshape(shape[0], -1, above, part.shape[1] // above)
        for part, shape in zip(parts, operation.shapes, strict=True)
    ]
    return np.concatenate(shaped)


def location_chain(operation: Operation, r: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """t^T (locations above, below) of a nonnegative M at relevance r, and weights, uniform over live ones."""
    M = blocks(operation)
    arrived = np.einsum("ipjq,jq->pq", M, _tensor(operation, r))  # summed over the channels below
    size = arrived.sum(1)
    t = np.divide(arrived, size[:, None], out=np.zeros_like(arrived), where=size[:, None] > 0)
    w = (size > 0).astype(float)
    return t.T, w / w.sum()


def six_moments(operation: Operation, r: Tensor) -> tuple[float, float]:
    """Variance of the step within channels and between them, mean over live locations and both axes.

    In the output's pixels: f_i(q) is the share of channel i at p that comes from q, weights c_i^2.
    """
    spaces = {shape[1:] for shape in operation.shapes}
    height, width = operation.node.shape[1:] if len(operation.node.shape) == 3 else (1, 1)
    if len(spaces) > 1 or height * width == 1:
        return math.nan, math.nan
    M = blocks(operation)
    D = np.einsum("ipjq,jq->ipq", M, _tensor(operation, r))
    c = D.sum(2)
    place = np.stack(np.divmod(np.arange(height * width), width))  # (axis, q)
    first = np.einsum("ipq,aq->aip", D, place)
    second = np.einsum("ipq,aq->aip", D, place**2)
    live = (c**2).sum(0) > 0
    c, first, second = c[:, live], first[..., live], second[..., live]
    length = (c**2).sum(0)
    mean = (c * first).sum(1) / length  # (axis, p)
    whole = (c * second).sum(1) / length - mean**2
    between = ((first - mean[:, None] * c) ** 2).sum(1) / length
    return float((whole - between).mean()), float(between.mean())
