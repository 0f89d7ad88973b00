"""The paper's CSC protocol on its networks: measured, predicted, certified, and its figures redrawn.

    python -m experiments.paper_csc --images imagenet/val                     # VGG-16 and ResNet-50
    python -m experiments.paper_csc cifar10_cnn --images cifar10/test
    python -m experiments.paper_csc vgg16 resnet50_v2 --weights VGG.safetensors --weights RESNET.safetensors \
        --images imagenette/val --paper --limit 32 --others 8 --many 20                       # on a CPU

200 images, 5 Gaussian vectors, all of the paper's start layers and every backpropagated method (or those of
the talk, --paper), on the network as it was trained and with random weights; methods of the LRP family again
with the reference code's clip at residual sums, where the network has such. Theories are asked on few of the
images and held against more vectors on the same ones, certificates on one, both as far as the plan of the
toolkit goes (`runs.plan`): what it leaves out is named in the record. From every start layer for the main
methods, from the highest one for the others. Maps are float32, deficits float64.

Every piece is a file under OUT/parts and is taken up again; OUT/NAME.nc, .json and .png are put together from
them method by method, OUT/NAME-methods.png from the highest start layer alone, OUT/NAME-main.png with the
certificates. The JSON has the seconds that each piece took, and on a GPU (or with --account) the share of its
peak and how far from the processor's its deficits are. With --shard I/N, on any machine that sees OUT, only
the pieces of one part of the methods are made; the same command without it puts them together.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
import xarray as xr

from conetheory import networks
from conetheory.chain.checks import device_of
from conetheory.errors import ConeTheoryError
from conetheory.networks import Images, Network
from conetheory.networks.ops import Add
from conetheory.plotting.csc import csc_figure
from conetheory.plotting.methods import methods_figure
from conetheory.results.comparison import Comparison
from conetheory.results.joining import join_methods
from conetheory.results.layout import provenance
from conetheory.rules.repro import ClippedAdds, reproduced
from conetheory.runs import store
from conetheory.runs.division import Shard
from conetheory.schema import declared_as
from experiments.csc_case import MORE, Case, Protocol
from experiments.paper_networks import (
    NETWORKS,
    Limit,
    Methods,
    Models,
    OfTheTalk,
    Patterns,
    Pictures,
    Size,
    Weights,
    backpropagated,
    device_name,
    opened,
    with_weights,
)
from experiments.small_png import save_small

CLIPPED = ("clip-adds",)
SAID = ("predicted_", "error_decades_", "certified_")  # what is taken over from the few images
ALSO = ("violations", "checked", "locations", "not_applicable", "not_predicted")
MEASURED = ("measured_deficit_median", "measured_band")


# ---------------------------------------------------------------- one case


def write_case(case: Case, names: Sequence[str], left: Callable[[], float]) -> dict[str, Any]:
    """Every method of a case; writes NAME.nc, .json and .png as it goes, until no time is left."""
    record: dict[str, Any] = {"provenance": _provenance(case), "methods": {}}
    done: list[Comparison] = []
    for method in names:
        if left() <= 0:
            record["methods"][method] = {"left out": "no time was left; run it again"}
            continue
        try:
            found, row = one_method(case, method)
            done.append(found)
        except ConeTheoryError as error:
            row = {"left out": str(error)}
        record["methods"][method] = row
        print(case.name, method, row, flush=True)
        (case.out / f"{case.name}.json").write_text(json.dumps(record, indent=1) + "\n")
    (case.out / f"{case.name}.json").write_text(json.dumps(record, indent=1) + "\n")
    if done:
        _write_results(case, done)
    return record


def compute_pieces(case: Case, names: Sequence[str], shard: Shard, left: Callable[[], float]) -> None:
    """The pieces of a shard's methods, which a run without a shard puts together."""
    for method in shard.share(names):
        try:
            if left() > 0:
                one_method(case, method)
        except ConeTheoryError as error:
            print(case.name, method, f"left out: {error}", flush=True)


