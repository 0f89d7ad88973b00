"""Small random networks of every structure, with numbers that are hard on certificates.

Dense layers, convolutions, pools, sums and concatenations, a dozen units a tensor; weights with any zeros,
over 76 decades, with duplicates, with sums that cancel.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from conetheory.networks.graph import INPUT, Graph, Node
from conetheory.networks.ops import (
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    Linear,
    MaxPool2d,
    Op,
    PassThrough,
)

F64 = torch.float64
UNITS = 14  # at most, in a tensor
STYLES = ("plain", "sparse", "wide", "twins", "cancelling", "positive", "extreme")


def numbers(rng: np.random.Generator, shape: tuple[int, ...], style: str) -> Tensor:
    """Weights of one style; all are float32 numbers."""
    sign = rng.choice([-1.0, 1.0], shape)
    match style:
        case "plain":
            values = rng.normal(size=shape)
        case "sparse":
            values = rng.normal(size=shape) * (rng.random(shape) < 0.5)
        case "wide":
            values = sign * 10.0 ** rng.uniform(-8, 8, shape) * (rng.random(shape) < 0.9)
        case "twins":
            values = rng.choice(rng.normal(size=2), shape) + (rng.random(shape) < 0.3) * 2.0**-20
        case "cancelling":
            values = rng.choice([1.0, -1.0, 2.0**-60, -(2.0**-60), 2.0**30, 0.0], shape)
        case "positive":
            values = rng.uniform(0.1, 1, shape)
        case _:
            values = sign * rng.choice([1e-38, 1e38, 1.0, 1.2e-38, 0.0], shape)
    return torch.from_numpy(values).to(torch.float32).to(F64)


@dataclass
class Builder:
    """A graph that is built node by node."""

    rng: np.random.Generator
    input_shape: tuple[int, ...]
    styles: tuple[str, ...]
    nodes: dict[str, Node] = field(default_factory=dict)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.input_shape if name == INPUT else self.nodes[name].shape

    def add(self, op: Op, *inputs: str) -> str:
        given = [torch.zeros((1, *self.shape(name)), dtype=F64) for name in inputs]
        name = str(len(self.nodes))
        self.nodes[name] = Node(name, op, inputs, tuple(op.forward(*given).shape[1:]))
        return name

    def weights(self, *shape: int) -> dict[str, Tensor | None]:
        style = self.rng.choice(self.styles)
        biased = self.rng.random() < 0.5
        bias = numbers(self.rng, shape[:1], self.rng.choice(["plain", style])) if biased else None
        return {"weight": numbers(self.rng, shape, style), "bias": bias}

    def relu(self, name: str) -> str:
        if self.rng.random() < 0.1:
            return name
        return self.add(PassThrough(torch.relu, "activation"), name)

    def conv(self, name: str, out: int | None = None, same: bool = False) -> str:
        c, h, w = self.shape(name)
        out = out or int(self.rng.integers(1, 4))
        kernel = int(self.rng.integers(1, np.minimum(3, np.minimum(h, w)) + 1))
        if same:
            kernel = 3 if kernel > 1 else 1
        padding = kernel // 2 if same else int(self.rng.integers(0, kernel // 2 + 1))
        stride = 1 if same else int(self.rng.integers(1, 3))
        return self.add(
            Conv2d(**self.weights(out, c, kernel, kernel), padding=(padding,) * 2, stride=(stride,) * 2), name
        )

    def pool(self, name: str) -> str:
        _, h, w = self.shape(name)
        kernel = int(self.rng.integers(1, np.minimum(2, np.minimum(h, w)) + 1))
        if self.rng.random() < 0.5:
            return self.add(MaxPool2d(kernel, int(self.rng.integers(1, 3)), 0), name)
        mean = torch.nn.AvgPool2d(kernel, 1, ceil_mode=False)
        return self.add(AvgPool2d(function=mean), name)

    def branch(self, name: str) -> str:
        """A sum of two branches, or a concatenation."""
        channels = self.shape(name)[0]
        one = self.relu(self.conv(name, channels, same=True))
        other = name if self.rng.random() < 0.5 else self.conv(name, channels, same=True)
        return self.add(Add() if self.rng.random() < 0.5 else Concat(), one, other)

    def dense(self, name: str, out: int) -> str:
        return self.add(Linear(**self.weights(out, self.shape(name)[0])), name)


def random_network(rng: np.random.Generator) -> tuple[Graph, Tensor]:
    """A network and one image of it."""
    dense = rng.random() < 0.25
    side = int(rng.integers(1, 4))
    shape = (
        (int(rng.integers(2, 7)), 1, 1) if dense else (int(rng.integers(1, 4)), side, int(rng.integers(1, 4)))
    )
    styles = tuple(rng.choice(STYLES, rng.integers(1, 3), p=[0.3, 0.2, 0.1, 0.1, 0.1, 0.15, 0.05]))
    built = Builder(rng, shape, styles)
    name = INPUT
    for _ in range(0 if dense else int(rng.integers(1, 4))):
        before = dict(built.nodes), name
        step = rng.choice([built.conv, built.conv, built.pool, built.branch])
        name = built.relu(step(name))
        if np.prod(built.shape(name)) > UNITS:
            built.nodes, name = before
    name = built.add(PassThrough(lambda x: torch.flatten(x, 1), "reshape"), name)
    for _ in range(int(rng.integers(0, 3)) if not dense else int(rng.integers(1, 5))):
        name = built.relu(built.dense(name, int(rng.integers(2, 6))))
    name = built.dense(name, int(rng.integers(2, 5)))
    return Graph(built.nodes, shape, name), random_image(rng, shape)


def random_image(rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
    values = numbers(rng, shape, str(rng.choice(STYLES, p=[0.2, 0.1, 0.1, 0.1, 0.05, 0.4, 0.05])))
    return values.abs() if rng.random() < 0.5 else values


# ---------------------------------------------------------------- zeros that are none


def vanishing_network(rng: np.random.Generator) -> tuple[Graph, Tensor]:
    """Eight to ten layers of weights 1 and 1.2e-38, with units that live by their bias alone and lose all
    they get: columns whose largest entries lie below 1e-308, or nearly."""
    width, depth = int(rng.integers(3, 5)), int(rng.integers(8, 11))
    built, name, keeps = Builder(rng, (width, 1, 1), ()), INPUT, rng.random() < 0.8
    name = built.add(PassThrough(lambda x: torch.flatten(x, 1), "reshape"), name)
    for layer in range(depth):
        out = width if layer < depth - 1 else int(rng.integers(2, 4))
        W = rng.choice([-1.0, 0.0, 1.0, 1.2e-38], (out, width), p=[0.05, 0.25, 0.05, 0.65])
        W[:, 0] = rng.random(out) < 0.8
        if keeps:  # the last unit keeps to itself
            W[:, -1] = 0.0
            W[-1] = np.arange(width) == width - 1
        W[0] = -np.abs(W[0]) if layer < depth - 1 else W[0]
        bias = np.where(np.arange(out) == 0, 3.0 * width, 0.0)
        name = built.add(Linear(weight=torch.from_numpy(W), bias=torch.from_numpy(bias)), name)
        name = name if layer == depth - 1 else built.add(PassThrough(torch.relu, "activation"), name)
    return Graph(built.nodes, (width, 1, 1), name), torch.ones((width, 1, 1), dtype=F64)


def cancelling_network(rng: np.random.Generator) -> tuple[Graph, Tensor]:
    """Two layers of powers of two: for alpha-beta rules what arrives at a location often cancels, to nothing
    or to 2^-59, which float64 can't tell apart."""
    built, name = Builder(rng, (2, 1, 2), ()), INPUT
    name = built.add(PassThrough(lambda x: torch.flatten(x, 1), "reshape"), name)
    hidden = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], dtype=float)
    top = np.array([[0.5, -1.0, 2.0 ** -float(rng.integers(40, 70)), 0.0], [0.0, 0.0, 0.0, 1.0]])
    for W, values in ((hidden, [0.0, 1.0]), (top, [0.5, 1.0, 0.0])):  # some of them changed
        if rng.random() < 0.3:
            W[tuple(rng.integers(W.shape))] = rng.choice(values)
    places, units = rng.permutation(4), rng.permutation(4)
    name = built.add(Linear(weight=torch.from_numpy(hidden[units][:, places])), name)
    name = built.add(PassThrough(torch.relu, "activation"), name)
    name = built.add(Linear(weight=torch.from_numpy(top[:, units])), name)
    return Graph(built.nodes, (2, 1, 2), name), torch.ones((2, 1, 2), dtype=F64)
