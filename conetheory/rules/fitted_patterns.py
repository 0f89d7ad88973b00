"""Patterns: the direction in which the signal of a unit lies in its input (Kindermans et al. 2018).

A unit `y = w^T x` sees `x = a y + distractor`. Its weights have to cancel the distractor, so they are not
the direction of the signal; the pattern a is, and it is estimated from data by

    linear           a  = (E[x y] - E[x] E[y]) / (w^T E[x y] - w^T E[x] E[y])
    two-component    a+ = (E+[x y] - E+[x] E[y]) / (w^T E+[x y] - w^T E+[x] E[y])

with E over all images and locations and E+ over those where the unit is active, `y + b > 0` (the paper's
section 4). As in innvestigate 1.0.8, y is without the bias b, every layer's own output says whether it is
active, and a unit that is never active has the pattern 0: no relevance goes through it. Every other one has
`w^T a = 1`, so the columns of `(W * A)^T` sum to one.

That denominator is `E+[y^2] - E+[y] E[y]`, which is small or negative for some units of large positive bias,
as they are active at negative y; their patterns are huge. With `bias="input"` the bias is the weight of one
more input that is always 1, y includes it, and the denominator is `w^T E+[x y] - w^T E+[x] E[y] +
b (E+[y] - E[y])`: never negative, as an active y is positive and `E+[y] >= E[y]`. The direction of a pattern
is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Literal, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from conetheory.errors import InputError, one_line
from conetheory.networks.edge import Model, as_network
from conetheory.networks.graph import Graph
from conetheory.networks.ops import Conv2d, Linear, spread
from conetheory.networks.weights import check_finite
from conetheory.schema import UNNAMED
from conetheory.theory.patternlayers import PatternLayer, pattern_layer

Estimator = Literal["two-component", "linear"]
Bias = Literal["none", "input"]
FORMAT = "conetheory patterns 1"


@dataclass(frozen=True, eq=False)
class Patterns:
    """A pattern for each unit of each layer that has weights.

    patterns, weights: A, float64, and the W it was fitted to, by the layer's name in the graph, of one shape.
    made: `network`, `weights_sha256`, `images`, `estimator`, `bias`, as text.
    """

    patterns: Mapping[str, Tensor]
    weights: Mapping[str, Tensor]
    made: Mapping[str, str]

    def check(self, graph: Graph) -> None:
        """Raise `InputError`, naming the first layer, where these are no patterns of this network."""
        layers = weighted(graph)
        for name in [*layers, *self.patterns]:
            ours = tuple(self.patterns[name].shape) if name in self.patterns else "absent"
            theirs = tuple(layers[name].weight.shape) if name in layers else "absent"
            if ours != theirs:
                raise InputError(
                    f"the patterns of {self.made['network']} do not fit this network: layer {name!r} is "
                    f"{ours} in the patterns and {theirs} in the network"
                )

    def layers(self) -> dict[str, PatternLayer]:
        """What rank-one theory sees of each layer's `W * A` (see `theory.patternlayers`)."""
        return {
            name: pattern_layer(self.weights[name].double().cpu().numpy(), A.double().cpu().numpy())
            for name, A in self.patterns.items()
        }

    def save(self, path: str | Path) -> Path:
        """Write safetensors, `A.LAYER` and `W.LAYER`; the file appears whole or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(path.suffix + ".partial")
        tensors = {f"A.{name}": A for name, A in self.patterns.items()}
        tensors |= {f"W.{name}": W for name, W in self.weights.items()}
        save_file(
            {k: v.cpu().contiguous() for k, v in tensors.items()}, partial, {"format": FORMAT, **self.made}
        )
        partial.replace(path)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Patterns:
        """Read what `save` wrote; never executes code. Raises `InputError` for any other file."""
        try:
            with safe_open(path, "pt") as file:
                made = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError) as error:
            raise InputError(f"patterns {path} can't be read: {one_line(error)}") from error
        if made.pop("format", None) != FORMAT:
            raise InputError(
                f"{path} holds no patterns; fit_patterns(network, images).save(path) writes them"
            )
        check_finite(tensors, str(path))
        patterns, weights = (
            {k.removeprefix(kind): v for k, v in tensors.items() if k.startswith(kind)}
            for kind in ("A.", "W.")
        )
        if {k: v.shape for k, v in patterns.items()} != {k: v.shape for k, v in weights.items()}:
            raise InputError(
                f"{path} is no complete file of patterns: its A and W differ in layers or shapes"
            )
        return cls(patterns, weights, made)


def weighted(graph: Graph) -> dict[str, Conv2d | Linear]:
    """The layers that have patterns: convolutions and dense layers, batch norms folded in."""
    return {name: node.op for name, node in graph.nodes.items() if isinstance(node.op, Conv2d | Linear)}


def _nothing() -> Tensor:
    return torch.zeros((), dtype=torch.float64)


@dataclass
class Moments:
    """Running sums of one layer, float64, over images and locations; patches of x have the shape of W.

    `count`, `y`: of all; `active`, `x`, `xy`: where the unit is active. Sums add up, so that the batches do
    not matter but for rounding.
    """

    count: int = 0
    y: Tensor = field(default_factory=_nothing)
    active: Tensor = field(default_factory=_nothing)
    x: Tensor = field(default_factory=_nothing)
    xy: Tensor = field(default_factory=_nothing)

    def add(self, op: Conv2d | Linear, x: Tensor, estimator: Estimator) -> None:
        """One batch. `sum_p g_p x_p = d<g, W x>/dW`: a transposed convolution, no patches are made."""
        with torch.enable_grad():
            W = op.weight.detach().requires_grad_()
            y = replace(op, weight=W).linear([x])
        units = [axis for axis in range(y.ndim) if axis != 1]
        on = y.detach() if op.bias is None else y.detach() + spread(op.bias, y)
        on = (on > 0).to(y.dtype) if estimator == "two-component" else torch.ones_like(on)
        (sum_x,) = torch.autograd.grad(y, W, on, retain_graph=True)
        (sum_xy,) = torch.autograd.grad(y, W, on * y.detach())
        self.count += y.numel() // y.shape[1]
        self.y = self.y + y.detach().double().sum(units)
        self.active = self.active + on.double().sum(units)
        self.x, self.xy = self.x + sum_x.double(), self.xy + sum_xy.double()

    def pattern(self, W: Tensor, b: Tensor | None = None) -> Tensor:
        """a of each unit, float64, with b as an input; 0 where never active or y constant to rounding."""
        per_unit = (-1,) + (1,) * (W.ndim - 1)
        active, mean_y = self.active.clamp(min=1).view(per_unit), self.y / self.count
        mean_x, mean_xy = self.x / active, self.xy / active
        covariance = mean_xy - mean_x * mean_y.view(per_unit)
        along = lambda m: (W.double() * m).flatten(1).sum(1)  # noqa: E731
        scale, square = along(covariance), along(mean_xy)
        if b is not None:
            scale = scale + b.double() * (along(mean_x) - mean_y)
        known = scale.abs() > torch.finfo(W.dtype).eps * square.abs()
        scale = torch.where(known, scale, 1.0).view(per_unit)
        return torch.where(known.view(per_unit), covariance / scale, 0.0)


def fit_patterns(
    network: Model,
    images: Tensor | Iterable[Tensor],
    *,
    batch: int = 32,
    estimator: Estimator = "two-component",
    bias: Bias = "none",
) -> Patterns:
    """Patterns of every convolution and dense layer of a network.

    It is computed in the images' dtype, on their device; sums over batches and patterns are float64. A layer
    that runs twice has patterns for each run.

    Parameters
    ----------
    network
        whose weights these are patterns of.
    images
        `(N, C, H, W)`, preprocessed, taken `batch` at a time, or an iterable of such batches.
    batch
        images at a time.
    estimator, bias
        see the module's docstring.

    Returns
    -------
    Patterns
        of the shapes of the weights.

    Raises
    ------
    InputError
        for no images, images that don't fit, and an unknown estimator.

    References
    ----------
    Kindermans et al. 2018
    """
    for name, value, kind in (("estimator", estimator, Estimator), ("bias", bias, Bias)):
        if value not in get_args(kind):
            raise InputError(f"{name} must be {' or '.join(get_args(kind))}, not {value!r}")
    if batch < 1:
        raise InputError(f"a batch needs at least one image, not {batch}")
    batches = iter(images.split(batch) if isinstance(images, Tensor) else images)
    first = next(batches, None)
    if first is None:
        raise InputError("patterns are fitted to images: there are none")
    network = as_network(network, tuple(first.shape[1:]))
    graph = network.graph
    moments = {name: Moments() for name in weighted(graph)}
    count, moved = 0, None
    with torch.no_grad():
        for x in chain([first], batches):
            if tuple(x.shape[1:]) != tuple(graph.input_shape) or not bool(torch.isfinite(x).all()):
                raise InputError(f"images must be finite and (N, {', '.join(map(str, graph.input_shape))})")
            moved = moved or graph.to(dtype=x.dtype, device=x.device)
            for node, xs, _ in moved.run(x):
                if isinstance(node.op, Conv2d | Linear):
                    moments[node.name].add(node.op, xs[0], estimator)
            count += len(x)
    if moved is None or count == 0:
        raise InputError("patterns are fitted to images: there are none")
    found, weights = {}, {}
    for name, op in weighted(moved).items():
        weights[name] = op.weight.detach().clone()
        found[name] = moments[name].pattern(weights[name], op.bias if bias == "input" else None)
    sha256 = network.provenance.get("weights_sha256", "unknown")
    name = "a graph" if network.name == UNNAMED else network.name
    made = {"network": name, "weights_sha256": sha256, "images": str(count)}
    return Patterns(found, weights, made | {"estimator": estimator, "bias": bias})
