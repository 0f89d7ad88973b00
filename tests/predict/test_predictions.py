"""Predictions: what the two-scale theory says exactly, and the local spectrum against brute force."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conetheory.certify.certificates import certify_csc
from conetheory.chain.columns import local_columns
from conetheory.chain.local import local_rows, singular_values
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import MATRICES, UNITS, Supply
from conetheory.errors import InputError
from conetheory.measure.meter import CscMeter, draw, local_deficits, measure_csc
from conetheory.networks import trace
from conetheory.networks.graph import INPUT
from conetheory.predict import LocalSpectrum, TwoScale, below, state_cuts
from conetheory.predict.predictions import predict_csc
from conetheory.theory.cosine import pairwise_deficits
from conetheory.theory.twoscale import amplitude, location_chain, location_weight
from tests.networks.toys import random_images, seeded
from tests.toys import SHAPE, TOYS, chain, conv, typical

toys = pytest.mark.parametrize("toy", TOYS)


def spatial_steps(found: RelevanceChain) -> list[tuple[str, str]]:
    """(top, bottom) of neighbouring cuts that are both maps."""
    cuts = [name for name in found.graph.cuts if len(found.shape(name)) == 3]
    return [(top, bottom) for bottom, top in pairwise(cuts)]


def blocks(found: RelevanceChain, top: str, bottom: str) -> np.ndarray:
    """M as (locations out, channels out, locations in, channels in), for the first image."""
    (a, *space_a), (b, *space_b) = found.shape(bottom), found.shape(top)
    M = found.as_matrix(top, bottom).reshape(a, np.prod(space_a), b, np.prod(space_b))
    return M.transpose(1, 0, 3, 2)


# ---------------------------------------------------------------- two scales, exactly


@pytest.mark.covering
@toys
@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha2beta1"])
def test_location_weights_follow_the_markov_chain(toy, method):
    """s of M (s c) is t s, with t from the dense layer; t is stochastic where the chain is nonnegative."""
    found = chain(toy, method, count=1)
    for top, bottom in spatial_steps(found):
        M, shape = blocks(found, top, bottom), found.shape(top)
        c = torch.rand((1, 1, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        t = location_chain(M, c[0, 0].flatten(1).T.numpy())
        below_c = found.down(c, top, bottom)
        live = below_c[0, 0].flatten(1).norm(dim=0).numpy() > 0
        np.testing.assert_allclose(t[live].sum(1), 1, rtol=1e-9)
        assert not t[~live].any()
        assert method != "lrp-alpha1beta0" or t.min() >= 0
        s = torch.randn(
            (1, 3, 1, *shape[1:]), generator=torch.Generator().manual_seed(1), dtype=torch.float64
        )
        weights = location_weight(found.down(s * c, top, bottom), below_c, 2)[0, :, 0].flatten(1)
        size = np.abs(t) @ np.abs(s[0, :, 0].flatten(1).T.numpy())
        assert (np.abs(weights.T.numpy() - t @ s[0, :, 0].flatten(1).T.numpy()) <= 1e-10 * size + 1e-12).all()


@toys
def test_a_constant_weight_injects_nothing(toy):
    found = chain(toy, "lrp-alpha2beta1", count=1)
    for top, bottom in spatial_steps(found):
        c = torch.rand(
            (1, 1, *found.shape(top)), generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        below_c = found.down(c, top, bottom)
        assert amplitude(found.down(3 * c, top, bottom), below_c, 2).max() < 1e-12


@pytest.mark.parametrize(("toy", "top", "bottom"), [("conv 1x1", "2", "1"), ("max pool", "2", "1")])
def test_pointwise_layers_and_pools_without_overlap_inject_nothing(toy, top, bottom):
    """Each location hears from one location above, whatever s is; a layer with overlap is the contrast."""
    for name, silent in ((toy, True), ("conv same", False), ("max pool overlapping", False)):
        found = chain(name)
        generator = torch.Generator().manual_seed(0)
        shape = found.shape(top)
        c = torch.rand((2, 1, *shape), generator=generator, dtype=torch.float64)
        s = torch.randn((2, 4, 1, *shape[1:]), generator=generator, dtype=torch.float64)
        injected = amplitude(found.down(s * c, top, bottom), found.down(c, top, bottom), 2)
        assert (injected.max() < 1e-12) == silent


def narrow(*widths: int) -> nn.Module:
    """Convolutions of the given widths, then one to a single live channel, then a linear layer."""
    layers: list[nn.Module] = []
    for into, out in pairwise((2, *(widths or (4,)), 1)):
        layers += [conv(into, out), nn.ReLU()]
    nn.init.constant_(layers[-2].bias, 2.0)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(42, 5))


def test_without_deviations_the_prediction_is_the_measurement():
    """Behind a map of one channel nothing deviates, so the next layer's injection is exact."""
    found = RelevanceChain(trace(seeded(narrow), SHAPE), random_images(3, *SHAPE))
    measured = measure_csc(found, vectors=6, seed=2).median("measured_deficit_median")
    predicted = predict_csc(found, theory="two-scale", vectors=6, seed=2).median("predicted_two_scale")
    assert np.isnan(predicted.sel(layer="3")).all()  # the chain is run exactly to there
    assert float(measured.sel(layer="1")) > 1e-3
    assert float(predicted.sel(layer="1")) == pytest.approx(float(measured.sel(layer="1")), rel=1e-6)
    assert float(predicted.sel(layer=INPUT)) > 0


