"""What the tests of the LRP family share: toys, textbook matrices one entry at a time, zennit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from conetheory.networks.graph import Node
from conetheory.networks.ops import LinearOp
from conetheory.rules.base import Rule
from tests.rules.textbook import activations, dense_weights, ours

TOYS = (
    "max pool overlapping",
    "average pool padded",
    "adaptive average pool that repeats",
    "batch norm folded",
    "batch norm of its own",
    "hidden linear",
    "conv stride with a remainder",
    "conv groups with stride",
    "conv wide padding",
    "conv dilation",
    "linear alone, signed input",
    "signed averages",
    "residual of signed branches",
    "concatenation, one input twice",
    "nested branches",
)
Numbers = np.ndarray
Contributions = Callable[[Numbers, Numbers, Numbers], tuple[Numbers, Numbers]]


def linear_steps(toy: str) -> list[tuple[Node, tuple[Tensor, ...], Tensor]]:
    return [step for step in activations(toy) if isinstance(step[0].op, LinearOp)]


@cache
def weights(toy: str, name: str) -> tuple[Numbers, Numbers]:
    """W (outputs, inputs) and b (outputs, 1)."""
    node, xs, _ = next(step for step in linear_steps(toy) if step[0].name == name)
    W, b = dense_weights(node, xs)
    return W, b[:, None]


def matrices(
    toy: str, contributions: Contributions
) -> Iterator[tuple[Node, tuple[Tensor, ...], Tensor, Numbers]]:
    """Each linear operation of a toy with M (images, inputs, outputs).

    `contributions` gives those of each input to each output, and the denominators, from W, b and the
    inputs of one image; a column of 0 / 0 is 0.
    """
    for node, xs, y in linear_steps(toy):
        found = []
        for image in range(len(y)):
            x = torch.cat([x[image].flatten() for x in xs]).numpy()
            c, z = contributions(*weights(toy, node.name), x)
            found.append((c / np.where(z == 0, np.inf, z)).T)
        yield node, xs, y, np.stack(found)


def assert_textbook(rule: Rule, toy: str, contributions: Contributions) -> None:
    """To rounding: a sum that nearly cancels is off by its condition, column by column."""
    for node, xs, y, expected in matrices(toy, contributions):
        off = np.abs(ours(rule, node, xs, y) - expected)
        condition = 1 + np.abs(expected).sum(1, keepdims=True)
        assert (off <= 1e-12 * condition * np.abs(expected).max(1, keepdims=True)).all()


def total(c: Numbers) -> Numbers:
    """z (outputs, 1) of contributions (outputs, inputs)."""
    return c.sum(1, keepdims=True)


def stabilised(z: Numbers, eps: float) -> Numbers:
    return z + np.where(z >= 0, eps, -eps)


def zennit_relevance(model: nn.Module, images: Tensor, composite, v: Tensor) -> Tensor:
    """Relevance at the input of output vectors v; batch norms' own eps is merged, as zennit 1 does."""
    x = images.clone().requires_grad_()
    eps = {m: m.eps for m in model.modules() if isinstance(m, nn.BatchNorm2d)}
    with composite.context(model) as modified:
        for norm in eps:
            norm.eps = 0.0
        (relevance,) = torch.autograd.grad(modified(x), x, v)
    for norm, value in eps.items():
        norm.eps = value
    return relevance.detach()


def largest_difference(ours: Tensor, theirs: Tensor) -> float:
    """Relative to the largest relevance."""
    return float((ours - theirs).abs().max() / theirs.abs().max())
