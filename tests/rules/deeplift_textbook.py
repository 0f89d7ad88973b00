"""DeepLIFT as its paper writes it, unit by unit."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import nn

from conetheory.chain.relevance import RelevanceChain
from conetheory.networks import trace
from conetheory.networks.graph import INPUT, Graph
from conetheory.networks.ops import Affine, AvgPool2d, Concat, LinearOp, MaxPool2d, PassThrough
from conetheory.networks.selection import Selection
from tests.networks.toys import random_images, seeded
from tests.rules.textbook import dense_weights, winners
from tests.toys import SHAPE, TOYS, conv, graph, images

METHODS = ("deeplift-rescale", "deeplift-revealcancel", "deeplift-ablation")


KINDS = {
    "rescale": ("deeplift-rescale", {}),
    "revealcancel": ("deeplift-revealcancel", {}),
    "ablation": ("deeplift-ablation", {}),
    "shared": ("deeplift-ablation", {"chains": "shared"}),
}


REFERENCE = random_images(*SHAPE, seed=9)


def open_chain(net: nn.Module, x, method: str, *, parameters=None) -> RelevanceChain:
    x = torch.as_tensor(x, dtype=torch.float64)
    return RelevanceChain(trace(net.double().eval(), tuple(x.shape[1:])), x, method, parameters=parameters)


def every_output(chain: RelevanceChain) -> torch.Tensor:
    return chain.one_hot("logits", range(chain.logits[0].numel()))


def layer(weights, bias) -> nn.Linear:
    found = nn.Linear(len(weights[0]), len(weights))
    with torch.no_grad():
        found.weight.copy_(torch.tensor(weights))
        found.bias.copy_(torch.tensor(bias))
    return found


FLIPPED = "batch norm of its own, some scales negative"


@cache
def network(toy: str) -> Graph:
    if toy != FLIPPED:
        return graph(toy)
    net = seeded(TOYS["batch norm of its own"])
    with torch.no_grad():
        net[2].weight[::2] *= -1
    return trace(net, SHAPE)


@cache
def matrix(toy: str, name: str) -> np.ndarray:
    node, xs, _ = next(step for step in network(toy).run(images()) if step[0].name == name)
    return dense_weights(node, xs)[0]


def slope(op: PassThrough, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The secant of an activation, unit by unit; where nothing changes the slope from the left."""
    f = lambda t: op.forward(torch.from_numpy(t)).numpy()  # noqa: E731
    return np.array(
        [
            (fb - fa) / (tb - ta) if tb != ta else (fb - fc) * 2.0**20
            for fa, fb, fc, ta, tb in zip(f(a), f(b), f(b - 2.0**-20), a, b, strict=True)
        ]
    )


