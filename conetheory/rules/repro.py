"""The choices of the paper's own code, one by one, so that an artefact can be told from an effect.

The reference code of Sixt, Granz and Landgraf (2020) differs from the paper's theory in six places.
`CHOICES` names them; `icml2020` stands for all. Each changes only the methods that it concerned there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from torch import Tensor

from conetheory.errors import InputError
from conetheory.networks.edge import Model, as_network, shape_of
from conetheory.networks.graph import Graph, Node
from conetheory.networks.ops import Add, Affine, Conv2d, Part, Shape, Terms, whole
from conetheory.rules.alphabeta import AlphaBeta
from conetheory.rules.base import Rule
from conetheory.rules.lrp import Epsilon
from conetheory.rules.maps import LocalMap
from conetheory.rules.parameters import takes_parameters
from conetheory.rules.rectifiers import OneWay
from conetheory.rules.registry import Entry, Method, as_method, find

CHOICES = {
    "signed-bias": "LRP's denominators hold the whole signed bias, empty ones 1e-7 (innvestigate 1.0.8)",
    "clip-adds": "LRP's relevance is clipped to [0, 1000] at each input of a residual add",
    "norms-as-convolutions": "LRP takes batch norms that can't be folded as 1 x 1 convolutions (captum too)",
    "byte-inputs": "images in 0 to 255, whatever the network was trained on",
    "deeplift-contributions": "DeepLIFT takes multipliers at the start and gives contributions below",
    "stale-patterns": "patterns keep the weights that they were fitted with when parameters are randomised",
}
ALL = "icml2020"
CUSTOMISED = ("lrp-preset-a", "lrp-preset-b", "deep-taylor")  # beside alpha-beta
CLIP = (0.0, 1000.0)
PARAMETERS: dict[str, dict[str, Any]] = {
    "signed-bias": {"bias": "signed", "on_zero": 1e-7},
    "deeplift-contributions": {"measure": "contributions"},
    "stale-patterns": {"stale": "products"},
}


def chosen(names: Iterable[str] | str | None) -> tuple[str, ...]:
    """The choices behind `icml2020`, one name or several, in the order of `CHOICES`. Raises `InputError`."""
    asked = [names] if isinstance(names, str) else list(names or ())
    for name in asked:
        if name != ALL and name not in CHOICES:
            raise InputError(f"unknown choice {name!r}; known: {ALL} (all), {', '.join(CHOICES)}")
    return tuple(name for name in CHOICES if name in asked or ALL in asked)


@takes_parameters
def reproduced(
    name: str, repro: Sequence[str] | str | None = ALL, *, parameters: Mapping[str, Any] | None = None
) -> Method:
    """The method called `name` as the reference code has it; parameters given here win over its choices."""
    entry, choices = find(name), chosen(repro)
    changed = {
        key: value
        for choice in choices
        for key, value in PARAMETERS.get(choice, {}).items()
        if key in entry.parameters and (choice != "signed-bias" or _customised(entry))
    }
    method = as_method(name, changed | dict(parameters or {}))
    rule = method.rule
    if not isinstance(rule, Rule):
        return method
    if "norms-as-convolutions" in choices and (_customised(entry) or entry.build is Epsilon):
        rule = NormsAsConvolutions(rule)
    if "clip-adds" in choices and _customised(entry):
        rule = ClippedAdds(rule)
    return replace(method, rule=rule)


def _customised(entry: Entry) -> bool:
    """The methods that the reference code runs with its own treatment of biases and sums."""
    return entry.build is AlphaBeta or entry.name in CUSTOMISED


def reproduced_inputs(network: Model, images: Tensor, repro: Sequence[str]) -> Tensor:
    """The images as the reference code feeds them."""
    if "byte-inputs" not in chosen(repro):
        return images
    undo = as_network(network, shape_of(images)).undo
    if undo is None:
        raise InputError("byte-inputs needs a network whose preprocessing can be undone")
    return undo(images).movedim(-1, -3) * 255


@dataclass(frozen=True)
class Wrapped(Rule):
    """Another rule."""

    inner: Rule

    @property
    def reduce(self) -> str:
        return self.inner.reduce

    def bind(self, graph: Graph) -> Self:
        return replace(self, inner=self.inner.bind(graph))

    def inputs(self, images: Tensor) -> Tensor:
        return self.inner.inputs(images)

    def entrance(self, name: str, y: Tensor) -> LocalMap | None:
        return self.inner.entrance(name, y)

    def exit(self, name: str, y: Tensor) -> LocalMap | None:
        return self.inner.exit(name, y)

    def local(self, node: Node, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        return self.inner.local(node, xs, y)


@dataclass(frozen=True)
class ClippedAdds(Wrapped):
    """Another rule, with what it gives to each input of a sum clipped to [0, 1000]: no longer linear."""

    is_linear = False

    def local(self, node: Node, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        found = super().local(node, xs, y)
        return Clipped(found) if isinstance(node.op, Add) else found


@dataclass(frozen=True)
class NormsAsConvolutions(Wrapped):
    """Another rule, which takes a batch norm as a 1 x 1 convolution with one kernel a channel.

    Each output then has one contribution, `scale x`: where it is negative, z+ sends nothing down and
    alpha-beta -beta times what came. LRP-epsilon's `scale x / (scale x + shift)` has no bound.
    """

    @property
    def is_linear(self) -> bool:
        return self.inner.is_linear

    @property
    def is_nonnegative(self) -> bool:
        return self.inner.is_nonnegative

    def local(self, node: Node, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        if isinstance(node.op, Affine):
            kernel = node.op.scale.view(-1, 1, 1, 1)
            node = replace(node, op=Depthwise(kernel, bias=node.op.shift, groups=len(kernel)))
        return super().local(node, xs, y)


@dataclass(frozen=True, eq=False)
class Depthwise(Conv2d):
    """A 1 x 1 convolution with one kernel a channel, as the product that it is."""

    def linear(self, xs: Sequence[Tensor], part: Part = whole) -> Tensor:
        return xs[0] * self._kernel(part, xs[0].ndim)

    def transpose(self, r: Tensor, terms: Terms, shapes: Sequence[Shape]) -> tuple[Tensor, ...]:
        factors = [share * self._kernel(part, r.ndim - 1).unsqueeze(1) for share, part in terms]
        return (r * sum(factors[1:], start=factors[0]),)

    def _kernel(self, part: Part, ndim: int) -> Tensor:
        return part(self.weight).view((1, -1) + (1,) * (ndim - 2))


@dataclass(frozen=True, eq=False)
class Clipped(OneWay):
    """`r -> min(max(M r, 0), 1000)`."""

    inner: LocalMap

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        return tuple(part.clamp(*CLIP) for part in self.inner.down(r))
