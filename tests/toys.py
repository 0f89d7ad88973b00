"""Small networks, one for each layer type and structure; small enough for dense matrices.

A toy enters every test of the rules, the chain and the certificates by being registered in `TOYS`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from conetheory.chain.relevance import RelevanceChain
from conetheory.networks import trace
from conetheory.networks.attention import MatMul, Softmax
from conetheory.networks.bcos import Aligned, BCosConv2d, BCosLinear
from conetheory.networks.coupling import Product, Standardise
from conetheory.networks.graph import Graph
from conetheory.rules.fitted_patterns import fit_patterns
from conetheory.rules.registry import Method, find, get_method
from tests.networks.toys import random_images, seeded

SHAPE = (2, 6, 7)
AREA = SHAPE[1] * SHAPE[2]
BIASES = ("none", "bach", "signed")
METHODS = ("lrp-alpha1beta0", "lrp-alpha2beta1", "lrp-alpha5beta4", "lrp-alpha1.5beta0.5")
TOYS: dict[str, Callable[[], nn.Module]] = {}


class Toy(nn.Module):
    """`body(self, x)` with the given modules."""

    def __init__(self, body: Callable[[nn.Module, Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self, x)


class Axes(nn.Module):
    """Two axes exchanged."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__()
        self.axes = first, second

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(*self.axes)


def register(name: str) -> Callable[[Callable[[], nn.Module]], Callable[[], nn.Module]]:
    def keep(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        assert name not in TOYS
        TOYS[name] = build
        return build

    return keep


@cache
def graph(name: str) -> Graph:
    return trace(seeded(TOYS[name]), SHAPE)


def images(count: int = 2, seed: int = 1) -> Tensor:
    """Signed images, with some exact zeros, so that pools may be empty."""
    x = random_images(count, *SHAPE, seed=seed)
    return torch.where(x.abs() < 0.2, 0.0, x)


def chain(
    name: str,
    method: str = "lrp-alpha1beta0",
    count: int = 2,
    *,
    dtype: torch.dtype | None = None,
    device: str | None = None,
    **parameters: Any,
) -> RelevanceChain:
    placed = {"dtype": dtype, "device": device}
    return RelevanceChain(graph(name), images(count), method, parameters=parameters, **placed)


def layered(layer: Callable[[], nn.Module]) -> nn.Module:
    """The layer between a rectified convolution and a linear head: nonnegative, sparse input."""
    body = [nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), layer(), nn.ReLU(), nn.Flatten()]
    width = nn.Sequential(*body)(torch.zeros(1, *SHAPE)).numel()
    return nn.Sequential(*body, nn.Linear(width, 5))


