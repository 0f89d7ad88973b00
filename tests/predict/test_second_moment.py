"""Second moments against dense matrices: what is exact to the digits, what is a closure by its size."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.squeezenet import Fire

from conetheory.chain.layers import below, state_cuts
from conetheory.chain.reach import colours, heard, periods, reaches, space
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import Supply
from conetheory.measure.meter import measure_csc
from conetheory.networks import trace
from conetheory.networks.graph import INPUT
from conetheory.predict import find, second_moment, states
from conetheory.predict.local_spectrum import LocalSpectrum
from conetheory.predict.second_moment import SecondMoment
from conetheory.predict.states import (
    columns_between,
    dense_cuts,
    first_map,
    merged,
    state_of_columns,
    trailing,
)
from conetheory.rules.carried import carried_variances
from conetheory.rules.maps import Same
from conetheory.rules.registry import get_method
from conetheory.theory import secondmoment as theory
from tests.networks.toys import random_images, seeded
from tests.toys import chain, conv, typical

toys = pytest.mark.parametrize("toy", typical())
methods = pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha2beta1", "lrp-gamma"])


def matrices(found: RelevanceChain):
    """Each node's map with its dense matrices, one (units in, units out) for each input."""
    for node, local in found.crossed("logits", INPUT):
        shape = found.graph.shape(node.name)
        size = int(np.prod(shape))
        eye = torch.eye(size, dtype=found.dtype).reshape(1, size, *shape)
        yield node, local, [part[0].flatten(1).T for part in local.down(eye)]


@pytest.mark.covering
@toys
@methods
def test_squared_maps_are_the_squares_of_the_matrices(toy, method):
    found = chain(toy, method, count=1)
    for node, local, parts in matrices(found):
        v = torch.rand((1, 1, *found.graph.shape(node.name)), dtype=torch.float64)
        for part, squares in zip(parts, local.squared().down(v), strict=True):
            torch.testing.assert_close(squares.flatten(), part**2 @ v.flatten(), rtol=1e-10, atol=1e-14)


@pytest.mark.covering
@toys
@methods
def test_carried_variances_are_those_of_the_dense_matrix(toy, method):
    """Of a convolution, its taps; of maps that keep channels apart, from the squares alone."""
    found = chain(toy, method, count=1)
    generator = torch.Generator().manual_seed(0)
    for node, local, parts in matrices(found):
        shapes = [found.graph.shape(name) for name in node.inputs]
        v = torch.rand((1, 1, *found.graph.shape(node.name)), generator=generator, dtype=torch.float64)
        v = torch.zeros_like(v) if node.name in found.graph.weights else v  # nothing arrives there
        cs = [torch.rand((1, 1, *s), generator=generator, dtype=torch.float64) for s in shapes]
        bs = [c / (c * c).sum(2, keepdim=True) for c in cs]
        got = carried_variances(local, v, bs, cs)
        for part, b, c, mine, shape in zip(parts, bs, cs, got, shapes, strict=True):
            M = part.reshape(shape[0], -1, part.shape[1])  # channels, locations, units above
            flat_b, flat_c = (x.reshape(shape[0], -1) for x in (b, c))
            omega = torch.einsum("ip,ipj->pj", flat_b, M)
            rest = M if isinstance(local, Same) else M - flat_c[:, :, None] * omega
            expected = (rest**2 @ v.flatten()).reshape(shape)
            torch.testing.assert_close(mine[0, 0], expected, rtol=1e-9, atol=1e-12)


@toys
def test_reaches_hold_every_location_that_is_heard(toy):
    """The support of the dense matrix lies inside the intervals, and no residue is heard twice."""
    found = chain(toy, "lrp-alpha2beta1", count=1)
    cuts = state_cuts(found, "logits")
    for top, bottom in pairwise(cuts):
        reach = reaches(found.graph, top, bottom)[bottom]
        period = periods([reach])
        (a, *_), (b, *_) = found.shape(bottom), found.shape(top)
        M = np.abs(found.as_matrix(top, bottom)).reshape(a, -1, b, int(np.prod(space(found.shape(top)))))
        hears = M.sum((0, 2)) > 0  # (locations below, locations above)
        masks = colours(found.shape(top), period).reshape(np.prod(period), -1)
        index = heard(reach, period, space(found.shape(top))[1])
        for k, mask in enumerate(masks):
            assert (hears[:, mask > 0].sum(1) <= 1).all()
            for p, q in enumerate(index[k]):
                assert not hears[p, (mask > 0) & (np.arange(len(mask)) != q)].any()


def first_segment(found: RelevanceChain):
    """The first pair of cuts of which the lower one has locations, and the dense matrix of the step."""
    cuts = [c for c in state_cuts(found, "2") if len(found.shape(c)) == 3]
    top, bottom = cuts[0], cuts[1]
    return top, bottom, torch.from_numpy(found.as_matrix(top, bottom))


