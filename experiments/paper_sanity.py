"""Cascading randomisation, another logit, and maps of two classes, on the networks of the paper.

    python -m experiments.paper_sanity --images imagenet/val                  # VGG-16 and ResNet-50
    python -m experiments.paper_sanity vgg16 --weights vgg16.safetensors --images imagenette/val \
        --picture two.jpg --pair cassette_player,French_horn

Each network's layers are drawn anew from the output down (the paper's layers) and every method's maps of the
predicted class are compared with those of the untouched network; then the maps of different classes of one
image are compared. The pictures of --picture are explained for the classes of each --pair, as in the paper's
figure (`two_classes` makes such pictures, and has numbers). Where weights are random, patterns are those of
the trained weights, multiplied with these (--stale products, as in the paper's code) or with the random ones.
It is `conetheory sanity`, `classes` and `explain` for all methods, with one folder a network, OUT/MODEL:
sanity.nc, classes.nc, maps.nc, their figures, and sanity.json with seconds. What is there is taken up.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from conetheory import networks
from conetheory.chain.checks import device_of
from conetheory.networks import Images, Network
from conetheory.networks.randomise import Scheme
from conetheory.plotting.maps import maps_figure
from conetheory.report.map_tables import class_rows, sanity_rows, tracking_sentence
from conetheory.results.class_distances import Classes
from conetheory.results.dataset import Maps
from conetheory.rules.patterns import Stale
from conetheory.runs import store
from conetheory.runs.series import Series, run_series
from conetheory.saliency.classes import ClassSettings, class_sensitivity
from conetheory.saliency.maps import explain_maps
from conetheory.saliency.pictures import class_index
from conetheory.saliency.similarity import PAPER
from conetheory.sanity import Sanity, SanitySettings, sanity_check
from experiments.method_table import parameters
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


def asked_for(
    network: Network,
    images: Images,
    names: list[str],
    patterns: Path | None,
    stale: Stale,
    device: str,
    out: Path,
) -> Series:
    given = {name: parameters(name, patterns, stale=stale) for name in names}
    kept = {"out": store.folder(out), "resume": True, "lenient": True}
    return Series(network, images, given, **kept, device=device, dtype=torch.float32)


def randomised(
    asked: Series, layers: tuple[str, ...] | None, smooth: int, scheme: Scheme
) -> list[dict[str, Any]]:
    """`sanity.nc`, with the SSIM of the paper's code; one row a method."""
    chosen = {"layers": layers, "smooth": smooth, "scheme": scheme}
    settings = SanitySettings(**chosen, ssim=PAPER, device=asked.device)

    def compute(name: str, report: Any) -> Sanity:
        mine = replace(settings, parameters=asked.methods[name])
        return sanity_check(
            asked.network, asked.images.tensor, name, mine, names=asked.names, progress=report
        )

    return sanity_rows(run_series(asked, Sanity, chosen | {"ssim": "paper"}, compute))


def class_distances(asked: Series, top: int, whole: int) -> tuple[list[dict[str, Any]], str]:
    """`classes.nc`; one row a method, and how the predicted distances follow the measured ones."""
    settings = ClassSettings(top=top, whole=whole, device=asked.device)

    def compute(name: str, report: Any) -> Classes:
        mine = replace(settings, parameters=asked.methods[name])
        return class_sensitivity(
            asked.network, asked.images.tensor, name, mine, progress=report, names=asked.names
        )

    found = run_series(asked, Classes, {"top": top, "whole": whole}, compute)
    return class_rows(found), tracking_sentence(found)


def two_classes(asked: Series, pair: tuple[str, str]) -> list[Path]:
    """`maps.nc` and a figure for each picture: both classes by every method."""
    for name in pair:
        class_index(asked.network, name)

    def compute(name: str, report: Any) -> Maps:
        options = {"device": asked.device, "names": asked.names, "parameters": asked.methods[name]}
        return explain_maps(asked.network, asked.images.tensor, name, pair, **options)

    maps, paths = run_series(asked, Maps, {"target": list(pair)}, compute), []
    for number, image in enumerate(maps.dataset["image"].values):
        paths.append(asked.out / f"maps-{number}.png")
        maps_figure(maps.dataset, str(image)).savefig(paths[-1], dpi=110)
    return paths


def study(
    network: Network,
    images: Images,
    pictures: Images | None,
    pairs: list[tuple[str, str]],
    out: Path,
    *,
    names: list[str],
    patterns: Path | None = None,
    stale: Stale = "products",
    device: str = "cpu",
    layers: tuple[str, ...] | None = None,
    smooth: int = 0,
    scheme: Scheme = "reset",
    top: int = 10,
    whole: int = 1,
) -> dict[str, Any]:
    """All of it on one network; writes OUT/sanity.json."""
    record: dict[str, Any] = {"network": network.provenance, "images": len(images), "seconds": {}}
    record["device"] = device_name(device)
    asked = asked_for(network.to(device=device), images, names, patterns, stale, device, out)

    def timed(name: str, made: Any) -> Any:
        begun = time.perf_counter()
        found = made()
        record["seconds"][name] = round(time.perf_counter() - begun, 1)
        (out / "sanity.json").write_text(json.dumps(record, indent=1) + "\n")
        return found

    record["sanity"] = timed("sanity", lambda: randomised(asked, layers, smooth, scheme))
    record["classes"], record["tracking"] = timed("classes", lambda: class_distances(asked, top, whole))
    for pair in pairs if pictures else ():
        folder = store.folder(out / "-".join(pair))
        shown = replace(asked, images=pictures, out=folder)
        timed(" and ".join(pair), lambda shown=shown, pair=pair: two_classes(shown, pair))
    (out / "sanity.json").write_text(json.dumps(record, indent=1) + "\n")
    return record


def main(
    model: Models = None,
    images: Pictures = None,
    weights: Weights = None,
    limit: Limit = 200,
    picture: Annotated[list[Path] | None, typer.Option(help="a picture of two classes")] = None,
    pair: Annotated[list[str] | None, typer.Option(help="A,B: two classes, by number or name")] = None,
    method: Methods = None,
    paper: OfTheTalk = False,
    patterns: Patterns = None,
    stale: Annotated[
        str, typer.Option(help="with random weights: products W * A as fitted, as the paper, or patterns A")
    ] = "products",
    layer: Annotated[list[str] | None, typer.Option(help="default: the paper's")] = None,
    smooth: Annotated[int, typer.Option(help="noisy copies of an image for smooth MPRT")] = 0,
    scheme: Annotated[str, typer.Option(help="of random weights: reset or permute")] = "reset",
    top: Annotated[int, typer.Option(help="classes of an image that are compared")] = 10,
    whole: Annotated[int, typer.Option(help="images for which all classes are")] = 1,
    size: Size = None,
    device: str = "auto",
    out: Path = Path("out/paper-sanity"),
) -> dict[str, Any]:
    """Write OUT/MODEL for each network."""
    found = {}
    names = method or backpropagated(paper)
    pairs = [tuple(text.split(",", 1)) for text in pair or ()]
    for each, file in with_weights(model or NETWORKS, weights):
        network, chosen = opened(each, file, size, images, limit)
        pictures = networks.load_images(picture, network) if picture else None
        options = {"names": names, "patterns": patterns, "device": device_of(device), "smooth": smooth}
        options |= {"layers": tuple(layer) if layer else None, "top": top, "whole": whole}
        options |= {"scheme": scheme, "stale": stale}
        found[each] = study(network, chosen, pictures, pairs, out / each, **options)
    return found


if __name__ == "__main__":
    typer.run(main)