CONVOLUTIONS = {
    "1x1": {"kernel_size": 1},
    "same": {"kernel_size": 3, "padding": 1},
    "no padding": {"kernel_size": 3},
    "wide padding": {"kernel_size": 1, "padding": 2},
    "oblong": {"kernel_size": (1, 3), "padding": (0, 1)},
    "stride": {"kernel_size": 3, "padding": 1, "stride": 2},
    "stride with a remainder": {"kernel_size": 2, "stride": (3, 2)},
    "dilation": {"kernel_size": 2, "dilation": (2, 3), "padding": 1},
    "groups": {"kernel_size": 3, "padding": 1, "groups": 2},
    "groups with stride": {"kernel_size": 3, "stride": 2, "groups": 2},
    "depthwise": {"kernel_size": 3, "padding": 1, "groups": 4},
    "no bias": {"kernel_size": 3, "bias": False},
}
LAYERS = {
    "max pool": partial(nn.MaxPool2d, 2),
    "max pool overlapping": partial(nn.MaxPool2d, 3, 2),
    "max pool padded": partial(nn.MaxPool2d, 3, 1, 1),
    "max pool ceil": partial(nn.MaxPool2d, 3, 2, ceil_mode=True),
    "max pool dilated": partial(nn.MaxPool2d, 2, 1, dilation=2),
    "adaptive max pool": partial(nn.AdaptiveMaxPool2d, (4, 3)),
    "average pool": partial(nn.AvgPool2d, 2),
    "average pool padded": partial(nn.AvgPool2d, 3, 2, 1),
    "average pool without the padding": partial(nn.AvgPool2d, 3, 2, 1, count_include_pad=False),
    "adaptive average pool": partial(nn.AdaptiveAvgPool2d, (4, 3)),
    "adaptive average pool that repeats": partial(nn.AdaptiveAvgPool2d, 8),
    "global mean": partial(nn.AdaptiveAvgPool2d, 1),
    "batch norm folded": lambda: nn.Sequential(nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3)),
    "batch norm of its own": partial(nn.BatchNorm2d, 4),
    "dropout": partial(nn.Dropout2d, 0.5),
    "in-place relu": lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True)),
    "prelu": lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.PReLU()),
    "group norm": partial(nn.GroupNorm, 2, 4),
    "instance norm": partial(nn.InstanceNorm2d, 4, affine=True),
    "layer norm of the whole image": partial(nn.LayerNorm, (4, *SHAPE[1:]), elementwise_affine=False),
    "axes exchanged": partial(Axes, 2, 3),
    "pixel shuffle": partial(nn.PixelShuffle, 2),
    "pixel unshuffle": lambda: nn.Sequential(nn.ZeroPad2d((0, 1, 0, 0)), nn.PixelUnshuffle(2)),
    "upsampling nearest": lambda: nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2)),
    "upsampling bilinear": lambda: nn.Sequential(
        nn.MaxPool2d(2), nn.Upsample(size=(5, 4), mode="bilinear", align_corners=False)
    ),
    "transposed convolution": partial(
        nn.ConvTranspose2d, 4, 2, 3, stride=2, padding=1, output_padding=(0, 1)
    ),
    "transposed convolution of groups": partial(nn.ConvTranspose2d, 4, 2, 2, dilation=(2, 1), groups=2),
    "hidden linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(4 * AREA, 6)),
    **{f"conv {k}": partial(nn.Conv2d, 4, 4, **v) for k, v in CONVOLUTIONS.items()},
}
TOYS |= {name: partial(layered, layer) for name, layer in LAYERS.items()}
# of the layers, one for each way of connecting locations
TYPICAL = {"conv same", "conv stride", "conv groups", "max pool overlapping", "average pool padded"}
TYPICAL |= {"global mean", "batch norm of its own", "hidden linear", "group norm", "pixel shuffle"}
# one for each way of joining branches (nested ones: slow), and a network; of many units at the top, none
QUICK = {"conv stride", "max pool overlapping", "global mean", "batch norm of its own", "group norm"}
QUICK |= {"residual of signed branches", "concatenation, one input twice", "small vgg"}
QUICK |= {"squeeze and excitation", "attention of rectified tokens"}


def coupled(name: str) -> bool:
    """Whether a toy has a product of branches, a softmax or a norm by its own statistics."""
    return any(
        isinstance(node.op, Product | Standardise | MatMul | Softmax | Aligned)
        for node in graph(name).nodes.values()
    )


COUPLED = ["group norm", "instance norm", "layer norm of the whole image", "squeeze and excitation"]
COUPLED += ["attention of rectified tokens", "transformer", "b-cos units"]
COUPLED += ["gate of each location, on a signed branch", "norm and dense layers on the last axis"]


def alone() -> list[str]:
    """The toys of which every unit is linear, elementwise or a maximum of those below."""
    return [name for name in TOYS if name not in COUPLED]


def typical() -> list:
    """All toys as parameters: few in the quick run, in the slow one more, all in the exhaustive one."""
    marks = {name: [] if name in QUICK else [pytest.mark.slow] for name in TOYS}
    marks |= {name: [pytest.mark.exhaustive] for name in LAYERS.keys() - TYPICAL}
    return [pytest.param(name, marks=marks[name]) for name in TOYS]


