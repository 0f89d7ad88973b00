"""How good are the predictions? Many seeds of one measurement, and any theories beside it.

    python -m experiments.score_predictions squeezenet1_1 --weights FILE --images DIR --limit 16 \\
        --start features.12.squeeze --theory second-moment --theory sampled-spectrum
    python -m experiments.score_predictions path/to/file.py:factory --weights FILE --size 224 --start LAYER
    python -m experiments.score_predictions cifar10_cnn
    python -m experiments.score_predictions cifar10_cnn --cache FOLDER --shard 3/8       # on any machine
    python -m experiments.score_predictions cifar10_cnn --cache FOLDER --save-every 1000 # when all are done

For each seed, fresh start vectors for every image; the measurement pooled over all of them (pairs within a
seed) scores a theory in decades at every layer below the start, as it comes out. A theory of the drawn
vectors is scored against the measurement of the same seed. With bootstrap replicates, how often the band of
one seed's measurement holds a prediction is told too. The result is one JSON, written anew after every few
images. Measurements and predictions are kept in a cache: a run continues where one stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.progress import track
from scipy.sparse import csr_array

from conetheory import networks
from conetheory.chain.relevance import RelevanceChain
from conetheory.measure import histogram
from conetheory.measure.bootstrap import pair_band
from conetheory.predict import Theory, applies, below, find, state_cuts
from conetheory.results.layout import provenance
from conetheory.rules.registry import get_method
from conetheory.runs.division import Shard
from experiments.score_units import Units, default_cache, fingerprint, model_of

RESULTS = Path(__file__).parent / "results"
REPLICATES = 200  # of the bootstrap, where a band is asked for
DECIMALS = 4  # of what is written


class Scorer:
    """The measurements of all seeds and what theories predict for them, image after image of one method."""

    def __init__(
        self,
        units: Units,
        chains: Sequence[Callable[[], RelevanceChain]],
        images: Sequence[str],
        theories: Sequence[str],
        *,
        seeds: int,
        drawn_seeds: int,
        bootstrap: int,
        positions: int | None,
    ) -> None:
        self.units, self.chains, self.names, self.theories = units, chains, images, theories
        self.layers, self.vectors = units.common["layers"], units.common["vectors"]
        self.seeds, self.drawn_seeds, self.bootstrap = seeds, min(seeds, drawn_seeds), bootstrap
        self.positions, self.images = positions, 0
        self.counts: list[dict[str, csr_array]] = [{} for _ in range(seeds)]  # most bins are empty
        self.found: dict[str, list[Theory]] = {}
        self.seconds: dict[str, float] = {}

    def add(self) -> None:
        """The next image: what is not known yet of it is computed."""
        number, self.images = self.images, self.images + 1
        for seed, pooled in enumerate(self.counts):
            options = {"seed": seed, "bootstrap": self.bootstrap}
            for layer, counts in self.units.measured(
                self.chains[number], self.names[number], number, **options
            ).items():
                pooled[layer] = pooled[layer] + csr_array(counts) if layer in pooled else csr_array(counts)

    def predict(self) -> None:
        """Every theory sees the images that were added."""
        for name in self.theories:
            made = [self._theory(name, seed, self.images) for seed in self._seeds(name)]
            self.found[name] = [theory for theory, _ in made]
            self.seconds[name] = sum(seconds for _, seconds in made) / len(made)

    def _seeds(self, name: str) -> range:
        return range(self.drawn_seeds if find(name).of_drawn_vectors else 1)

    def _theory(self, name: str, seed: int, images: int) -> tuple[Theory, float]:
        options = {"vectors": self.vectors, "positions": self.positions, "seed": seed}
        return self.units.theory(name, self.chains[:images], self.names[:images], **options)

    def compute(self, shard: Shard) -> None:
        """A shard's units into the cache, from which a run without a shard takes them up."""
        measured = [(number, seed) for number in range(len(self.chains)) for seed in range(self.seeds)]
        for number, seed in shard.share(measured):
            options = {"seed": seed, "bootstrap": self.bootstrap}
            self.units.measured(self.chains[number], self.names[number], number, **options)
        for name, seed in shard.share([(n, seed) for n in self.theories for seed in self._seeds(n)]):
            self._theory(name, seed, len(self.chains))

    def summary(self) -> dict[str, Any]:
        """The figures of merit over layers."""
        self.predict()
        rows = {layer: self.row(layer) for layer in self.layers}
        scores: dict[str, Any] = {"images_scored": self.images, "layers_scored": len(rows)}
        for name in map(_key, self.theories):
            errors = [error for row in rows.values() for error in row.pop(f"{name}_errors")]
            scores |= _quantiles(name, errors)
            inside = [row[f"{name}_inside_band"] for row in rows.values() if f"{name}_inside_band" in row]
            if inside:
                scores[f"{name}_inside_band"] = float(np.mean(inside))
        scores["seconds_an_image"] = {_key(k): v / self.images for k, v in self.seconds.items()}
        return {**scores, "by_layer": rows}

    def row(self, layer: str) -> dict[str, Any]:
        """One layer, over the seeds; `..._errors` are those that enter the quantiles."""
        counts = [pooled[layer].toarray().astype(float) for pooled in self.counts]
        medians = np.array([float(histogram.quantile(c[0], 0.5)[0]) for c in counts])
        measured = float(histogram.quantile(sum(c[0] for c in counts), 0.5)[0])
        row = {"measured": measured, "spread_over_seeds_decades": _spread(medians)}
        for name, found in self.found.items():
            predicted = np.array([theory.median(layer) for theory in found])
            drawn = find(name).of_drawn_vectors
            with np.errstate(divide="ignore", invalid="ignore"):  # no error where a median is zero
                errors = np.log10(predicted / (medians[: len(found)] if drawn else measured))
            errors = errors[np.isfinite(errors)]
            key = _key(name)
            row[f"predicted_{key}"] = float(np.median(predicted))
            row[f"{key}_error_decades"] = float(np.median(errors)) if len(errors) else None
            row[f"{key}_errors"] = errors.tolist()
            if self.bootstrap and not drawn:
                low, high = np.array([pair_band(c, self.vectors, self.images) for c in counts]).T
                row[f"{key}_inside_band"] = float(np.mean((low <= predicted) & (predicted <= high)))
        return row


