"""What every method does at every operation: a table that is read off the maps themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError, UnsupportedLayerError
from conetheory.networks import trace
from conetheory.networks.bcos import BCosConv2d
from conetheory.networks.graph import INPUT, Graph
from conetheory.networks.ops import PassThrough, Shape
from conetheory.rules.bilinear import Bilinear, Branch, RankOne
from conetheory.rules.couplings import Alignment, Factors, Moved, OneBranch, Standardisation
from conetheory.rules.fitted_patterns import fit_patterns
from conetheory.rules.maps import (
    Blockwise,
    Chained,
    Diagonal,
    LocalMap,
    Same,
    ScaledMap,
    Selected,
    Split,
    WinnerTakesAll,
)
from conetheory.rules.rectifiers import Rectified, Thresholded
from conetheory.rules.registry import find, methods
from docs.made.markdown import table

SHAPE = (4, 4, 4)
VOLUME = (2, 2, 3, 4)
WORDS: dict[type, str] = {
    Same: "as it is",
    Diagonal: "a factor a unit",
    ScaledMap: "its rule",
    WinnerTakesAll: "to the winner",
    Split: "own channels",
    Moved: "to where it was",
    OneBranch: "to the branch",
    Factors: "to both",
    Standardisation: "Jacobian",
    Alignment: "Jacobian",
    RankOne: "all units",
    Rectified: "rectified",
    Thresholded: "thresholded",
}


class Case(nn.Module):
    """One operation as a network of its own."""

    def __init__(self, body: Callable[[nn.Module, Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self, x)


def _attention(m: nn.Module, x: Tensor) -> Tensor:
    t = x.flatten(2).mT
    return torch.nn.functional.scaled_dot_product_attention(t, t.flip(1), t)


# what relevance crosses first, reshapes apart, is the operation that is meant
CASES: dict[str, tuple[Callable[[], nn.Module], Shape]] = {
    "convolution": (lambda: nn.Conv2d(4, 3, 3, padding=1), SHAPE),
    "convolution of volumes": (lambda: nn.Conv3d(2, 3, (1, 3, 3), padding=(0, 1, 1)), VOLUME),
    "transposed convolution": (lambda: nn.ConvTranspose2d(4, 3, 3, 2), SHAPE),
    "dense layer": (lambda: nn.Linear(12, 3), (12,)),
    "mean": (lambda: nn.AvgPool2d(2), SHAPE),
    "mean of volumes": (lambda: nn.AvgPool3d((2, 1, 2)), VOLUME),
    "upsampling": (lambda: nn.Upsample(scale_factor=2), SHAPE),
    "sum": (lambda: Case(lambda m, x: x + x.flip(1)), SHAPE),
    "constant added": (lambda: Case(lambda m, x: x + torch.linspace(-1, 1, 4).view(-1, 1, 1)), SHAPE),
    "max pool": (lambda: nn.MaxPool2d(2), SHAPE),
    "max pool of volumes": (lambda: nn.MaxPool3d((2, 1, 2)), VOLUME),
    "concatenation": (lambda: Case(lambda m, x: torch.cat([x, x], 1)), SHAPE),
    "axes, slices, padding": (lambda: nn.PixelShuffle(2), SHAPE),
    "activation": (nn.ReLU, SHAPE),
    "factor a channel": (lambda: nn.BatchNorm2d(4), SHAPE),
    "product with a gate": (lambda: Case(lambda m, x: x * x.mean((2, 3), keepdim=True)), SHAPE),
    "B-cos unit's cosine": (lambda: BCosConv2d(4, 3, 3, padding=1), SHAPE),
    "norm": (lambda: nn.GroupNorm(2, 4, affine=False), SHAPE),
    "RMS norm": (lambda: nn.RMSNorm(SHAPE, elementwise_affine=False), SHAPE),
    "softmax": (lambda: nn.Softmax(1), SHAPE),
    "weights times values": (lambda: Case(_attention), SHAPE),
}


@cache
def graph(name: str) -> Graph:
    """The network of one operation, with random weights, in float64."""
    build, shape = CASES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build().double().eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    return trace(model, shape)


@cache
def image(name: str) -> Tensor:
    """One image of any sign."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn((1, *CASES[name][1]), generator=generator, dtype=torch.float64)


def said(local: LocalMap) -> str:
    """What a map does, in a few words."""
    match local:
        case Blockwise(inner=inner) | Selected(inner=inner):
            return said(inner)
        case Branch():
            return "constant weights"
        case Bilinear():
            return "Jacobian" if local.scales is None else "half to each"
        case Chained(maps=maps):
            return ", ".join(dict.fromkeys(said(each) for each in maps))
    return WORDS.get(type(local), "its own")


def done(method: str, name: str) -> str:
    """What a method does at an operation; `refused`, or that it needs what only a network gives."""
    try:
        pair = torch.cat([image(name), -image(name).flip(1)])
        fitted = "patterns" in find(method).parameters
        parameters = {"patterns": fit_patterns(graph(name), pair)} if fitted else {}
        chain = RelevanceChain(graph(name), image(name), method, parameters=parameters)
    except UnsupportedLayerError:
        return "refused"
    except InputError:
        return "fitted to a network"
    crossed = list(chain.crossed(chain.graph.output, INPUT))
    own = [local for node, local in crossed if not isinstance(node.op, PassThrough)]
    return said(own[0] if own else crossed[0][1])


def rows() -> dict[tuple[str, ...], list[str]]:
    """Methods that do the same everywhere, by what they do at each of `CASES`."""
    found: dict[tuple[str, ...], list[str]] = {}
    for method in methods():
        if method.backpropagated:
            found.setdefault(tuple(done(method.name, name) for name in CASES), []).append(method.name)
    return found


def by_rule() -> str:
    """The table: a row an operation, a column for methods that do the same at all of them."""
    found = rows()
    headings = ("operation", *(", ".join(f"`{name}`" for name in names) for names in found.values()))
    return table(headings, [(name, *(cells[i] for cells in found)) for i, name in enumerate(CASES)])
