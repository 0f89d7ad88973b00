"""Chains of others all the way: measured, predicted by passes down alone, judged, on a page."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import conetheory as ct
from conetheory.adapters import VjpChain, ZennitChain
from conetheory.predict import applies, theories
from conetheory.rules.registry import get_method
from tests.toys import SHAPE, TOYS, graph, images, seeded

TOY = "small vgg"


def ours(method="lrp-alpha2beta1"):
    return ct.RelevanceChain(graph(TOY), images(2), method)


def theirs(method="lrp-alpha2beta1", **options):
    """Our own chain as a function that another library might give."""
    chain = ours(method)
    top = chain.graph.output

    def pull(v):
        found = {}
        for layer, parts in chain.sweep({top: v.unsqueeze(1)}):
            found[layer] = parts[top].squeeze(1)
        return {name: r for name, r in found.items() if name in shapes}

    shapes = {name: chain.shape(name) for name in ("input", *chain.layers[1:])}
    given = {"name": "theirs", "dtype": torch.float64, **options}
    return VjpChain({top: pull}, shapes, images=2, **given)


def test_what_is_measured_and_predicted_is_what_our_own_chain_gives():
    found = ct.audit_chain(theirs(), vectors=3, bootstrap=5)
    mine = ct.predict_csc(ours(), theory="sampled-spectrum").dataset
    measured = ct.measure_csc(ours(), vectors=3).dataset
    data = found.comparison.dataset
    for layer in ("input", str(ours().layers[1])):
        at = {"layer": layer, "start": "logits"}
        for name, other in (("predicted_sampled_spectrum", mine), ("measured_deficit_median", measured)):
            got, want = (float(each[name].sel(at).squeeze()) for each in (data, other))
            np.testing.assert_allclose(got, want, rtol=1e-6)


def test_it_is_judged_and_reported(tmp_path):
    found = ct.audit_chain(theirs("gradient"), vectors=4)
    assert found.verdict["theirs"].outcome.name in ("DEPENDS", "BORDERLINE")
    assert "theirs" in found.report(tmp_path / "page.html").read_text()
    assert "theirs" in repr(found)


def test_of_what_is_not_linear_nothing_is_predicted():
    chain = theirs("guided-backprop", linear=False)
    assert chain.additivity_error() > 0.01
    assert ct.audit_chain(chain, vectors=3, bootstrap=0).comparison.theories == []


def test_a_linear_function_is_additive_to_rounding():
    assert theirs().additivity_error() < 1e-12


def test_theories_that_need_more_than_passes_down_do_not_apply():
    method = theirs().method
    for name, theory in theories().items():
        assert (applies(name, method) is None) == theory.only_down
        if not theory.only_down:
            assert "nothing is known of it but what goes down" in applies(name, method).reason
    assert applies("location-columns", get_method("lrp-0")) is None


def test_a_composite_of_zennit_is_audited():
    composites = pytest.importorskip("zennit.composites")
    model = seeded(TOYS[TOY]).eval()
    x = images(1).float()
    chain = ZennitChain(model.float(), x, composites.EpsilonPlus())
    assert repr(chain).startswith("ZennitChain of zennit EpsilonPlus on ")
    found = ct.audit_chain(chain, vectors=3, bootstrap=5)
    assert np.isfinite(found.comparison.dataset["predicted_sampled_spectrum"]).any()
    assert x.shape[1:] == SHAPE
