"""Fit the patterns of PatternNet and PatternAttribution to a folder of images; what theory sees of them.

    python -m experiments.fit_patterns --images cifar10/train --limit 5000 --out patterns-cifar10.safetensors

Beside the patterns it leaves a JSON file with one record a layer: the correlation of patterns and weights,
the mean field's rate, and the leading singular values of `W * A`.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.progress import track

from conetheory import networks
from conetheory.rules.fitted_patterns import Patterns, fit_patterns


def record(patterns: Patterns) -> dict[str, dict]:
    """`PatternLayer` of each layer, its rates included (None where they do not apply)."""
    return {
        name: asdict(layer) | {"rate": layer.rate or None, "ratio": layer.ratio}
        for name, layer in patterns.layers().items()
    }


def main(
    images: Annotated[Path, typer.Option(help="a folder of images, such as an ImageFolder tree")],
    out: Annotated[Path, typer.Option(help="the safetensors file to write")],
    model: Annotated[str, typer.Option(help="a name that networks.load takes")] = "cifar10_cnn",
    weights: Annotated[str | None, typer.Option(help="as in networks.load")] = None,
    limit: Annotated[int | None, typer.Option(help="so many images, a random choice")] = None,
    batch: int = 32,
    estimator: str = "two-component",
    bias: str = "none",
    seed: int = 0,
    smoke: Annotated[bool, typer.Option(help="eight images")] = False,
) -> dict:
    """Fit, save, and write the record; returns the record."""
    network = networks.load(model, weights=weights)
    found = networks.load_images(images, network, limit=8 if smoke else limit, seed=seed).tensor
    started = time.perf_counter()
    batches = track(found.split(batch), "batches", disable=smoke)
    patterns = fit_patterns(network, batches, estimator=estimator, bias=bias)
    patterns.save(out)
    made = {
        **patterns.made,
        "data": images.name,
        "seconds": round(time.perf_counter() - started),
        "torch": torch.__version__,
        "layers": record(patterns),
    }
    out.with_suffix(".json").write_text(json.dumps(made, indent=2) + "\n")
    return made


if __name__ == "__main__":
    typer.run(main)