@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha2beta1"])
@pytest.mark.parametrize("toy", ["conv same", "conv stride", "conv dilation", "max pool overlapping"])
def test_one_step_below_white_starts(toy, method):
    """c = 1: K is Cov s to the digits; v is injection plus independent deviations, from the dense matrix."""
    found = chain(toy, method, count=1)
    top, bottom, M = first_segment(found)
    (j, *_), (i, *_) = found.shape(top), found.shape(bottom)
    B = M.reshape(i, -1, j, M.shape[1] // j)  # i, p, j, q
    one = torch.ones((j, B.shape[3]), dtype=torch.float64)
    K, v = theory.white_start(one, theory.covector(one, True))
    state = second_moment.State(one[None], v[None], [K], one[None])
    new, _ = SecondMoment(top)._descend(found, top, bottom, state, [], None, [])
    C = B.sum((2, 3))
    d = theory.covector(C, found.method.nonnegative)
    rows = torch.einsum("ip,ipjq->pjq", d, B)  # of s, for white starts
    torch.testing.assert_close(new.K[0], torch.einsum("pjq,rjq->pr", rows, rows), rtol=1e-9, atol=1e-13)
    D = B.sum(2)
    E = D - C[:, :, None] * torch.einsum("ip,ipq->pq", d, D)
    kept = B - C[:, :, None, None] * rows if found.method.nonnegative else B
    expected = torch.einsum("ipq,q,ipq->ip", E, K, E) + torch.einsum("ipjq,jq->ip", kept**2, v)
    torch.testing.assert_close(new.v[0], expected, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(new.c[0], C, rtol=1e-9, atol=1e-13)


def test_one_channel_starts_are_exact_all_the_way():
    """A start of one channel has no deviations: at the layer below, the law is that of the dense matrix."""

    def build() -> nn.Module:
        return nn.Sequential(conv(2, 4), nn.ReLU(), conv(4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(42, 3))

    found = RelevanceChain(trace(seeded(build), (2, 6, 7)), random_images(2, 2, 6, 7))
    mine, exact = SecondMoment("3", layers=["1"]), LocalSpectrum("3", layers=["1"])
    for each in (mine, exact):
        each.add(found)
    (a, b), (c, d) = mine.spectra._values["1"], exact.spectra["1"].values()
    np.testing.assert_allclose([a**2, b**2], [c[:, :4] ** 2, d[:, :4] ** 2], rtol=1e-7, atol=1e-14)


@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha2beta1"])
def test_branches_below_a_cut_are_known_in_full(method):
    """A fire module under a start of one channel: what was injected is exact in its halves too."""

    def build() -> nn.Module:
        return nn.Sequential(conv(2, 4), nn.ReLU(), Fire(4, 3, 12, 12), conv(24, 1), nn.ReLU())

    found = RelevanceChain(trace(seeded(build), (2, 6, 7)), random_images(1, 2, 6, 7), method)
    halves = trailing(found.graph, "2.cat", "2.squeeze")
    names = [n for n in below(found, "4") if n in halves or n == "2.cat"]
    assert len(names) == 3
    mine, exact = SecondMoment("4"), LocalSpectrum("4")
    for each in (mine, exact):
        each.add(found)
    for name in names:
        (a,), b = mine.spectra._values[name], exact.spectra[name][0]
        np.testing.assert_allclose(a**2, b[:, : a.shape[1]] ** 2, rtol=1e-7, atol=1e-13 * b.max() ** 2)
        assert (b[:, 1] > 1e-3 * b[:, 0]).any()


def test_columns_of_a_dense_start_are_followed_to_the_first_mixed_map():
    found = chain("small vgg")
    assert first_map(found, dense_cuts(found, "logits")) is not None
    assert first_map(found, dense_cuts(found, "2")) is None  # a map
    mine, exact = SecondMoment("logits"), LocalSpectrum("logits")
    for each in (mine, exact):
        each.add(found)
    cut = first_map(found, dense_cuts(found, "logits"))
    for layer in below(found, "logits"):
        if layer in found.graph.nodes and layer != cut and len(found.shape(layer)) == 1:
            assert mine.median(layer) == pytest.approx(exact.median(layer), rel=1e-6)


@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha2beta1"])
def test_a_dense_start_of_no_more_units_than_fields_is_exact(method):
    """Every principal vector is followed: singular values are those of the dense matrix at every layer."""
    found = chain("small vgg", method, count=1)
    mine, exact = (t("logits", positions=1000) for t in (SecondMoment, LocalSpectrum))
    for each in (mine, exact):
        each.add(found)
    units = int(np.prod(found.shape("logits")))
    assert 1 < units <= second_moment.FIELDS
    for layer in below(found, "logits"):
        (a,), b = mine.spectra._values[layer], exact.spectra[layer][0]
        k = min(a.shape[1], b.shape[1])
        np.testing.assert_allclose(a[:, :k] ** 2, b[:, :k] ** 2, rtol=1e-6, atol=1e-14 * b.max() ** 2)
        assert np.sum(a[:, k:] ** 2) <= 1e-12 * np.sum(b**2)


def test_fewer_fields_leave_the_rest_to_moments(monkeypatch):
    """c is that of all columns; the variances of fields and rest add up to those of the columns."""
    found = chain("small vgg", count=1)
    cuts = dense_cuts(found, "logits")
    columns, _ = columns_between(found, cuts[0], first_map(found, cuts), {})
    whole, split = (state_of_columns(columns, True, k) for k in (0, 2))
    torch.testing.assert_close(split.c, whole.c)
    b = theory.covector(whole.c[0], True)
    s = (split.fields[0] * b).sum(1)
    torch.testing.assert_close(split.K[0] + s.T @ s, whole.K[0], rtol=1e-9, atol=1e-15)
    parts = split.fields[0] - s[:, None] * whole.c[0]
    torch.testing.assert_close(split.v + parts.square().sum(0), whole.v, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha2beta1"])
def test_the_state_below_a_dense_start_is_made_once_for_all_theories(method, monkeypatch):
    """Second moments leave it to origin and location columns, which predict what they do by themselves."""
    found, sweeps = chain("small vgg", method, count=1), []
    sent = states.columns_between
    for module in (states, second_moment):
        monkeypatch.setattr(module, "columns_between", lambda *args: sweeps.append(1) or sent(*args))
        monkeypatch.setattr(module, "FIELDS", 2)
    supply = Supply(found, "logits")
    theories = [find(name)("logits") for name in ("second-moment", "origin", "location-columns")]
    for one in theories:
        one.add(found, supply)
    assert len(sweeps) == 1
    for one in theories:
        alone = find(one.name)("logits")
        alone.add(found)
        for layer in one.spectra.layers:
            np.testing.assert_allclose(one.median(layer), alone.median(layer), rtol=1e-9)


def test_pointwise_cuts_join_their_neighbours():
    def build() -> nn.Module:
        layers = [conv(2, 4), nn.ReLU(), nn.Conv2d(4, 3, 1), nn.ReLU(), conv(3, 4), nn.ReLU(), conv(4, 2)]
        return nn.Sequential(*layers)

    found = RelevanceChain(trace(seeded(build), (2, 6, 7)), random_images(1, 2, 6, 7))
    cuts = dense_cuts(found, "6")
    assert [c for c in merged(found.graph, cuts) if c not in cuts] == []
    steps = list(pairwise(merged(found.graph, cuts)))
    assert len(steps) == 3
    for top, bottom in steps:
        assert np.prod(periods([reaches(found.graph, top, bottom)[bottom]])) == 9


@pytest.mark.covering
@pytest.mark.parametrize(("start", "method"), [("logits", "lrp-alpha2beta1"), ("2", "lrp-alpha1beta0")])
@pytest.mark.parametrize("toy", typical())
def test_every_toy_has_a_prediction(toy, method, start):
    found = chain(toy, method, count=2)
    if start not in found.graph.nodes:
        return
    predictor = SecondMoment(start)
    predictor.add(found)
    for layer in below(found, start):
        median = predictor.median(layer)
        low, high = predictor.band(layer)
        assert np.isnan(median) or 0 <= low <= median <= high <= 1


def test_predictions_do_not_depend_on_batches_nor_on_blocks(monkeypatch):
    found = chain("small vgg", count=3)
    whole, parts, blocks = (SecondMoment("4", positions=5) for _ in range(3))
    whole.add(found)
    for image in range(3):
        parts.add(found.only(image))
    monkeypatch.setattr(second_moment, "NUMBERS", 1)
    blocks.add(found)
    for layer in below(found, "4"):
        assert parts.median(layer) == pytest.approx(whole.median(layer), rel=1e-7, nan_ok=True)
        assert blocks.median(layer) == pytest.approx(whole.median(layer), rel=1e-7, nan_ok=True)


@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha2beta1"])
def test_wide_random_networks_are_predicted(method):
    """Where units are many and independent the closures hold: within 0.15 decade of 40 vectors."""

    def build() -> nn.Module:
        layers = [conv(2, 48), nn.ReLU(), conv(48, 48), nn.ReLU(), nn.MaxPool2d(2), conv(48, 48), nn.ReLU()]
        return nn.Sequential(*layers, conv(48, 48), nn.ReLU(), nn.Flatten(), nn.Linear(48 * 36, 3))

    found = RelevanceChain(trace(seeded(build), (2, 12, 12)), random_images(2, 2, 12, 12), method)
    measured = measure_csc(found, "8", vectors=40).median("measured_deficit_median")
    predictor = SecondMoment("8")
    predictor.add(found)
    for layer in ("6", "4", "3", "1"):
        assert abs(np.log10(predictor.median(layer) / float(measured.sel(layer=layer)))) < 0.15


def test_cost_is_told_before():
    """Of 3 x 3 convolutions nine vectors down, nine up, some for the variances and K; of 1 x 1 no more."""
    theory = SecondMoment("2")
    wide, pointwise = (
        theory.cost(found).passes - theory.law(found, second_moment.spectrum).passes
        for found in (chain("conv same"), chain("conv 1x1"))
    )
    assert 15 < pointwise <= wide < 80


def test_methods_without_a_state_of_relevance_are_told():
    assert SecondMoment.applies(get_method("lrp-alpha1beta0")) is None
    for name, reason in (("guided-backprop", "linear"), ("occlusion", "backpropagated")):
        assert reason in SecondMoment.applies(get_method(name)).reason
