"""Chains of others all the way: measured, predicted by passes down alone, judged, on a page."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

import conetheory as ct
from conetheory.adapters import VjpChain, ZennitChain
from conetheory.chain.supply import Supply
from conetheory.errors import InputError
from conetheory.predict import applies, theories
from conetheory.predict.local_spectrum import LocalSpectrum
from conetheory.predict.state_below import state_below
from conetheory.progress import silent
from conetheory.rules.registry import get_method
from tests.toys import SHAPE, TOYS, graph, images, seeded

TOY = "small vgg"
# Medians of a mixture are integrated on bins that start at its smallest tail, which is rounding where P has
# rank one: another order of summation moves them by some 1e-4 of themselves.
SAME_MEDIAN = 5e-4


def ours(method="lrp-alpha2beta1"):
    return ct.RelevanceChain(graph(TOY), images(2), method)


def theirs(method="lrp-alpha2beta1", from_all=False, name="theirs", **options):
    """Our own chain as functions that another library might give: of the output, or of every layer."""
    chain = ours(method)
    shapes = {name: chain.shape(name) for name in ("input", *chain.layers[1:])}

    def pull(top, v):
        swept = chain.sweep({top: v.unsqueeze(1)})
        return {layer: parts[top].squeeze(1) for layer, parts in swept if layer in shapes}

    starts = [s for s in shapes if s != "input"] if from_all else [chain.graph.output]
    given = {"name": name, "dtype": torch.float64, **options}
    return VjpChain({start: partial(pull, start) for start in starts}, shapes, images=2, **given)


def spectra(chain):
    """Singular values of every P_p, by layer and image."""
    theory = LocalSpectrum("logits")
    theory.add(chain, Supply(chain, "logits"), silent)
    return theory.spectra


def test_what_is_measured_and_predicted_is_what_our_own_chain_gives():
    found = ct.audit_chain(theirs(), vectors=3, bootstrap=5)
    mine = ct.predict_csc(ours(), theory="sampled-spectrum").dataset
    measured = ct.measure_csc(ours(), vectors=3).dataset
    data = found.comparison.dataset
    for layer in ("input", str(ours().layers[1])):
        at = {"layer": layer, "start": "logits"}
        for name, other in (("predicted_sampled_spectrum", mine), ("measured_deficit_median", measured)):
            got, want = (float(each[name].sel(at).squeeze()) for each in (data, other))
            np.testing.assert_allclose(got, want, rtol=1e-6 if other is measured else SAME_MEDIAN)


def test_columns_give_the_exact_spectrum():
    found = ct.predict_csc(theirs(), theory="local-spectrum").dataset["predicted_local_spectrum"]
    mine = ct.predict_csc(ours(), theory="local-spectrum").dataset["predicted_local_spectrum"]
    layers = list(found["layer"].values)
    assert len(layers) > 3
    np.testing.assert_allclose(found.values, mine.sel(layer=layers).values, rtol=SAME_MEDIAN)
    given, own = spectra(theirs()), spectra(ours())
    for layer in layers:
        for image, values in own[layer].items():  # roots of a Gram matrix's eigenvalues: zero is 1e-8
            np.testing.assert_allclose(given[layer][image], values, rtol=1e-9, atol=5e-8)


def test_a_start_of_too_many_units_has_no_columns(monkeypatch):
    monkeypatch.setattr("conetheory.chain.local.ENUMERABLE", 3)
    monkeypatch.setattr("conetheory.chain.local.is_enumerable.__defaults__", (3,))
    found = ct.predict_csc(theirs(), theory=["local-spectrum", "location-columns"]).dataset
    assert not found["predicted_local_spectrum"].notnull().any()
    assert not found["predicted_location_columns"].notnull().any()


def test_location_columns_are_sent_from_the_lowest_cut_that_is_one():
    """c and K, the covariance of the location weights s, are those of the dense matrix."""
    chain = theirs("lrp-zplus", from_all=True)
    cut, state = state_below(chain, "logits")
    names = list(chain.graph.shapes)
    assert cut == names[1]
    C = ours("lrp-zplus").as_matrix("logits", cut)  # channels and locations, units
    c = C.sum(1).reshape(chain.shape(cut))
    np.testing.assert_allclose(state.c[0], c.reshape(len(c), -1), rtol=1e-9)
    s = C.reshape(*c.shape, -1).sum(0) / np.where(c.sum(0) > 0, c.sum(0), np.inf)[..., None]
    S = s.reshape(-1, s.shape[-1])
    np.testing.assert_allclose(state.K[0], S @ S.T, rtol=1e-7, atol=1e-12)
    found = ct.predict_csc(chain, theory="location-columns").dataset["predicted_location_columns"]
    assert float(found.sel(layer="input").squeeze()) > 0
    assert np.isnan(found.sel(layer=cut).squeeze())


def test_what_relevance_goes_past_is_no_cut():
    model = seeded(TOYS["residual of signed branches"]).eval()
    chain = VjpChain({}, {"input": (1,), "a": (1,), "logits": (1,)}, 1)
    assert state_below(chain, "logits") is None
    found = ZennitChain(model, images(1))
    cut, _ = state_below(found, "logits")
    through = found.down(found.down(found.one_hot("logits", [0]), "logits", cut), cut)
    assert torch.allclose(through, found.down(found.one_hot("logits", [0]), "logits"), atol=1e-12)


def test_a_chain_is_held_beside_ours_at_their_common_layers():
    short = theirs(name="theirs")
    found = ct.audit_chain(short, beside=[ours(), ours("gradient")], theory=(), vectors=3, bootstrap=0)
    data = found.comparison.dataset
    assert list(data["method"].values) == ["theirs", "lrp-alpha2beta1", "gradient"]
    assert set(data["layer"].values) <= set(short.layers)
    one, other = (
        data["measured_deficit_median"].sel({"method": m}).values for m in data["method"].values[:2]
    )
    np.testing.assert_allclose(one, other, rtol=1e-9)
    assert list(found.verdict) == list(data["method"].values)
    stranger = VjpChain({"top": lambda v: {"below": v}}, {"input": (2,), "below": (2,), "top": (2,)}, 2)
    with pytest.raises(InputError, match="is of shapes"):
        ct.audit_chain(stranger, "top", beside=ours())


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