class Textbook:
    """Components up and multipliers down on flat vectors of one image, by the formulas of the two papers."""

    def __init__(self, toy: str, kind: str, x: torch.Tensor, x0: torch.Tensor) -> None:
        self.toy, self.kind, self.graph = toy, kind, network(toy)
        self.steps = list(self.graph.run(torch.stack([x, x0])))
        self.value = {INPUT: self._flat(torch.stack([x, x0]))}
        self.value |= {node.name: self._flat(y) for node, _, y in self.steps}
        self.delta = {name: a - b for name, (a, b) in self.value.items()}
        self.parts = {INPUT: self._by_sign(INPUT)}
        for node, xs, _ in self.steps:
            self.parts[node.name] = self._components(node, xs)

    @staticmethod
    def _flat(t: torch.Tensor) -> np.ndarray:
        return t.flatten(1).numpy()

    def _by_sign(self, name: str) -> list[np.ndarray]:
        return [
            np.where(self.delta[name] > 0, self.delta[name], 0),
            np.where(self.delta[name] < 0, self.delta[name], 0),
        ]

    def _joined(self, node, of) -> np.ndarray:
        return np.concatenate([of[name] for name in node.inputs])

    def _slopes(self, node) -> list[np.ndarray]:
        (name,) = node.inputs
        (x, x0), (plus, minus) = self.value[name], self.parts[name]
        if self.kind != "revealcancel":
            return [slope(node.op, x0, x)] * 2
        return [
            (slope(node.op, x0, x0 + d) + slope(node.op, x0 + e, x0 + e + d)) / 2
            for d, e in ((plus, minus), (minus, plus))
        ]

    def _scale(self, node, xs) -> np.ndarray:
        size = xs[0][0, 0].numel()
        return np.repeat(node.op.scale.numpy(), size)

    def _components(self, node, xs) -> list[np.ndarray]:
        inside = [self.parts[name] for name in node.inputs]
        match node.op:
            case AvgPool2d():
                return [matrix(self.toy, node.name) @ part for part in inside[0]]
            case LinearOp():
                c = matrix(self.toy, node.name) * self._joined(node, self.delta)
                return [np.where(c > 0, c, 0).sum(1), np.where(c < 0, c, 0).sum(1)]
            case MaxPool2d():
                return self._by_sign(node.name)
            case Affine():
                c = self._scale(node, xs) * np.stack(inside[0])
                return [np.where(c > 0, c, 0).sum(0), np.where(c < 0, c, 0).sum(0)]
            case PassThrough(kind="activation"):
                return [s * part for s, part in zip(self._slopes(node), inside[0], strict=True)]
            case Selection():
                return [matrix(self.toy, node.name) @ part for part in inside[0]]
            case Concat():
                return [np.concatenate(parts) for parts in zip(*inside, strict=True)]
        return inside[0]

    def _step(self, node, xs, y, m: list[np.ndarray]) -> list[np.ndarray]:
        """Multipliers (m+, m-) of the output, each (units, vectors), to those of all inputs together."""
        d, cancelling = self._joined(node, self.delta)[:, None], self.kind == "revealcancel"
        match node.op:
            case LinearOp() if not isinstance(node.op, AvgPool2d) and self.kind != "rescale":
                return self._linear(matrix(self.toy, node.name), d, *m)
            case LinearOp():
                return [matrix(self.toy, node.name).T @ part for part in m]
            case Selection():
                return [matrix(self.toy, node.name).T @ part for part in m]
            case MaxPool2d():
                if cancelling:
                    m = self._linear(np.eye(len(m[0])), self.delta[node.name][:, None], *m)
                return [winners(node.op, xs[0][0].numpy(), y[0].numpy()) @ part for part in m]
            case Affine():
                g = self._scale(node, xs)[:, None]
                if cancelling:
                    plus, minus = np.where(g > 0, g, 0), np.where(g < 0, g, 0)
                    return [plus * m[0] + minus * m[1], minus * m[0] + plus * m[1]]
                if self.kind == "ablation":
                    return [(d > 0) * np.maximum(g, 0) * m[0], (d < 0) * np.maximum(g, 0) * m[1]]
                return [g * part for part in m]
            case PassThrough(kind="activation"):
                return [s[:, None] * part for s, part in zip(self._slopes(node), m, strict=True)]
        return m  # concatenation, reshapes, dropout

    def _linear(self, W: np.ndarray, d: np.ndarray, plus: np.ndarray, minus: np.ndarray) -> list[np.ndarray]:
        """The masks of the deeplift package, and what the ablations leave of them."""
        up, down = np.where(W > 0, W, 0).T, np.where(W < 0, W, 0).T
        match self.kind:
            case "ablation":
                return [(d > 0) * (up @ plus), (d < 0) * (up @ minus)]
            case "shared":
                return [
                    (d > 0) * (up @ plus) + (d < 0) * (up @ minus) + (d == 0) * (W.T @ (plus + minus) / 2)
                ] * 2
        rising, falling = up @ plus + down @ minus, down @ plus + up @ minus
        return [(d > 0) * rising + (d < 0) * falling + (d == 0) * (W.T @ (plus + minus) / 2)] * 2

    def multipliers(self) -> dict[str, list[np.ndarray]]:
        """(m+, m-) of every tensor, (units, outputs), from all logits."""
        found = {
            name: [np.zeros((len(d), len(self.delta[self.graph.output])))] * 2
            for name, d in self.delta.items()
        }
        found[self.graph.output] = [np.eye(len(self.delta[self.graph.output]))] * 2
        for node, xs, y in reversed(self.steps):
            sizes = np.cumsum([len(self.delta[name]) for name in node.inputs])[:-1]
            blocks = [np.split(part, sizes) for part in self._step(node, xs, y, found[node.name])]
            for i, name in enumerate(node.inputs):
                found[name] = [held + block[i] for held, block in zip(found[name], blocks, strict=True)]
        return found


ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.ELU, nn.LeakyReLU)


def captum_net(activation: type[nn.Module]) -> nn.Module:
    """What captum 0.9 gets right: no module twice, and no activation right before or behind a max pool.

    Where a max pool stands right behind an activation, its contributions do not sum to the difference.
    """
    layers = [conv(2, 4), nn.MaxPool2d(2), conv(4, 5), activation(), conv(5, 5), nn.AvgPool2d(3, 3)]
    return nn.Sequential(*layers, activation(), nn.Flatten(), nn.Linear(5, 6), activation(), nn.Linear(6, 4))
