"""How good are the predictions? Many seeds of one measurement against the local spectrum and two-scale.

    python -m experiments.score_predictions squeezenet1_1 --weights FILE --images DIR --limit 16
    python -m experiments.score_predictions cifar10_cnn

For each seed, fresh start vectors for every image: is the local-spectrum median (same images) inside the
95% bootstrap band of the measured one, and how far off is the two-scale prediction of the same vectors?
One more measurement with many vectors scores the local spectrum in decades. The result is one JSON.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.progress import track
from torch import Tensor

from conetheory import networks
from conetheory.chain import RelevanceChain
from conetheory.measure import CscMeter
from conetheory.predict import LocalSpectrum, TwoScale, below, state_cuts
from conetheory.results import provenance

RESULTS = Path(__file__).parent / "results"


def score_seed(
    chains: list[RelevanceChain],
    start: str,
    layers: list[str],
    *,
    vectors: int,
    seed: int,
    band: bool = True,
    two_scale: bool = False,
) -> dict[str, dict]:
    """Measured median with its band, and the two-scale prediction, at each layer."""
    meter = CscMeter([start], vectors=vectors, seed=seed, layers=layers, bootstrap=200 if band else 0)
    predictor = TwoScale(start, vectors=vectors, seed=seed, layers=layers)
    for chain in chains:
        meter.add(chain)
        if two_scale:
            predictor.add(chain)
    data = meter.result().dataset.isel(method=0, start=0)
    return {
        layer: {
            "measured": float(data["measured_deficit_median"].sel(layer=layer)),
            "band": data["measured_band"].sel(layer=layer).values.tolist(),
            "two_scale": predictor.median(layer) if two_scale else float("nan"),
        }
        for layer in layers
    }


def summarise(local: dict[str, float], seeds: list[dict[str, dict]], many: dict[str, dict]) -> dict[str, Any]:
    """The figures of merit over seeds x layers."""
    layers = list(local)
    inside = [s[m]["band"][0] <= local[m] <= s[m]["band"][1] for s in seeds for m in layers]
    error = {m: float(np.log10(local[m] / many[m]["measured"])) for m in layers}
    gaps = [np.log10(s[m]["two_scale"] / s[m]["measured"]) for s in seeds for m in layers]
    gaps = np.abs([g for g in gaps if np.isfinite(g)])
    return {
        "local_spectrum_inside_band": float(np.mean(inside)),
        "local_spectrum_median_abs_error_decades": float(np.median(np.abs(list(error.values())))),
        "local_spectrum_p90_abs_error_decades": float(np.quantile(np.abs(list(error.values())), 0.9)),
        "two_scale_median_abs_error_decades": float(np.median(gaps)) if len(gaps) else None,
        "two_scale_p90_abs_error_decades": float(np.quantile(gaps, 0.9)) if len(gaps) else None,
        "two_scale_scored": len(gaps),
        "by_layer": {
            m: {
                "measured": many[m]["measured"],
                "local_spectrum": local[m],
                "local_spectrum_error_decades": error[m],
                "inside_band": float(
                    np.mean([s[m]["band"][0] <= local[m] <= s[m]["band"][1] for s in seeds])
                ),
                "two_scale_error_decades": _median(
                    [np.log10(s[m]["two_scale"] / s[m]["measured"]) for s in seeds]
                ),
            }
            for m in layers
        },
    }


def _median(values: list[float]) -> float | None:
    live = [v for v in values if np.isfinite(v)]
    return float(np.median(live)) if live else None


def score(
    network: networks.Network,
    images: Tensor,
    method: str,
    *,
    seeds: int,
    vectors: int,
    many: int,
    two_scale_seeds: int,
    cuts: bool,
    positions: int | None,
    start: str = "logits",
) -> dict[str, Any]:
    """All figures of merit of one method on one network."""
    started = time.perf_counter()
    chains = [RelevanceChain(network, image, method) for image in images]
    layers = below(chains[0], start, state_cuts(chains[0], start)[1:] if cuts else None)
    spectrum = LocalSpectrum(start, layers=layers, positions=positions)
    for chain in track(chains, f"{method}: local spectra"):
        spectrum.add(chain)
    local = {layer: spectrum.median(layer) for layer in layers}
    runs = [
        score_seed(chains, start, layers, vectors=vectors, seed=seed, two_scale=seed < two_scale_seeds)
        for seed in track(range(seeds), f"{method}: seeds")
    ]
    reference = score_seed(chains, start, layers, vectors=many, seed=10_000, band=False)
    return summarise(local, runs, reference) | {"seconds": round(time.perf_counter() - started)}


def main(
    model: str,
    weights: Annotated[str | None, typer.Option()] = None,
    images: Annotated[Path | None, typer.Option(help="default: the photographs in scikit-image")] = None,
    limit: Annotated[int | None, typer.Option()] = None,
    method: Annotated[list[str] | None, typer.Option()] = None,
    seeds: int = 20,
    vectors: int = 10,
    many_vectors: int = 200,
    two_scale_seeds: Annotated[int, typer.Option(help="seeds that score the two-scale prediction too")] = 20,
    size: Annotated[int | None, typer.Option(help="side of the input; default: the network's own")] = None,
    calibrate: Annotated[bool, typer.Option(help="batch-norm statistics from the images")] = False,
    positions: Annotated[int | None, typer.Option(help="locations per layer and image; default 256")] = None,
    cuts: Annotated[bool, typer.Option(help="only layers that all relevance crosses: whole blocks")] = False,
    out: Path = RESULTS,
    name: Annotated[str | None, typer.Option(help="of the file; default: the model")] = None,
) -> dict[str, Any]:
    """Score the predictions and write OUT/score-NAME.json."""
    shape = (3, size, size) if size else None
    network = networks.load(model, weights, shape)
    pictures = (
        networks.load_images(images, network, limit) if images else networks.bundled_images(network, limit)
    )
    if calibrate:
        network = networks.load(model, weights, shape, calibrate=pictures.tensor)
    counts = {"seeds": seeds, "vectors": vectors, "two_scale_seeds": two_scale_seeds}
    settings = counts | {"many_vectors": many_vectors, "images": len(pictures)}
    settings |= {"input_shape": tuple(network.graph.input_shape), "only_cuts": cuts}
    result: dict[str, Any] = {"provenance": provenance(network, threads=torch.get_num_threads(), **settings)}
    for one in method or ["lrp-alpha1beta0", "lrp-alpha2beta1"]:
        result[one] = score(
            network, pictures.tensor, one, many=many_vectors, cuts=cuts, positions=positions, **counts
        )
        print(one, {k: v for k, v in result[one].items() if k != "by_layer"}, flush=True)
        out.mkdir(parents=True, exist_ok=True)
        (out / f"score-{name or model}.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    typer.run(main)
