"""Critical gamma: the verdict flips between its two ends, layer by layer."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import pytest
from torch import nn

from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.networks.graph import Graph
from conetheory.predict import critical_gamma, predict_csc
from conetheory.predict.critical import with_gamma
from conetheory.results.comparison import compare
from conetheory.results.evidence import FORGOTTEN
from conetheory.results.verdict import Outcome, verdicts
from conetheory.rules.lrp import Gamma
from conetheory.rules.registry import get_method
from conetheory.theory import randomlayers
from tests.networks.toys import random_images, seeded

WIDTHS = (24, 48, 48, 48)


def dense() -> nn.Module:
    parts = [part for a, b in pairwise(WIDTHS) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*parts, nn.Linear(WIDTHS[-1], 6))


@cache
def network() -> Graph:
    return trace(seeded(dense), (24,))


def chain(method: str = "lrp-gamma", **parameters: float) -> RelevanceChain:
    return RelevanceChain(network(), random_images(1, 24).abs(), method, parameters=parameters)


def test_the_verdict_flips_between_the_two_gammas():
    """At the input; and at every layer the median crosses the threshold there."""
    found = critical_gamma(chain(), layers=["1", "input"], ratio=1.3).sel(start="logits").squeeze("method")
    for layer in ("1", "input"):
        one = found.sel(layer=layer)
        lower, upper = (one[f"critical_gamma_{side}"].item() for side in ("remembered", "forgotten"))
        assert 0 < lower < upper <= 1.3 * lower
        predictions = [
            predict_csc(chain(gamma=gamma), theory="local-spectrum", layers=[layer])
            for gamma in (lower, upper)
        ]
        medians = [p.dataset["predicted_local_spectrum"].sel(layer=layer).item() for p in predictions]
        assert medians[0] > FORGOTTEN >= medians[1]
        if layer == "input":
            outcomes = [verdicts(compare(p).dataset)[0].outcome for p in predictions]
            assert outcomes == [Outcome.DEPENDS, Outcome.SPATIAL]
            assert 0.3 < lower / randomlayers.critical_gamma(WIDTHS[1]) < 3


def test_ends_that_no_gamma_reaches():
    """A threshold of one is never passed, one of zero never reached."""
    found = [critical_gamma(chain(), layers=["input"], threshold=t) for t in (1.0, 0.0)]
    ends = [tuple(d[f"critical_gamma_{side}"].item() for side in ("remembered", "forgotten")) for d in found]
    assert ends == [(0.0, 2.0**-10), (2.0**10, math.inf)]


def test_gamma_is_set_wherever_it_is():
    assert with_gamma(get_method("lrp-gamma").layerwise, 3.0) == Gamma(3.0)
    mixed = with_gamma(get_method("attnlrp-gamma").layerwise, 3.0)
    assert mixed == get_method("attnlrp-gamma", gamma=3.0).layerwise
    box = with_gamma(get_method("epsilon-gamma-box").layerwise, 3.0)
    assert box == get_method("epsilon-gamma-box", gamma=3.0).layerwise


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("lrp-zplus", {}, "a critical gamma is one of LRP-gamma, which lrp-alpha1beta0 has nowhere"),
        ("lrp-gamma", {"theory": "origin"}, "theory origin says nothing here: lrp-gamma keeps neither"),
        ("lrp-gamma", {"ratio": 1.0}, "the ratio of two gammas is above one, not 1"),
    ],
)
def test_what_has_no_critical_gamma(method, options, words):
    with pytest.raises(InputError, match=words):
        critical_gamma(chain(method), **options)