def one_method(case: Case, method: str) -> tuple[Comparison, dict[str, Any]]:
    """A method's measurement with the predictions over it, and its row in the record."""
    measured = case.measured(method)
    theories, bands, unpredicted = _theorised(case, method)
    found = over(measured, theories)
    errors = found.summary
    return found, {
        "images": int(measured.dataset.attrs["images"]),
        "images_of_theory": {start: int(t.dataset.attrs["images"]) for start, t in _by_start(theories)},
        "median_deficit_at_the_input": _at_the_input(found, "measured_deficit_median"),
        "whole_map_deficit_at_the_input": _at_the_input(found, "measured_flattened_deficit_median"),
        "dead_at_the_input": _at_the_input(found, "dead_fraction"),
        "median_abs_error_decades": errors["median_abs_error_decades"],
        "layers_scored": errors["layers_scored"],
        "inside_band": inside(bands),
        "not_predicted": unpredicted,
        "violations": errors.get("violations"),
        "bounds_checked": errors.get("bounds_checked"),
        "left_out": {
            start: [step.text() for plan in t.plans.values() for step in plan.left_out]
            for start, t in _by_start(theories)
        },
        "device": case.accounted(method, measured) if case.protocol.account else None,
        "seconds": float(measured.dataset.attrs["seconds"]),
        "seconds_theory": {start: float(t.dataset.attrs["seconds"]) for start, t in _by_start(theories)},
    }


def _theorised(case: Case, method: str) -> tuple[list[Comparison], list[Comparison], str | None]:
    """What theories say from each start, the bands around the measurement beside the local spectrum, and why
    there is no more of either: a measurement is not lost with them.
    """
    theories: list[Comparison] = []
    bands: list[Comparison] = []
    try:
        theories.extend(case.theorised(method))
        affordable = bool(theories) and "predicted_local_spectrum" in theories[0].dataset
        if method in case.protocol.main and affordable:
            bands.extend(case.banded(method))
    except ConeTheoryError as error:
        print(case.name, method, f"not predicted: {error}", flush=True)
        return theories, bands, str(error)
    return theories, bands, None


def _by_start(theories: Sequence[Comparison]) -> list[tuple[str, Comparison]]:
    return [(str(theory.dataset["start"].item()), theory) for theory in theories]


def _at_the_input(found: Comparison, name: str) -> dict[str, float | None]:
    last = found.dataset[name].isel(method=0, layer=-1)
    return {str(start): _number(last.sel(start=start)) for start in last["start"].values}


def inside(bands: Sequence[Comparison]) -> float | None:
    """In which share of layers x images the local spectrum lies in the band of the measurement."""
    hits: list[bool] = []
    for found in bands:
        data = found.dataset.isel(method=0, start=0)
        if "predicted_local_spectrum" in data:
            local, band = data["predicted_local_spectrum"], data["measured_band"]
            live = np.isfinite(local) & np.isfinite(band).all("side")
            hit = (band.sel(side="lower") <= local) & (local <= band.sel(side="upper"))
            hits += hit.values[live.values].tolist()
    return float(np.mean(hits)) if hits else None


def over(measured: Comparison, theories: Sequence[Comparison]) -> Comparison:
    """The measurement of all images, with what theory says of few of them.

    Errors are those against the measurement of the same few images, `same_images_deficit_median`.
    """
    if not theories:
        return measured
    data = measured.dataset
    options = {"data_vars": "all", "coords": "minimal", "compat": "override", "combine_attrs": "override"}
    said = xr.concat([t.dataset.drop_vars("label") for t in theories], "start", join="outer", **options)
    names = [n for n in said.data_vars if n.startswith(SAID) or n in ALSO + MEASURED]
    same = {n: n.replace("measured", "same_images") for n in MEASURED if n in said}
    said = said[names].rename(same)
    for name, ours in same.items():
        meaning = f"{declared_as(name).meaning}, of the images that theories are of"
        said[ours].attrs = replace(declared_as(name), meaning=meaning, part="").attributes
    blank = {n: "" if said[n].dtype == object else np.nan for n in said.data_vars}
    said = said.reindex(start=data["start"], layer=data["layer"], fill_value=blank)
    return Comparison(data.merge(said, compat="override", join="left", combine_attrs="override"))


def _write_results(case: Case, done: Sequence[Comparison]) -> None:
    joined, path = join_methods(list(done)), case.out / case.name
    joined.save(path.with_name(f"{case.name}.nc"))
    highest = joined.dataset.isel(start=[0])
    save_small(methods_figure(highest), path.with_name(f"{case.name}-methods.png"), dpi=75)
    save_small(methods_figure(joined.dataset), path.with_name(f"{case.name}.png"), dpi=110)
    main = [c for c in done if c.dataset["method"].item() in case.protocol.main]
    if main:
        save_small(csc_figure(join_methods(main).dataset), path.with_name(f"{case.name}-main.png"), dpi=110)