def test_two_scale_does_not_depend_on_batches():
    graph = trace(seeded(lambda: narrow(6, 6, 6)), SHAPE)
    images = random_images(3, *SHAPE)
    whole, parts = TwoScale("logits", vectors=4), TwoScale("logits", vectors=4)
    whole.add(RelevanceChain(graph, images, dtype=torch.float64))
    for image in images:
        parts.add(RelevanceChain(graph, image, dtype=torch.float64))
    assert whole.counts.keys() == parts.counts.keys() != set()
    for layer in whole.counts:
        assert whole.counts[layer].sum() == parts.counts[layer].sum()
        assert whole.median(layer) == pytest.approx(parts.median(layer), rel=1e-6, nan_ok=True)


class BlownUp(nn.Module):
    """Convolutions whose 3 x 3 maps are blown up to 7 x 7 before the head, as VGG's are for small images."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(conv(2, 64), nn.ReLU(), conv(64, 64), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(7)
        linear = [nn.Linear(64 * 49, 256), nn.ReLU(), nn.Linear(256, 100), nn.ReLU(), nn.Linear(100, 10)]
        self.head = nn.Sequential(nn.Flatten(), *linear)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(self.features(x)))


def test_deviations_of_separate_locations_average_out():
    """A linear layer's deviations are independent: where locations are summed they shrink, by 0.7 decade."""
    found = RelevanceChain(trace(seeded(BlownUp), (2, 3, 3)), random_images(4, 2, 3, 3))
    measured = measure_csc(found, vectors=12, seed=1).median("measured_deficit_median")
    predicted = predict_csc(found, theory="two-scale", vectors=12, seed=1).median("predicted_two_scale")
    pool = next(name for name in found.layers if name.startswith("pool"))
    assert float(measured.sel(layer=pool)) > 3 * float(measured.sel(layer="features.3"))
    error = np.log10(predicted / measured).sel(layer=["features.3", "features.1"])
    assert np.abs(error).max() < 0.15


# ---------------------------------------------------------------- local spectrum


@pytest.mark.covering
@pytest.mark.parametrize("toy", typical())
@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha2beta1"])
def test_local_matrices_are_the_same_from_every_side(toy, method):
    """From columns, from rows and from the explicit matrix, at every location of every layer."""
    found = chain(toy, method)
    layers = below(found, "logits")
    columns = local_columns(found, "logits", layers)
    assert columns.keys() == set(layers)
    for layer in layers:
        channels, *space = found.shape(layer)
        locations, units = int(np.prod(space, dtype=int)), found.shape("logits")
        rows = local_rows(found, "logits", layer, positions=locations)
        for image, block in enumerate(columns[layer]):
            assert len(block.positions) == block.total == locations
            C = found.as_matrix("logits", layer, image)
            P = C.reshape(channels, locations, int(np.prod(units))).transpose(1, 0, 2)
            np.testing.assert_allclose(
                block.matrices.numpy(), P, rtol=1e-9, atol=1e-13 * np.abs(P).max(initial=1e-300)
            )
            explicit = np.linalg.svd(P, compute_uv=False) ** 2
            for matrices in (block.matrices, rows[image].matrices):
                squares = singular_values(matrices).numpy() ** 2
                kept = min(squares.shape[-1], explicit.shape[-1])
                top = explicit[:, :1]
                assert (
                    np.abs(squares[:, :kept] - explicit[:, :kept]) <= 1e-13 * top
                ).all()  # of the Gram matrix
                assert (squares[:, kept:] <= 1e-13 * top).all()
                tails = squares[:, 1:].sum(1), explicit[:, 1:].sum(1)
                np.testing.assert_allclose(*tails, rtol=1e-3, atol=1e-26 * top.max())  # 1e-13 of 1e-10


