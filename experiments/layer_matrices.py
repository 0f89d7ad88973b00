"""Matrices of single convolutions of a real network by autograd, beside those of the toolkit.

    python -m experiments.layer_matrices resnet50_v2 --weights FILE --images DIR --layers layer3 --out DIR

The matrix of a convolution at a location of its output is that of all channels there, on the window below it.
By autograd, in float64 and without any rule of the package: `alpha x grad(z+_j) / z+_j - beta x grad(z-_j) /
z-_j`, z+ and z- the outputs of the layer for its positive and its negative contributions. By the toolkit: the
operation that relevance goes through (`contraction.Operation`), unit by unit. Of both: sigma_2 / sigma_1, by
LAPACK of autograd's and by block Lanczos of the toolkit's, which never sees a matrix; tau_1, of all pairs of
columns. Writes layer-matrices-NETWORK.json, a row for each layer and rule, the worst of its locations.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.progress import track
from scipy.spatial.distance import pdist
from torch import Tensor
from torch.nn import functional

from conetheory import networks
from conetheory.chain.relevance import RelevanceChain
from conetheory.contraction import Operation
from conetheory.errors import InputError
from conetheory.networks.graph import Node
from conetheory.networks.ops import Conv2d
from conetheory.results.layout import provenance
from conetheory.theory.ergodicity import tau_1
from conetheory.theory.spectrum import leading_singular_values

RULES = {"lrp-alpha1beta0": (1.0, 0.0), "lrp-alpha2beta1": (2.0, 1.0)}  # alpha, beta
COLUMNS = 2**24  # numbers of columns that are there at a time
PROBES, RTOL = 4, 1e-6  # of block Lanczos


@dataclass(frozen=True)
class Compared:
    """One matrix from both sides; `difference`: the largest of an entry, in units of the largest entry."""

    difference: float
    sigma_autograd: float
    sigma_lanczos: float
    tau_1_autograd: float
    tau_1_toolkit: float
    rows: int
    columns: int


def window(node: Node, x: Tensor, place: int) -> tuple[Tensor, Tensor]:
    """What a convolution's flat output location sees of x, zeros at the border, and which units these are.

    Both `(channels, height, width)`; at the border a unit is -1.
    """
    op: Any = node.op
    geometry = {"dilation": op.dilation, "padding": op.padding, "stride": op.stride}
    numbered = torch.arange(1, x.numel() + 1, dtype=torch.float64).view(x.shape)
    seen = functional.unfold(torch.stack([x.double(), numbered]), op.weight.shape[2:], **geometry)
    values, units = seen[:, :, place].unflatten(1, (len(x), *op.weight.shape[2:]))
    return values, units.long() - 1


def autograd_matrix(node: Node, values: Tensor, alpha: float, beta: float) -> Tensor:
    """The alpha-beta matrix of a convolution on one window, (units of the window, channels above)."""
    op: Any = node.op
    W = op.weight.double()

    def outputs(v: Tensor, same: Tensor, other: Tensor) -> Tensor:
        plus = functional.conv2d(v.clamp(min=0), same, groups=op.groups)
        return (plus + functional.conv2d(v.clamp(max=0), other, groups=op.groups)).flatten()

    parts = (W.clamp(min=0), W.clamp(max=0))
    found = values.new_zeros((values.numel(), len(W)))
    for factor, pools in ((alpha, parts), (-beta, parts[::-1])):
        z, pullback = torch.func.vjp(lambda v, pools=pools: outputs(v, *pools), values)
        (gradients,) = torch.func.vmap(pullback)(torch.eye(len(z), dtype=z.dtype))
        share = torch.where(z != 0, 1 / z, 0.0)
        found += factor * ((gradients * values).flatten(1) * share[:, None]).T
    return found


def toolkit_matrix(found: Operation, units: Tensor, rows: Tensor) -> tuple[Tensor, float]:
    """The columns of some units on some rows, and the largest entry elsewhere."""
    parts, elsewhere = [], 0.0
    for few in units.split(max(1, COLUMNS // found.shape[0])):
        columns = found.columns(few)
        parts.append(columns[rows])
        columns[rows] = 0
        elsewhere = max(elsewhere, float(columns.abs().max()))
    return torch.cat(parts, 1), elsewhere


def compared(found: Operation, x: Tensor, place: int, rule: str) -> Compared:
    """The matrix at a flat location of a convolution's output, from both sides."""
    channels, *space = found.node.shape
    units = torch.arange(channels) * math.prod(space) + place
    values, rows = window(found.node, x, place)
    inside = rows.flatten() >= 0
    theirs = autograd_matrix(found.node, values, *RULES[rule])[inside]
    ours, elsewhere = toolkit_matrix(found, units, rows.flatten()[inside])
    difference = max(float((theirs - ours).abs().max()), elsewhere)
    singular = np.linalg.svd(theirs.numpy(), compute_uv=False)
    return Compared(
        difference / float(theirs.abs().max()),
        float(singular[1] / singular[0]),
        ratio_by_lanczos(found, units),
        float(pdist(theirs.T.numpy(), "cityblock").max() / 2),
        float(tau_1(ours.numpy())),
        *theirs.shape,
    )