def _spread(medians: np.ndarray) -> float:
    """Standard deviation over seeds, in decades; NaN for one seed or a median of zero."""
    live = len(medians) > 1 and (medians > 0).all()
    return float(np.log10(medians).std(ddof=1)) if live else float("nan")


def _key(name: str) -> str:
    return name.replace("-", "_")


def _quantiles(name: str, errors: Sequence[float]) -> dict[str, Any]:
    """Median and 90th percentile of |error| and the median with its sign; None where there is no error."""
    found = [*np.quantile(np.abs(errors), [0.5, 0.9]), np.median(errors)] if len(errors) else [None] * 3
    names = ("median_abs_error", "p90_abs_error", "median_error")
    scores = {f"{name}_{which}_decades": q for which, q in zip(names, found, strict=True)}
    return {**scores, f"{name}_scored": len(errors)}


def rounded(value: Any) -> Any:
    """Numbers with a few significant digits, and None for those that are not finite, all the way down."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, float | np.floating):
        return float(f"{value:.{DECIMALS}g}") if np.isfinite(value) else None
    return value


def main(
    model: Annotated[str, typer.Argument(help="a network's name, module:factory or path/to/file.py:factory")],
    weights: Annotated[str | None, typer.Option()] = None,
    images: Annotated[Path | None, typer.Option(help="default: the photographs in scikit-image")] = None,
    limit: Annotated[int | None, typer.Option()] = None,
    method: Annotated[list[str] | None, typer.Option()] = None,
    theory: Annotated[list[str] | None, typer.Option(help="default: local-spectrum and two-scale")] = None,
    start: Annotated[str, typer.Option()] = "logits",
    seeds: int = 20,
    vectors: int = 12,
    drawn_seeds: Annotated[int, typer.Option(help="seeds that score theories of the drawn vectors")] = 20,
    bootstrap: Annotated[int, typer.Option(help=f"replicates for measured bands, such as {REPLICATES}")] = 0,
    size: Annotated[int | None, typer.Option(help="side of the input; default: the network's own")] = None,
    classes: Annotated[int | None, typer.Option(help="outputs of a random network; default: its own")] = None,
    calibrate: Annotated[bool, typer.Option(help="batch-norm statistics from the images")] = False,
    positions: Annotated[
        int | None, typer.Option(help="locations per layer and image; default: its own")
    ] = None,
    cuts: Annotated[bool, typer.Option(help="only layers that all relevance crosses: whole blocks")] = False,
    dtype: Annotated[str, typer.Option(help="float32 or float64")] = "float32",
    save_every: Annotated[int, typer.Option(help="images between two writings of the file")] = 1,
    kept: Annotated[Path | None, typer.Option("--cache", help="default: in the user's cache folder")] = None,
    shard: Annotated[
        str | None, typer.Option(help="I/N: no more than one of N parts, into the cache")
    ] = None,
    out: Path = RESULTS,
    name: Annotated[str | None, typer.Option(help="of the file; default: the model")] = None,
) -> dict[str, Any]:
    """Score the predictions and write OUT/score-NAME.json; a shard writes into the cache alone."""
    shape = (3, size, size) if size else None
    names = [str(k) for k in range(classes)] if classes else None
    made = model_of(model)
    network = networks.load(made, weights, shape, names)
    pictures = networks.load_images(images, network, limit)
    if calibrate:
        network = networks.load(made, weights, shape, names, calibrate=pictures.tensor)
    graph, prints = network.graph, [fingerprint(image) for image in pictures.tensor]
    settings = {"seeds": seeds, "vectors": vectors, "drawn_seeds": drawn_seeds, "positions": positions}
    settings |= {"bootstrap": bootstrap, "only_cuts": cuts, "dtype": dtype, "start": start}
    settings |= {"images": len(pictures), "input_shape": tuple(graph.input_shape)}
    made_by = provenance(
        network, threads=torch.get_num_threads(), pictures=" ".join(pictures.names), **settings
    )
    result: dict[str, Any] = {"provenance": made_by}
    out.mkdir(parents=True, exist_ok=True)
    for one in method or ["lrp-alpha1beta0", "lrp-alpha2beta1"]:
        rule = get_method(one)

        @lru_cache(maxsize=1)
        def chain(number: int, one: str = one) -> RelevanceChain:
            return RelevanceChain(network, pictures.tensor[number], one, dtype=getattr(torch, dtype))

        first = chain(0)
        layers = below(first, start, state_cuts(first, start)[1:] if cuts else None)
        common = {"weights": network.provenance["weights_sha256"], "method": rule.described, "start": start}
        common |= {"method_name": rule.name, "shape": graph.input_shape, "layers": layers}
        units = Units(kept or default_cache(), **common, vectors=vectors, dtype=dtype)
        wanted = [t for t in theory or ["local-spectrum", "two-scale"] if applies(t, rule) is None]
        counts = {"seeds": seeds, "drawn_seeds": drawn_seeds, "bootstrap": bootstrap, "positions": positions}
        chains = [partial(chain, number) for number in range(len(pictures))]
        scorer = Scorer(units, chains, prints, wanted, **counts)
        if shard is not None:
            scorer.compute(Shard.parsed(shard))
            continue
        for number in track(range(1, len(pictures) + 1), one):
            scorer.add()
            if number % save_every == 0 or number == len(pictures):
                result[one] = rounded(scorer.summary())
                (out / f"score-{name or _named(model)}.json").write_text(json.dumps(result, indent=1) + "\n")
        print(one, {k: v for k, v in result[one].items() if k != "by_layer"}, flush=True)
    return result


def _named(model: str) -> str:
    return model.rpartition(":")[2]


if __name__ == "__main__":
    typer.run(main)
