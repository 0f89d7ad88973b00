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
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.progress import track
from scipy import sparse
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
Columns = Callable[[Tensor], Tensor]
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


def autograd_columns(node: Node, x: Tensor, units: Tensor, alpha: float, beta: float) -> Tensor:
    """Columns of the alpha-beta matrix of a convolution, (units below, units)."""
    op: Any = node.op
    W, inputs = op.weight.double(), x.double()

    def outputs(x: Tensor, same: Tensor, other: Tensor) -> Tensor:
        options = (None, op.stride, op.padding, op.dilation, op.groups)
        return functional.conv2d(x.clamp(min=0), same, *options) + functional.conv2d(
            x.clamp(max=0), other, *options
        )

    parts = (W.clamp(min=0), W.clamp(max=0))
    found = inputs.new_zeros((inputs.numel(), len(units)))
    for factor, pools in ((alpha, parts), (-beta, parts[::-1])):
        z, pullback = torch.func.vjp(lambda v, pools=pools: outputs(v, *pools).flatten(), inputs)
        hot = z.new_zeros((len(units), len(z)))
        hot[torch.arange(len(units)), units] = 1
        (gradients,) = torch.func.vmap(pullback)(hot)
        share = torch.where(z[units] != 0, 1 / z[units], 0.0)
        found += factor * ((gradients * inputs).flatten(1) * share[:, None]).T
    return found


def sparse_columns(columns: Columns, units: Tensor, below: int) -> sparse.csc_array:
    """The columns of some units, a few at a time."""
    few = max(1, COLUMNS // below)
    return sparse.hstack([sparse.csc_array(columns(part).numpy()) for part in units.split(few)], "csc")


def compared(found: Operation, x: Tensor, place: int, rule: str) -> Compared:
    """The matrix at a flat location of a convolution's output, from both sides."""
    channels, *space = found.node.shape
    units = torch.arange(channels) * math.prod(space) + place
    theirs = sparse_columns(
        lambda part: autograd_columns(found.node, x, part, *RULES[rule]), units, x.numel()
    )
    ours = sparse_columns(found.columns, units, x.numel())
    largest = abs(theirs).max()
    rows = np.unique(np.concatenate([theirs.indices, ours.indices]))
    theirs, ours = theirs.tocsr()[rows].toarray(), ours.tocsr()[rows].toarray()
    singular = np.linalg.svd(theirs, compute_uv=False)
    return Compared(
        float(np.abs(theirs - ours).max() / largest),
        float(singular[1] / singular[0]),
        ratio_by_lanczos(found, units),
        float(pdist(theirs.T, "cityblock").max() / 2),
        float(tau_1(ours)),
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


def records(chain: RelevanceChain, rule: str, layers: str, locations: int) -> Iterator[dict[str, Any]]:
    """Of each convolution whose name begins so, the worst of some locations."""
    inputs = {node.name: xs[0][0] for node, xs, _ in chain.graph.run(chain.images)}
    crossed = [(n, m) for n, m in chain.crossed(chain.graph.output) if isinstance(n.op, Conv2d)]
    chosen = [(n, m) for n, m in crossed if n.name.startswith(layers)]
    if not chosen:
        raise InputError(f"no convolution's name begins with {layers!r}")
    for node, local in track(chosen, rule):
        found, area = Operation.of(chain, node, local), math.prod(node.shape[1:])
        places = np.unique(np.linspace(0, area - 1, locations).round().astype(int))
        each = [asdict(compared(found, inputs[node.name], int(place), rule)) for place in places]
        worst = {key: max(one[key] for one in each) for key in each[0]}
        kernel = list(node.op.weight.shape)  # pyright: ignore[reportAttributeAccessIssue]
        yield {"layer": chain.graph.label(node.name), "rule": rule, "kernel": kernel, **worst}


def main(
    model: Annotated[str, typer.Argument(help="a network's name")],
    out: Annotated[Path, typer.Option(help="folder for the numbers")],
    weights: Annotated[str | None, typer.Option(help="its weights")] = None,
    images: Annotated[Path | None, typer.Option(help="the first picture; None: a bundled one")] = None,
    layers: Annotated[str, typer.Option(help="what the names of the layers begin with")] = "",
    locations: Annotated[int, typer.Option(help="of each layer")] = 3,
) -> dict[str, Any]:
    """Compare and write; returns the rows with where they come from."""
    network = networks.load(model, weights)
    image = networks.load_images(None if images is None else [images], network, 1)
    found: list[dict[str, Any]] = []
    for rule in RULES:
        chain = RelevanceChain(network, image.tensor, rule, dtype=torch.float64)
        found += records(chain, rule, layers, locations)
    said = {"provenance": provenance(network, layers=layers, locations=locations), "layers": found}
    out.mkdir(parents=True, exist_ok=True)
    (out / f"layer-matrices-{network.name}.json").write_text(json.dumps(said, indent=1) + "\n")
    return said


if __name__ == "__main__":
    typer.run(main)
