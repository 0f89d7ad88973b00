"""Predictions of CSC, laid out as the measurement is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conetheory.chain.layers import below
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.predict.local_spectrum import LocalSpectrum
from conetheory.predict.mean_field import MeanField
from conetheory.predict.two_scale import TwoScale
from conetheory.results.dataset import SIDES, Prediction, frame, provenance

Predictor = LocalSpectrum | TwoScale | MeanField


THEORIES: dict[str, Any] = {"local-spectrum": LocalSpectrum, "two-scale": TwoScale, "mean-field": MeanField}


OPTIONS = {"local-spectrum": ("positions", "seed"), "two-scale": ("vectors", "seed"), "mean-field": ("seed",)}


def predictors(theories: Sequence[str], start: str, **options: Any) -> dict[str, Predictor]:
    """One predictor for each theory; of vectors, seed, positions and layers each takes what it needs."""
    if unknown := set(theories) - set(THEORIES):
        raise InputError(f"unknown theory {sorted(unknown)[0]!r}; known: {', '.join(THEORIES)}")
    return {
        name: THEORIES[name](start, **{k: options[k] for k in ("layers", *OPTIONS[name])})
        for name in THEORIES
        if name in theories
    }


def prediction(
    chain: RelevanceChain, found: Mapping[str, Sequence[Predictor]], *, bands: bool = True
) -> Prediction:
    """The dataset of predictors that have seen their chains: `{start: [predictor, ...]}`."""
    values: dict[str, dict[tuple[str, str], Any]] = {}
    starts = list(found)
    for start, each in found.items():
        for predictor in each:
            for layer in below(chain, start, predictor.layers):
                entry = values.setdefault(f"predicted_{predictor.name}", {})
                entry[start, layer] = predictor.median(layer)
                if bands and isinstance(predictor, LocalSpectrum):
                    values.setdefault(f"predicted_{predictor.name}_band", {})[start, layer] = predictor.band(
                        layer
                    )
    extra = {name: ("side", SIDES) for name in values if name.endswith("_band")}
    layers = [layer for entries in values.values() for _, layer in entries]
    dataset = frame(chain.graph, chain.method, starts, layers, values, extra)
    return Prediction(dataset.assign_attrs(provenance(chain.network)))


def predict_csc(
    chain: RelevanceChain,
    start: str | Sequence[str] = "logits",
    *,
    theory: str | Sequence[str] = tuple(THEORIES),
    vectors: int = 5,
    seed: int = 0,
    layers: Sequence[str] | None = None,
    positions: int | None = None,
) -> Prediction:
    """Predict the median CSC deficit of one chain by one theory or several (see `THEORIES`).

    Theories that don't apply to the method are left out. vectors and seed are those of the measurement
    (the two-scale prediction is for given vectors); positions are the locations per layer of the local
    spectrum.
    """
    options = {"vectors": vectors, "seed": seed, "layers": layers, "positions": positions}
    found: dict[str, list[Predictor]] = {}
    for name in [start] if isinstance(start, str) else start:
        each = predictors([theory] if isinstance(theory, str) else list(theory), name, **options)
        found[name] = [p for key, p in each.items() if chain.method.applies(key) is None]
        for predictor in found[name]:
            predictor.add(chain)
    return prediction(chain, found)