@pytest.mark.parametrize("enumerable", [True, False])
def test_spectra_do_not_depend_on_batches_nor_on_who_made_the_blocks(monkeypatch, enumerable):
    """Each image at locations of its own, whether it comes alone, with others, or after a certificate."""
    monkeypatch.setattr("conetheory.chain.supply.is_enumerable", lambda chain, start: enumerable)
    found, options = chain("small vgg"), {"positions": 3, "seed": 2}
    together, one_by_one = LocalSpectrum("logits", **options), LocalSpectrum("logits", **options)
    together.add(found)
    first, *others = (found.only(image) for image in range(len(found)))
    layers = below(first, "logits")
    for number, other in reversed(list(enumerate(others, 1))):  # in any order
        one_by_one.add(other, Supply(other, "logits", **options, first_image=number))
    supply = Supply(first, "logits", **options)
    if enumerable:
        assert supply[UNITS]  # as certificates ask for them
    one_by_one.add(first, supply)
    assert supply.computed == {need: 1 for need in ([UNITS, MATRICES] if enumerable else [MATRICES])}
    for layer in layers:
        assert sorted(together.spectra[layer]) == sorted(one_by_one.spectra[layer])
        for number, a in together.spectra[layer].items():
            b = one_by_one.spectra[layer][number]
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-7 * a.max(initial=1e-300))
    places = {tuple(block.positions) for block in local_rows(found, "logits", layers[-1], **options)}
    assert len(places) == len(found)


def test_singular_values_hold_their_digits():
    """Relative to the tail, which the median deficit is made of: also 1e-9 below the head."""
    generator = np.random.default_rng(0)
    u, v = (np.linalg.qr(generator.standard_normal((n, 6)))[0] for n in (6, 40))
    for tail in (1e-1, 1e-4, 1e-7, 1e-9):
        s = np.array([1.0, *(tail * np.array([1, 0.5, 0.3, 0.2, 0.1]))])
        for P in (u @ np.diag(s) @ v.T, v @ np.diag(s) @ u.T):
            found = singular_values(torch.from_numpy(P)).numpy()
            assert np.sum(found[1:] ** 2) == pytest.approx(np.sum(s[1:] ** 2), rel=1e-5)
    assert not singular_values(torch.zeros(3, 4, 5, dtype=torch.float64)).any()


def test_dead_units_do_not_change_singular_values():
    generator = torch.Generator().manual_seed(0)
    P = torch.rand((3, 7, 9), generator=generator, dtype=torch.float64)
    P[0, 2:], P[1, :, ::2], P[2] = 0, 0, 0
    for matrices in (P, P.mT):
        found = singular_values(matrices)
        assert found.shape == (3, 7)
        torch.testing.assert_close(found, torch.linalg.svdvals(matrices), rtol=1e-7, atol=1e-14)
    torch.testing.assert_close(singular_values(P[0]), singular_values(P)[0])


def share_below(found: RelevanceChain, layer: str, level: float, pairs: int = 2000) -> tuple[float, float]:
    """The share of deficits up to `level` over independent pairs, locations, images; its standard error."""
    generator = np.random.default_rng(0)
    channels, *_ = found.shape(layer)
    pooled = []
    for image in range(len(found)):
        C = found.as_matrix("logits", layer, image)
        v = generator.standard_normal((C.shape[1], 2 * pairs))
        r = (C @ v).reshape(channels, -1, pairs, 2).transpose(1, 2, 3, 0)  # by location and pair
        pooled.append(pairwise_deficits(r)[..., 0])
    deficits = np.concatenate(pooled)
    by_pair = (deficits[~np.isnan(deficits).all(1)] <= level).mean(0)
    return float(by_pair.mean()), float(by_pair.std(ddof=1) / np.sqrt(pairs))


@pytest.mark.covering
@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha2beta1"])
@pytest.mark.parametrize(
    "toy",
    [
        "conv stride",
        pytest.param("nested branches", marks=pytest.mark.slow),
        pytest.param("dense block", marks=pytest.mark.slow),
        pytest.param("residual of signed branches", marks=pytest.mark.slow),
    ],
)
def test_the_predicted_median_is_that_of_many_vectors(toy, method):
    found = chain(toy, method)
    spectrum = LocalSpectrum("logits")
    spectrum.add(found)
    for layer in below(found, "logits"):
        if len(found.shape(layer)) == 3:
            predicted = spectrum.median(layer)
            share, error = share_below(found, layer, max(predicted, 1e-26))
            if predicted == 0:  # most locations hear from one unit: an atom at zero
                assert share >= 0.5 - 4 * error
            else:
                assert abs(share - 0.5) < 4 * error + 1e-3  # and the quadrature's own error