@register("attention of rectified tokens")
def _() -> nn.Module:
    def body(m: nn.Module, x: Tensor) -> Tensor:
        t = functional.max_pool2d(m.a(x).relu(), 2, 2).flatten(2).mT
        return m.head(m.att(t, t, t, need_weights=False)[0].relu().mean(1))

    modules = {"att": nn.MultiheadAttention(4, 2, batch_first=True), "head": nn.Linear(4, 3)}
    return Toy(body, a=nn.Conv2d(2, 4, 3, padding=1), **modules)


class Block(nn.Module):
    """A vision transformer of one block, written out: class token, positions, scores with an offset."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(2, 4, 2, 2)
        self.token, self.places = nn.Parameter(torch.randn(1, 1, 4)), nn.Parameter(torch.randn(1, 10, 4))
        self.scores = nn.Parameter(torch.randn(2, 10, 10))
        self.before, self.behind = nn.LayerNorm(4), nn.LayerNorm(4)
        self.qkv, self.out = nn.Linear(4, 12), nn.Linear(4, 4)
        self.up, self.down, self.head = nn.Linear(4, 6), nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        t = self.patches(x).flatten(2).transpose(1, 2)
        t = torch.cat([self.token.expand(len(x), -1, -1), t], 1) + self.places
        t = t + self.out(self.attention(self.before(t)))
        t = t + self.down(functional.gelu(self.up(self.behind(t))))
        return self.head(t[:, 0])

    def attention(self, t: Tensor) -> Tensor:
        q, k, v = self.qkv(t).reshape(len(t), -1, 3, 2, 2).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * 2**-0.5 + self.scores).softmax(-1)
        return (weights @ v).transpose(1, 2).flatten(2)


TOYS["transformer"] = Block


def conv(into: int = 3, out: int = 3, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(into, out, kernel, padding=kernel // 2)


@register("linear alone, signed input")
def _() -> nn.Module:
    return Toy(lambda m, x: m.fc(x.flatten(1)), fc=nn.Linear(2 * AREA, 5))


@register("signed averages")
def _() -> nn.Module:
    return Toy(lambda m, x: functional.avg_pool2d(m.conv(x), 2).mean((2, 3)), conv=conv(2, 3))


@register("residual with a signed branch")
def _() -> nn.Module:
    return Toy(lambda m, x: m.b(y := m.a(x).relu()) + y, a=conv(2), b=conv())


@register("residual of signed branches")
def _() -> nn.Module:
    return Toy(lambda m, x: (m.b(y := m.a(x)) + y).relu().flatten(1), a=conv(2), b=conv())


@register("added to itself")
def _() -> nn.Module:
    return Toy(lambda m, x: m.b((y := m.a(x)) + y), a=conv(2), b=conv())


@register("concatenation, one input twice")
def _() -> nn.Module:
    body = lambda m, x: m.b(torch.cat([y := m.a(x).relu(), m.c(y), y], 1))  # noqa: E731
    return Toy(body, a=conv(2), c=conv(3, 2), b=conv(8, 2))


@register("module twice")
def _() -> nn.Module:
    return Toy(lambda m, x: m.relu(m.b(m.relu(m.b(m.a(x))))), a=conv(2), b=conv(), relu=nn.ReLU(inplace=True))


@register("nested branches")
def _() -> nn.Module:
    def body(m: nn.Module, x: Tensor) -> Tensor:
        y = m.a(x).relu()
        inner = m.b(y).relu()
        outer = torch.cat([m.c(inner) + inner, m.d(y)], 1).relu()
        return m.head(outer).mean((2, 3)) + m.skip(y.flatten(1))

    modules = {"a": conv(2), "b": conv(), "c": conv(), "d": conv(3, 2, 1), "head": conv(5, 4)}
    return Toy(body, **modules, skip=nn.Linear(3 * AREA, 4))


class Dense(nn.Module):
    """A DenseNet block of two layers, batch norms before the convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(2, 2)
        self.norms = nn.ModuleList([nn.BatchNorm2d(2), nn.BatchNorm2d(4)])
        self.convs = nn.ModuleList([conv(2, 2), conv(4, 2)])
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        features = [self.stem(x)]
        for norm, layer in zip(self.norms, self.convs, strict=True):
            features.append(layer(norm(torch.cat(features, 1)).relu()))
        return self.head(torch.cat(features, 1).mean((2, 3)))