def _provenance(case: Case) -> dict[str, Any]:
    settings = {k: v for k, v in asdict(case.protocol).items() if k not in ("patterns", "device", "account")}
    settings |= {"images": len(case.images), "repro": " ".join(case.repro) or "none"}
    device = device_name(case.protocol.device)
    return provenance(case.network, device=device, images_sha256=case.identity["images"], **settings)


def _number(value: xr.DataArray) -> float | None:
    return float(value) if np.isfinite(value) else None


# ---------------------------------------------------------------- all cases


def cases(trained: Network, images: Images, protocol: Protocol, out: Path, seed: int = 0) -> Iterator[Case]:
    """As trained and with random weights; each also with the clip where there are residual sums.

    Of a trunk the random network is the whole, with its usual head.
    """
    outputs = trained.graph.shape(trained.graph.output)
    trunk = len(outputs) > 1
    names = trained.classes or (None if trunk else [str(i) for i in range(*outputs)])
    shape = tuple(trained.graph.input_shape)
    residual = any(isinstance(node.op, Add) for node in trained.graph.nodes.values())
    for kind in ("trunk" if trunk else "trained", "random"):
        network = trained
        if kind == "random":
            network = networks.load(trained.name, f"random:{seed}", shape, names)
        for repro in ((), CLIPPED) if residual else ((),):
            name = f"{trained.name}-{kind}" + ("-clipped" if repro else "")
            yield Case(name, network.to(device=protocol.device), images, protocol, out, repro)


def concerned(names: Sequence[str], repro: Sequence[str]) -> list[str]:
    """The methods that the choices change."""
    return [n for n in names if not repro or isinstance(reproduced(n, repro).rule, ClippedAdds)]


def main(
    model: Models = None,
    images: Pictures = None,
    weights: Weights = None,
    limit: Limit = 200,
    method: Methods = None,
    paper: OfTheTalk = False,
    others: Annotated[int | None, typer.Option(help=f"images of others than {', '.join(MORE)}")] = None,
    case: Annotated[
        list[str] | None, typer.Option(help="names of cases, MODEL-trained, MODEL-random; default: all")
    ] = None,
    patterns: Patterns = None,
    vectors: int = 5,
    few: Annotated[int, typer.Option(help="images for predictions (0: none)")] = 8,
    many: Annotated[int, typer.Option(help="vectors that predictions are held against")] = 200,
    positions: Annotated[int, typer.Option(help="locations a layer, where columns are sent down")] = 30,
    rows: Annotated[int, typer.Option(help="locations a layer, where rows are sent up")] = 2,
    batch: Annotated[int, typer.Option(help="images that share a chain")] = 8,
    size: Size = None,
    dtype: Annotated[str, typer.Option(help="float32 or float64")] = "float32",
    device: str = "auto",
    account: Annotated[
        bool | None, typer.Option(help="operations and agreement with the processor; default: on a GPU")
    ] = None,
    minutes: Annotated[float, typer.Option(help="start no method after so many")] = float("inf"),
    shard: Annotated[
        str | None, typer.Option(help="I/N: the pieces of one of N parts of the methods")
    ] = None,
    out: Path = Path("out/paper-csc"),
) -> dict[str, Any]:
    """Write OUT/NAME.nc, .json and .png for each case; what is there already is taken up."""
    begun = time.perf_counter()
    store.folder(out)
    given = {
        "vectors": vectors,
        "few": few,
        "others": others,
        "many": many,
        "positions": positions,
        "rows": rows,
        "batch": batch,
    }
    device = device_of(device)
    given |= {"account": device != "cpu" if account is None else account}
    protocol = Protocol(**given, device=device, dtype=getattr(torch, dtype), patterns=patterns)
    names = method or backpropagated(paper)
    found: dict[str, Any] = {}
    for each, file in with_weights(model or NETWORKS, weights):
        network, pictures = opened(each, file, size, images, limit)
        for one in cases(network, pictures, protocol, out):
            if not case or one.name in case:
                left = lambda: 60 * minutes - (time.perf_counter() - begun)  # noqa: E731
                concerns = concerned(names, one.repro)
                if shard is None:
                    found[one.name] = write_case(one, concerns, left)
                else:
                    compute_pieces(one, concerns, Shard.parsed(shard), left)
    return found


if __name__ == "__main__":
    typer.run(main)
