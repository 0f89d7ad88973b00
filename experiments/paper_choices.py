"""Which of the paper's curves move with the choices of its own code, and by how much?

    python -m experiments.paper_choices cifar10_cnn --images DIR --limit 16
    python -m experiments.paper_choices resnet50 --weights random:0 --calibrate --images DIR --size 112

Each choice of `rules.repro` by itself and all together, against the theory's own setting: the measured
median deficit from the logits, layer by layer, with the same vectors. Writes choices-NAME.json with the shift
in decades at the input and where it is largest.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from conetheory import networks
from conetheory.chain.relevance import RelevanceChain
from conetheory.measure.meter import CscMeter
from conetheory.results.layout import provenance
from conetheory.rules.repro import ALL, CHOICES, reproduced, reproduced_inputs

RESULTS = Path(__file__).parent / "results"
METHODS = (
    *("lrp-alpha1beta0", "lrp-alpha2beta1", "lrp-alpha5beta4", "lrp-preset-a", "lrp-preset-b", "deep-taylor"),
    *("deeplift-rescale", "deeplift-revealcancel", "deeplift-ablation", "gradient"),
)
MEASURED = tuple(
    choice for choice in CHOICES if choice != "stale-patterns"
)  # that one concerns randomisation


def medians(
    network: networks.Network, images: Any, method: str, repro: Any, vectors: int
) -> dict[str, float]:
    """The measured median deficit at each layer."""
    meter = CscMeter(["logits"], vectors=vectors)
    chosen = reproduced(method, repro)
    for image in reproduced_inputs(network, images, repro or ()):
        meter.add(RelevanceChain(network, image, chosen))
    data = meter.result().dataset.isel(method=0, start=0)
    values = zip(data["label"].values, data["measured_deficit_median"].values, strict=True)
    return {str(label): float(value) for label, value in values}


def shift(plain: dict[str, float], other: dict[str, float]) -> dict[str, Any]:
    """log10(other / plain) at the input and at the layer where it is largest."""
    live = {k: float(np.log10(other[k] / plain[k])) for k in plain if plain[k] > 0 and other[k] > 0}
    layer = max(live, key=lambda k: abs(live[k]))
    return {"at_input": live.get("input"), "largest": live[layer], "largest_at": layer, "medians": other}


def main(
    model: Annotated[str, typer.Argument()] = "cifar10_cnn",
    weights: str | None = None,
    images: Annotated[
        list[Path] | None, typer.Option(help="default: the photographs in scikit-image")
    ] = None,
    limit: int | None = None,
    method: Annotated[list[str] | None, typer.Option()] = None,
    vectors: int = 10,
    size: int | None = None,
    calibrate: Annotated[bool, typer.Option(help="batch-norm statistics from the images")] = False,
    out: Path = RESULTS,
    name: str | None = None,
) -> dict[str, Any]:
    """Write OUT/choices-NAME.json."""
    shape = (3, size, size) if size else None
    network = networks.load(model, weights, shape)
    loaded = networks.load_images(images or None, network, limit)
    if calibrate:
        network = networks.load(model, weights, shape, calibrate=loaded.tensor)
    result: dict[str, Any] = {"provenance": provenance(network, images=len(loaded), vectors=vectors)}
    out.mkdir(parents=True, exist_ok=True)
    for each in method or METHODS:
        plain = medians(network, loaded.tensor, each, None, vectors)
        found = result[each] = {"medians": plain}
        for choice in (*MEASURED, ALL):
            same = repr(reproduced(each, choice).rule) == repr(reproduced(each, None).rule)
            if not same or choice in ("byte-inputs", ALL):
                found[choice] = shift(plain, medians(network, loaded.tensor, each, choice, vectors))
        brief = {
            k: (v["at_input"], v["largest"], v["largest_at"]) for k, v in found.items() if k != "medians"
        }
        print(each, brief, flush=True)
        (out / f"choices-{name or model}.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    typer.run(main)