@register("dense block")
def _() -> nn.Module:
    return Dense()


def squeeze_excited(m: nn.Module, x: Tensor) -> Tensor:
    """A gate for each channel, from the means over all locations."""
    y = m.a(x).relu()
    gate = m.up(m.down(y.mean((2, 3), keepdim=True)).relu()).sigmoid()
    return (gate * y).flatten(1)


@register("squeeze and excitation")
def _() -> nn.Module:
    return Toy(squeeze_excited, a=conv(2), down=conv(3, 2, 1), up=conv(2, 3, 1), b=conv())


@register("gate of each location, on a signed branch")
def _() -> nn.Module:
    return Toy(lambda m, x: m.b((y := m.a(x)) * m.gate(y).sigmoid()), a=conv(2), gate=conv(3, 1), b=conv())


class Scaled(nn.Module):
    """Layer scale and a scaled skip, as in ConvNeXt and in scaled residual networks."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = conv(2), conv()
        self.scale = nn.Parameter(torch.tensor([0.5, -0.3, 2.0]).view(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x).relu()
        return (self.scale * self.b(y) + y / 4).relu().flatten(1) * 0.5


@register("scaled branches")
def _() -> nn.Module:
    return Scaled()


def shuffled(m: nn.Module, x: Tensor) -> Tensor:
    """One branch of two, padded and cropped, and a channel shuffle, as in ShuffleNet V2."""
    left, right = m.a(x).relu().chunk(2, 1)
    right = functional.pad(m.b(right).relu(), (1, 0, 2, 1))[:, :, 1:-2, 1:]
    y = torch.cat([left, right], 1)
    n, channels, h, w = y.shape
    y = y.view(n, 2, channels // 2, h, w).transpose(1, 2).contiguous().view(n, channels, h, w)
    return m.c(y).flatten(1)


@register("channel shuffle of parts")
def _() -> nn.Module:
    return Toy(shuffled, a=conv(2, 4), b=conv(2, 2), c=conv(4, 2))


class LastAxis(nn.Module):
    """A block of ConvNeXt: norm and dense layers over channels that were moved to the end."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.head = conv(2), conv()
        self.norm, self.up, self.down = nn.LayerNorm(3), nn.Linear(3, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        inside = self.down(functional.gelu(self.up(self.norm(y.permute(0, 2, 3, 1)))))
        return self.head(inside.permute(0, 3, 1, 2) + y).flatten(1)


@register("norm and dense layers on the last axis")
def _() -> nn.Module:
    return LastAxis()


@register("b-cos units")
def _() -> nn.Module:
    layers = [BCosConv2d(2, 4, 3, 2, 1), BCosConv2d(4, 4, (1, 2), padding=(0, 1), groups=2, b=1.5)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), BCosLinear(16, 5))


@register("small vgg")
def _() -> nn.Module:
    layers = [conv(2, 4), nn.ReLU(), conv(4, 4), nn.ReLU(), nn.MaxPool2d(2), conv(4, 6), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 5))


def fitted(name: str, network: Graph, samples: Tensor) -> Method:
    """A method by name, with patterns fitted to `samples` where it needs them (kept when weights change)."""
    if "patterns" not in find(name).parameters:
        return get_method(name)
    return get_method(name, patterns=fit_patterns(network, samples), stale="products")