def test_sampled_locations_have_a_band():
    found = chain("conv same", count=3)
    whole, sampled = LocalSpectrum("logits"), LocalSpectrum("logits", positions=10, seed=3)
    for each in (whole, sampled):
        each.add(found)
    low, high = sampled.band(INPUT)
    assert low < sampled.median(INPUT) < high
    assert low < whole.median(INPUT) < high
    assert whole.band(INPUT) == pytest.approx((whole.median(INPUT),) * 2)
    assert sampled.spectra.band(INPUT, extra=1e3) == (0, 1)  # nothing is known


@pytest.mark.exhaustive
def test_starts_that_are_maps_go_by_rows():
    """More units than are enumerated: 16 locations a layer by adjoint passes, the same law."""

    def build() -> nn.Module:
        layers = [conv(2, 4), nn.ReLU(), conv(4, 4), nn.ReLU(), conv(4, 6), nn.Flatten(), nn.Linear(1536, 3)]
        return nn.Sequential(*layers)

    found = RelevanceChain(trace(seeded(build), (2, 16, 16)), random_images(2, 2, 16, 16))
    options = {"theory": "local-spectrum", "positions": 128, "layers": ["1", INPUT]}
    predicted = (
        predict_csc(found, "4", **options).dataset["predicted_local_spectrum_band"].isel(method=0, start=0)
    )
    measured = (
        measure_csc(found, "4", vectors=60, bootstrap=100).dataset["measured_band"].isel(method=0, start=0)
    )
    for layer in ("1", INPUT):
        low, high = measured.sel(layer=layer).values
        assert high < 1.5 * low
        least, most = predicted.sel(layer=layer).values
        assert most < 1.5 * least
        assert least < high
        assert low < most


# ---------------------------------------------------------------- layout


def test_cuts_and_layers_go_from_the_start_to_the_input():
    found = chain("nested branches")
    layers = below(found, "logits")
    assert layers[-1] == INPUT
    assert found.graph.output not in layers
    cuts = state_cuts(found, "logits")
    assert cuts[0] == found.graph.output
    assert cuts[-1] == INPUT
    assert below(found, "c", layers=[INPUT]) == [INPUT]


def test_a_prediction_is_laid_out_as_the_measurement():
    found = chain("small vgg")
    theories = ["local-spectrum", "two-scale"]
    data = predict_csc(found, ["logits", "5"], theory=theories, vectors=3).dataset
    assert set(data.data_vars) == {
        "predicted_local_spectrum",
        "predicted_local_spectrum_band",
        "predicted_two_scale",
    }
    measured = measure_csc(found, ["logits", "5"], vectors=3).dataset
    assert set(data["layer"].values) <= set(measured["layer"].values)
    live = np.isfinite(data["predicted_local_spectrum"].sel(start="5"))
    assert set(data["layer"].values[live[0].values]) <= set(below(found, "5"))


def test_unknown_names_are_refused():
    found = chain("small vgg")
    with pytest.raises(InputError, match="unknown theory 'spectral'"):
        predict_csc(found, theory="spectral")
    with pytest.raises(InputError, match="no layer 'fc9'"):
        predict_csc(found, "fc9")


def test_the_vectors_are_those_of_the_measurement():
    """Both draw by seed, image and start: the same deficits at the start layer."""
    found = chain("small vgg")
    r = draw(found.shape("logits"), range(2), 5, start="logits", seed=7).double()
    seen: list[Tensor] = []
    meter = CscMeter(["logits"], vectors=5, seed=7, observe=lambda s, layer, i, d: seen.append(d))
    meter.add(found)
    torch.testing.assert_close(torch.stack(seen[:2]), local_deficits(r)[0])


@pytest.mark.parametrize("function", [predict_csc, certify_csc])
def test_where_nothing_lies_below_or_no_location_is_asked_for_one_line_says_so(function):
    found = chain("small vgg")
    with pytest.raises(InputError, match="start 'input' has no layer below it"):
        function(found, "input")
    with pytest.raises(InputError, match="positions must be at least 1, not 0"):
        function(found, positions=0)
    assert not function(found, layers=["logits"]).dataset.data_vars.keys() & {"certified_positions"}


def test_the_output_has_one_set_of_vectors_whatever_it_is_called():
    found = chain("small vgg")
    spelled = [found.graph.output, "logits"]
    measured = [measure_csc(found, start, seed=3).median("measured_deficit_median") for start in spelled]
    np.testing.assert_array_equal(*measured)
    asked = {"theory": "two-scale", "seed": 3}
    predicted = [predict_csc(found, start, **asked).median("predicted_two_scale") for start in spelled]
    np.testing.assert_array_equal(*predicted)
