"""Predictions of CSC, laid out as the measurement is: the local spectrum and the two-scale theory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conetheory.chain import RelevanceChain
from conetheory.errors import InputError
from conetheory.predict.layers import below, state_cuts
from conetheory.predict.local_spectrum import LocalSpectrum
from conetheory.predict.two_scale import TwoScale
from conetheory.results import SIDES, Prediction, frame, provenance

__all__ = ["THEORIES", "LocalSpectrum", "TwoScale", "below", "predict_csc", "prediction", "state_cuts"]

THEORIES = {"local-spectrum": LocalSpectrum, "two-scale": TwoScale}


def prediction(
    chain: RelevanceChain, predictors: Mapping[str, Sequence[LocalSpectrum | TwoScale]], *, bands: bool = True
) -> Prediction:
    """The dataset of predictors that have seen their chains: `{start: [predictor, ...]}`."""
    values: dict[str, dict[tuple[str, str], Any]] = {}
    starts = list(predictors)
    for start, each in predictors.items():
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
    dataset = frame(chain.graph, chain.method.name, starts, layers, values, extra)
    return Prediction(dataset.assign_attrs(provenance(chain.network)))


def predict_csc(
    chain: RelevanceChain,
    start: str | Sequence[str] = "logits",
    *,
    theory: str | Sequence[str] = ("local-spectrum", "two-scale"),
    vectors: int = 5,
    seed: int = 0,
    layers: Sequence[str] | None = None,
    positions: int | None = None,
) -> Prediction:
    """Predict the median CSC deficit of one chain by one theory or several (`local-spectrum`, `two-scale`).

    vectors and seed are those of the measurement (the two-scale prediction is for given vectors);
    positions are the locations per layer of the local spectrum.
    """
    starts = [start] if isinstance(start, str) else list(start)
    chosen = [theory] if isinstance(theory, str) else list(theory)
    if unknown := set(chosen) - set(THEORIES):
        raise InputError(f"unknown theory {sorted(unknown)[0]!r}; known: {', '.join(THEORIES)}")
    predictors: dict[str, list[LocalSpectrum | TwoScale]] = {}
    for name in starts:
        each: list[LocalSpectrum | TwoScale] = []
        if "local-spectrum" in chosen:
            each.append(LocalSpectrum(name, layers=layers, positions=positions, seed=seed))
        if "two-scale" in chosen:
            each.append(TwoScale(name, vectors=vectors, seed=seed, layers=layers))
        for predictor in each:
            predictor.add(chain)
        predictors[name] = each
    return prediction(chain, predictors)
