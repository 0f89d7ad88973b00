"""Predictions of CSC by any registered theories, laid out as the measurement is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from conetheory.chain.layers import below
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import Supply
from conetheory.counts import DEFAULT_VECTORS
from conetheory.predict.registry import described, find, speaks, theories, usual
from conetheory.predict.theory import Theory
from conetheory.progress import Progress, silent
from conetheory.results.dataset import Prediction
from conetheory.results.layout import frame, provenance
from conetheory.schema import SIDES


def predictors(names: Sequence[str], start: str, **options: Any) -> dict[str, Theory]:
    """One theory of each name at a start layer.

    Parameters
    ----------
    names
        as a user types them.
    start
        the layer where relevance starts.
    **options
        those of `Theory`.

    Returns
    -------
    dict
        `{name: theory}`, the first in rank first.
    """
    wanted = {find(name).name for name in names}
    return {name: theory(start, **options) for name, theory in theories().items() if name in wanted}


def prediction(chain: RelevanceChain, found: Mapping[str, Sequence[Theory]]) -> Prediction:
    """The dataset of theories that have seen their chains.

    Parameters
    ----------
    chain
        any of the chains that they saw.
    found
        `{start: [theory, ...]}`.

    Returns
    -------
    Prediction
        `predicted_*` by method, start and layer (see `schema`).
    """
    values: dict[str, dict[tuple[str, str], Any]] = {}
    for start, each in found.items():
        for theory in each:
            median, band, _ = (v.name for v in described(theory).variables)
            for layer in below(chain, start, theory.layers):
                values.setdefault(median, {})[start, layer] = theory.median(layer)
                if np.isfinite(ends := theory.band(layer)).any():
                    values.setdefault(band, {})[start, layer] = ends
                for name in (v.name for v in theory.details if v.side != "text"):
                    values.setdefault(name, {})[start, layer] = theory.detail(name, layer)
    extra = {name: ("side", SIDES) for name in values if name.endswith("_band")}
    layers = [layer for entries in values.values() for _, layer in entries]
    dataset = frame(chain.graph, chain.method, list(found), layers, values, extra)
    return Prediction(dataset.assign(_notes(found)).assign_attrs(provenance(chain.network)))


def _notes(found: Mapping[str, Sequence[Theory]]) -> dict[str, Any]:
    """What theories say in words, by start layer."""
    said = {
        start: {v.name: t.note(v.name) for t in each for v in t.details if v.side == "text"}
        for start, each in found.items()
    }
    names = dict.fromkeys(name for notes in said.values() for name in notes)
    return {
        name: (("method", "start"), np.array([[notes.get(name, "") for notes in said.values()]], object))
        for name in names
    }


def predict_csc(
    chain: RelevanceChain,
    start: str | Sequence[str] = "logits",
    *,
    theory: str | Sequence[str] | None = None,
    vectors: int = DEFAULT_VECTORS,
    seed: int = 0,
    layers: Sequence[str] | None = None,
    positions: int | None = None,
    progress: Progress = silent,
) -> Prediction:
    """Predict the median CSC deficit of one chain by one theory or several.

    Theories that don't apply to the method are left out.

    Parameters
    ----------
    chain
        its images are those that are predicted.
    start
        one start layer or several.
    theory
        names; None: the usual.
    vectors, seed
        those of the measurement.
    layers
        to say something about (None: all below the start).
    positions
        the locations per layer and image where a theory looks at some.
    progress
        is told of each part that is done.

    Returns
    -------
    Prediction
        median deficits with bands, by method, start and layer, and errors in decades once `compare`d.

    Raises
    ------
    InputError
        for an unknown theory.
    """
    names = [theory] if isinstance(theory, str) else list(usual() if theory is None else theory)
    options = {"vectors": vectors, "seed": seed, "layers": layers, "positions": positions}
    found: dict[str, list[Theory]] = {}
    for name in [start] if isinstance(start, str) else start:
        each = predictors(names, name, **options)
        found[name] = [one for key, one in each.items() if speaks(key, chain, [name]) is None]
        if found[name]:
            where = {"positions": positions, "seed": seed, "progress": progress}
            supply = Supply(chain, name, layers, **where)
            for one in found[name]:
                one.add(chain, supply, progress)
    return prediction(chain, found)