def ratio_by_lanczos(found: Operation, units: Tensor) -> float:
    """sigma_2 / sigma_1 of the columns of some units, by ways down and up alone."""

    def down(v: Tensor) -> Tensor:
        whole = v.new_zeros((found.shape[1], v.shape[1]))
        whole[units] = v
        return found.down(whole)

    start = torch.randn((len(units), PROBES), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = leading_singular_values(down, lambda h: found.up(h)[units], start, rtol=RTOL).lower
    return float(values[1] / values[0])


def records(
    chain: RelevanceChain, rule: str, layers: tuple[str, ...], locations: int
) -> Iterator[dict[str, Any]]:
    """Of each convolution whose name begins as one of these, the worst of some locations."""
    inputs = {node.name: xs[0][0] for node, xs, _ in chain.graph.run(chain.images)}
    crossed = [(n, m) for n, m in chain.crossed(chain.graph.output) if isinstance(n.op, Conv2d)]
    chosen = [(n, m) for n, m in crossed if n.name.startswith(layers)]
    if not chosen:
        raise InputError(f"no convolution's name begins with {' or '.join(layers)}")
    for node, local in track(chosen, rule):
        found, area = Operation.of(chain, node, local), math.prod(node.shape[1:])
        places = np.unique((area * (np.arange(locations) + 0.5) / locations).astype(int))
        each = [asdict(compared(found, inputs[node.name], int(place), rule)) for place in places]
        worst = {key: max(one[key] for one in each) for key in each[0]}
        kernel = list(node.op.weight.shape)  # pyright: ignore[reportAttributeAccessIssue]
        yield {"layer": chain.graph.label(node.name), "rule": rule, "kernel": kernel, **worst}


def main(
    model: Annotated[str, typer.Argument(help="a network's name")],
    out: Annotated[Path, typer.Option(help="folder for the numbers")],
    weights: Annotated[str | None, typer.Option(help="its weights")] = None,
    images: Annotated[Path | None, typer.Option(help="the first picture; None: a bundled one")] = None,
    layers: Annotated[list[str] | None, typer.Option(help="what the layers' names begin with")] = None,
    locations: Annotated[int, typer.Option(help="of each layer")] = 3,
) -> dict[str, Any]:
    """Compare and write; returns the rows with where they come from."""
    network = networks.load(model, weights)
    image = networks.load_images(None if images is None else [images], network, 1)
    found: list[dict[str, Any]] = []
    for rule in RULES:
        chain = RelevanceChain(network, image.tensor, rule, dtype=torch.float64)
        found += records(chain, rule, tuple(layers or [""]), locations)
    chosen = " ".join(layers or ["all"])
    said = {"provenance": provenance(network, layers=chosen, locations=locations), "layers": found}
    out.mkdir(parents=True, exist_ok=True)
    (out / f"layer-matrices-{network.name}.json").write_text(json.dumps(said, indent=1) + "\n")
    return said


if __name__ == "__main__":
    typer.run(main)
