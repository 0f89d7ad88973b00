"""How good are the predictions? Many seeds of one measurement against the local spectrum and two-scale.

    python -m experiments.score_predictions squeezenet1_1 --weights FILE --images DIR --limit 16
    python -m experiments.score_predictions cifar10_cnn

For each seed, fresh start vectors for every image: is the local-spectrum median (same images) inside the
95% bootstrap band of the measured one, and how far off is the two-scale prediction of the same vectors?
The measurement pooled over all seeds (pairs within a seed) scores the local spectrum in decades. The
result is one JSON, written anew after every few images.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.progress import track
from xarray import Dataset

from conetheory import networks
from conetheory.chain.relevance import RelevanceChain
from conetheory.measure import histogram
from conetheory.measure.meter import CscMeter
from conetheory.predict import LocalSpectrum, TwoScale, below, state_cuts
from conetheory.results.layout import provenance

RESULTS = Path(__file__).parent / "results"
REPLICATES = 200  # of the bootstrap


class Scorer:
    """The measurements of all seeds and what is predicted for them, over any number of chains."""

    def __init__(
        self,
        start: str,
        layers: list[str],
        *,
        seeds: int,
        vectors: int,
        two_scale_seeds: int,
        positions: int | None,
    ) -> None:
        options = {"vectors": vectors, "layers": layers}
        self.start, self.layers, self.began = start, layers, time.perf_counter()
        self.spectrum = LocalSpectrum(start, layers=layers, positions=positions)
        self.meters = [CscMeter([start], seed=k, bootstrap=REPLICATES, **options) for k in range(seeds)]
        self.predictors = [TwoScale(start, seed=k, **options) for k in range(min(seeds, two_scale_seeds))]

    def add(self, chain: RelevanceChain) -> None:
        for each in (self.spectrum, *self.meters, *self.predictors):
            each.add(chain)

    def summary(self) -> dict[str, Any]:
        """The figures of merit over seeds x layers."""
        results = [meter.result().dataset.isel(method=0, start=0) for meter in self.meters]
        rows = {layer: self.row(layer, [data.sel(layer=layer) for data in results]) for layer in self.layers}
        gaps = [gap for row in rows.values() for gap in row.pop("two_scale_errors")]
        errors = [row["local_spectrum_error_decades"] for row in rows.values()]
        return {
            "images_scored": self.images,
            "local_spectrum_inside_band": float(np.mean([row["inside_band"] for row in rows.values()])),
            **_quantiles("local_spectrum", errors),
            **_quantiles("two_scale", gaps),
            "two_scale_scored": len(gaps),
            "seconds": round(time.perf_counter() - self.began),
            "by_layer": rows,
        }

    def row(self, layer: str, results: list[Dataset]) -> dict[str, Any]:
        """One layer, over the seeds; `two_scale_errors` are those of the seeds with a prediction."""
        local, measured = self.spectrum.median(layer), self.pooled(layer)
        bands = np.array([data["measured_band"].values for data in results])
        medians = np.array([float(data["measured_deficit_median"]) for data in results])
        predicted = np.array([predictor.median(layer) for predictor in self.predictors])
        gaps = np.log10(predicted / medians[: len(predicted)])
        gaps = gaps[np.isfinite(gaps)].tolist()
        return {
            "measured": measured,
            "local_spectrum": local,
            "local_spectrum_error_decades": float(np.log10(local / measured)),
            "inside_band": float(np.mean((bands[:, 0] <= local) & (local <= bands[:, 1]))),
            "spread_over_seeds_decades": float(np.log10(medians).std(ddof=1)),
            "two_scale_error_decades": float(np.median(gaps)) if gaps else None,
            "two_scale_errors": gaps,
        }

    @property
    def images(self) -> int:
        return self.meters[0].images

    def pooled(self, layer: str) -> float:
        """The measured median of all seeds together."""
        counts = sum(meter.statistics[self.start, layer].counts[0] for meter in self.meters)
        return float(histogram.quantile(counts, 0.5)[0])


def _quantiles(name: str, errors: list[float]) -> dict[str, float | None]:
    """Median and 90th percentile of |error|; None where there is none."""
    found = np.quantile(np.abs(errors), [0.5, 0.9]).tolist() if errors else [None, None]
    return {f"{name}_{which}_abs_error_decades": q for which, q in zip(("median", "p90"), found, strict=True)}


def scored(
    chains: Iterable[RelevanceChain], total: int, start: str, *, cuts: bool, every: int, **counts: Any
) -> Iterator[Scorer]:
    """The scorer after every few chains and after the last of them."""
    scorer = None
    for chain in chains:
        if scorer is None:
            layers = below(chain, start, state_cuts(chain, start)[1:] if cuts else None)
            scorer = Scorer(start, layers, **counts)
        scorer.add(chain)
        if scorer.images % every == 0 or scorer.images == total:
            yield scorer


def main(
    model: str,
    weights: Annotated[str | None, typer.Option()] = None,
    images: Annotated[Path | None, typer.Option(help="default: the photographs in scikit-image")] = None,
    limit: Annotated[int | None, typer.Option()] = None,
    method: Annotated[list[str] | None, typer.Option()] = None,
    start: Annotated[str, typer.Option()] = "logits",
    seeds: int = 20,
    vectors: int = 10,
    two_scale_seeds: Annotated[int, typer.Option(help="seeds that score the two-scale prediction too")] = 20,
    size: Annotated[int | None, typer.Option(help="side of the input; default: the network's own")] = None,
    classes: Annotated[int | None, typer.Option(help="outputs of a random network; default: its own")] = None,
    calibrate: Annotated[bool, typer.Option(help="batch-norm statistics from the images")] = False,
    positions: Annotated[int | None, typer.Option(help="locations per layer and image, default 512")] = None,
    cuts: Annotated[bool, typer.Option(help="only layers that all relevance crosses: whole blocks")] = False,
    dtype: Annotated[str, typer.Option(help="float32 or float64")] = "float32",
    save_every: Annotated[int, typer.Option(help="images between two writings of the file")] = 4,
    out: Path = RESULTS,
    name: Annotated[str | None, typer.Option(help="of the file; default: the model")] = None,
) -> dict[str, Any]:
    """Score the predictions and write OUT/score-NAME.json."""
    shape = (3, size, size) if size else None
    names = [str(k) for k in range(classes)] if classes else None
    network = networks.load(model, weights, shape, names)
    pictures = networks.load_images(images, network, limit)
    if calibrate:
        network = networks.load(model, weights, shape, names, calibrate=pictures.tensor)
    counts = {"seeds": seeds, "vectors": vectors, "two_scale_seeds": two_scale_seeds, "positions": positions}
    graph = network.graph
    settings = counts | {"images": len(pictures), "only_cuts": cuts, "dtype": dtype}
    settings |= {"input_shape": tuple(graph.input_shape), "classes": graph.shape(graph.output)[0]}
    result: dict[str, Any] = {"provenance": provenance(network, threads=torch.get_num_threads(), **settings)}
    out.mkdir(parents=True, exist_ok=True)
    for one in method or ["lrp-alpha1beta0", "lrp-alpha2beta1"]:
        chains = (RelevanceChain(network, i, one, dtype=getattr(torch, dtype)) for i in pictures.tensor)
        progress = track(chains, one, total=len(pictures))
        for scorer in scored(progress, len(pictures), start, cuts=cuts, every=save_every, **counts):
            result[one] = scorer.summary()
            (out / f"score-{name or model}.json").write_text(json.dumps(result, indent=1) + "\n")
        print(one, {k: v for k, v in result[one].items() if k != "by_layer"}, flush=True)
    return result


if __name__ == "__main__":
    typer.run(main)
