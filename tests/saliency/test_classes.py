"""Class sensitivity: distances, worst pairs, what the class can move, the prediction from the spectrum."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from conetheory.chain.explained import open_chain
from conetheory.cli import main
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.results.class_distances import Classes, tracking
from conetheory.rules.registry import methods
from conetheory.saliency.classes import (
    ClassSettings,
    Spread,
    class_maps,
    class_sensitivity,
    class_spectrum,
    worst_pair,
)
from conetheory.theory.columns import column_deficit_estimate, mean_squared_sine
from conetheory.theory.cosine import pairwise_deficits
from tests.networks.toys import seeded
from tests.toys import fitted, graph, images

F64 = {"dtype": torch.float64}
LINEAR = [m.name for m in methods() if m.backpropagated and m.linear]


def matrix(method: str, toy: str = "small vgg", image: int = 0) -> np.ndarray:
    """The channel-summed chain of one image, dense: (pixels, classes)."""
    chain = open_chain(graph(toy), images(2)[image : image + 1], method)
    full = chain.as_matrix("logits", "input")
    return full.reshape(*chain.shape("input"), -1).sum(0).reshape(-1, full.shape[1])


def deficits(C: np.ndarray) -> dict[tuple[int, int], float]:
    unit = C / np.linalg.norm(C, axis=0)
    pairs = itertools.combinations(range(C.shape[1]), 2)
    return {(i, j): 1 - abs(float(unit[:, i] @ unit[:, j])) for i, j in pairs}


@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha2beta1", "gradient"])
def test_distances_are_those_of_the_dense_matrix(method):
    settings = ClassSettings(top=3, whole=None, pairs=((0, 4), (2, 1)), **F64)
    found = class_sensitivity(graph("small vgg"), images(2), method, settings).dataset.isel(method=0)
    for image in range(2):
        C, row = matrix(method, image=image), found.isel(image=image)
        every = deficits(C)
        logits = open_chain(graph("small vgg"), images(2), method).logits[image]
        top = logits.topk(3).indices.tolist()
        assert row["top_classes"].values.tolist() == top
        median = np.median([every[tuple(sorted(p))] for p in itertools.combinations(top, 2)])
        assert float(row["class_distance_median"]) == pytest.approx(median, rel=1e-6, abs=1e-12)
        assert float(row["class_distance_sampled"]) == pytest.approx(np.median([*every.values()]), rel=1e-6)
        worst = max(every, key=every.get)
        assert float(row["class_distance_worst"]) == pytest.approx(every[worst], rel=1e-6)
        assert tuple(row["worst_pair"].values) == worst
        assert float(row["pair_distance"][0]) == pytest.approx(every[0, 4], rel=1e-6)
        assert float(row["pair_distance"][1]) == pytest.approx(every[1, 2], rel=1e-6)
    assert found["worst_bounds_mixtures"] == (method == "lrp-alpha1beta0")


def test_no_mixture_of_classes_is_farther_apart_than_the_worst_pair():
    """Nonnegative chain: the theorem `generators`, on the maps themselves."""
    chain = open_chain(graph("small vgg"), images(1), "lrp-alpha1beta0")
    maps = class_maps(chain, range(5))
    worst, _ = worst_pair(maps)
    starts = torch.rand((1, 60, 5), generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 4
    mixed = chain.down(starts, "logits")[0].sum(1).flatten(1)
    unit = mixed / mixed.norm(dim=1, keepdim=True)
    assert float((1 - unit @ unit.T).max()) <= worst


@pytest.mark.parametrize("apart", [1.0, 1e-4, 1e-9])
def test_the_worst_pair_keeps_its_digits_however_near_all_maps_are(apart):
    """Of either sign and of any length; a map of zero, here the first, has no distance."""
    generator = torch.Generator().manual_seed(2)
    drawn = lambda *size: torch.randn(size, generator=generator, dtype=torch.float64)  # noqa: E731
    maps = torch.cat([torch.zeros(1, 130, 131), drawn(1, 130, 131) + apart * drawn(8, 130, 131)])
    maps = maps * drawn(9, 1, 1)
    every = pairwise_deficits(maps[1:].flatten(1))
    pair = list(itertools.combinations(range(1, 9), 2))[int(every.argmax())]
    found, where = worst_pair(maps)
    assert found == pytest.approx(float(every.max()), rel=1e-6)
    assert where == pair


def test_one_image_may_see_all_classes_and_the_others_the_top_ones():
    settings = ClassSettings(top=3, whole=1, **F64)
    found = class_sensitivity(graph("small vgg"), images(2), "gradient", settings).dataset
    assert np.isfinite(found["class_distance_worst"]).values.tolist() == [[True, False]]
    assert found["worst_pair"].values[0, 1].tolist() == [-1, -1]


def test_what_the_class_can_move():
    """Maps 5 a + t b of two orthogonal patterns: the share is that of the second direction."""
    rng = np.random.default_rng(0)
    a, b = np.linalg.qr(rng.standard_normal((100, 2)))[0].T
    a, b = a - a.mean(), b - b.mean()
    maps = np.stack([5.0 * a + t * b + 7 for t in (-1.0, 0.0, 1.0)])
    found = Spread.of(torch.from_numpy(maps).view(3, 10, 10), 3)
    centred = maps - maps.mean(1, keepdims=True)
    s = np.linalg.svd(centred / np.linalg.norm(centred, axis=1, keepdims=True), compute_uv=False)
    assert found.movable_share == pytest.approx(1 - s[0] ** 2 / (s**2).sum(), rel=1e-9)
    assert found.movable_share == pytest.approx(2 / 3 / 26, rel=0.2)
    share = s / s.sum()
    share = share[share > 1e-12]
    assert found.effective_rank == pytest.approx(float(np.exp(-(share * np.log(share)).sum())), rel=1e-6)
    first = found.directions[0].ravel()
    assert abs(first @ a) / np.linalg.norm(a) == pytest.approx(1, abs=0.01)


def test_maps_that_are_all_the_same_leave_nothing_to_move():
    one = torch.rand((1, 6, 6), dtype=torch.float64)
    found = Spread.of(one * torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64).view(3, 1, 1), 2)
    assert found.movable_share < 1e-28
    assert found.effective_rank == pytest.approx(1, abs=1e-5)
    flat = Spread.of(torch.ones((3, 6, 6)), 2)
    assert np.isnan(flat.movable_share)
    assert np.isnan(flat.directions).all()


# ---------------------------------------------------------------- the prediction from the spectrum


@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(2, 12))
def test_the_spectrum_bounds_the_weighted_angles(seed, columns, rows):
    """n/(n-1) (1 - 1/PR) <= weighted mean of sin^2, with equality for columns of equal length."""
    rng = np.random.default_rng(seed)
    C = rng.standard_normal((rows, columns)) * rng.exponential(size=columns)
    for A in (C, C / np.linalg.norm(C, axis=0)):
        G = A.T @ A
        w = np.diag(G)
        weights = np.outer(w, w) * (1 - np.eye(columns))
        sines = 1 - G**2 / np.outer(w, w)
        weighted_mean = (weights * sines).sum() / weights.sum()
        found = mean_squared_sine(np.linalg.svd(A, compute_uv=False), columns)
        assert found <= weighted_mean + 1e-12
    assert found == pytest.approx(weighted_mean, abs=1e-10)


def test_small_tails_lose_no_digits_and_a_rest_counts():
    s = np.array([1.0, 1e-9])
    assert mean_squared_sine(s, 2) == pytest.approx(4e-18, rel=1e-9)
    assert column_deficit_estimate(s, 2) == pytest.approx(2e-18, rel=1e-9)
    flat = np.full(6, 0.3)
    assert mean_squared_sine(flat, 6) == pytest.approx(1)
    assert mean_squared_sine(flat[:4], 6, tail=2 * 0.09) == pytest.approx(1)
    assert np.isnan(mean_squared_sine(np.zeros(3), 3))
    with pytest.raises(InputError, match="at least 2"):
        mean_squared_sine(s, 1)


@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha2beta1", "gradient"])
def test_the_spectrum_is_that_of_the_chain_with_columns_of_equal_length(method):
    chain = open_chain(graph("small vgg"), images(2)[:1], method)
    C = matrix(method)
    values, rest = class_spectrum(chain, probes=400)
    assert rest == 0
    exact = np.linalg.svd(C / np.linalg.norm(C, axis=0), compute_uv=False)
    # lengths from 800 random covectors are good to 1 / sqrt(1600), seven standard deviations
    np.testing.assert_allclose(values, exact, rtol=7 / 40, atol=0.02 * exact[0])


def test_a_few_probes_see_the_rest_of_a_long_spectrum():
    """40 classes, 4 probes: two steps of Lanczos and what they leave give the participation ratio."""
    from torch import nn

    from conetheory.networks import trace
    from tests.networks.toys import random_images, seeded

    layers = [nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 64, 40)]
    whole = trace(seeded(lambda: nn.Sequential(*layers)), (2, 8, 8))
    chain = open_chain(whole, random_images(1, 2, 8, 8), "gradient")
    full = chain.as_matrix("logits", "input").reshape(2, 64, 40).sum(0)
    exact = mean_squared_sine(np.linalg.svd(full / np.linalg.norm(full, axis=0), compute_uv=False), 40)
    values, rest = class_spectrum(chain, probes=4)
    assert len(values) == 8
    assert rest > 0
    assert mean_squared_sine(values, 40, rest) == pytest.approx(exact, rel=0.1)


@pytest.mark.parametrize("method", LINEAR)
def test_every_linear_method_has_a_prediction_near_its_distances(method):
    toy = graph("small vgg")
    found = class_sensitivity(toy, images(1), fitted(method, toy, images(8)), ClassSettings(**F64)).dataset
    assert np.isfinite(found["predicted_class_distance"]).all()
    assert (found["predicted_class_distance"] <= 1).all()
    assert (found["class_distance_median"] <= found["class_distance_worst"] + 1e-12).all()


def test_methods_that_are_not_linear_have_none():
    found = class_sensitivity(graph("small vgg"), images(1), "guided-backprop", ClassSettings(**F64)).dataset
    assert np.isnan(found["predicted_class_distance"]).all()


def _fake(predicted: list[float], measured: list[float]) -> Classes:
    names = ("predicted_class_distance", "class_distance_sampled")
    data = {
        n: (("method", "image"), np.array(v)[:, None])
        for n, v in zip(names, (predicted, measured), strict=True)
    }
    return Classes(xr.Dataset(data))


@pytest.mark.slow
def test_tracking_is_a_rank_correlation_over_methods():
    measured = np.array([1e-4, 1e-3, 0.02, 0.3, 0.5, 0.7, 0.72, 0.9])
    perfect = tracking(_fake(list(measured**2), list(measured)))
    assert perfect.methods == 8
    assert [perfect.correlation, perfect.lower, perfect.upper] == pytest.approx([1, 1, 1])
    swapped = measured[[0, 2, 1, 3, 4, 6, 5, 7]]
    found = tracking(_fake([*swapped, np.nan], [*measured, 0.1]))
    assert found.methods == 8
    assert found.correlation == pytest.approx(1 - 6 * 4 / (8 * 63))
    assert found.lower < found.correlation < found.upper <= 1
    assert np.isnan(tracking(_fake([1.0, 2.0], [1.0, 2.0])).correlation)


# ---------------------------------------------------------------- command line


@pytest.mark.slow
def test_the_command_prints_a_row_a_method_and_how_the_prediction_does(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    chosen = [x for m in ("lrp-zplus", "gradient", "lrp-alpha2beta1") for x in ("--method", m)]
    assert main(["classes", "cifar10_cnn", "--limit", "1", *chosen, "--pair", "cat,5", "--out", "o"]) == 0
    printed = capsys.readouterr().out
    assert "Over 3 methods with a prediction" in printed
    data = xr.load_dataset("o/classes.nc", engine="h5netcdf")
    assert data["pair"].values.tolist() == ["3-5"]
    assert re.search(r"\bpair +\n", printed)
    assert re.search(r"\b3-5 +\n", printed)  # in one piece
    assert f"{float(data['pair_distance'].squeeze()[0]):.3g}" in printed
    assert data["directions"].dims == ("method", "image", "rank", "y", "x")
    for wrong, words in (
        (["--pair", "cat"], "two classes"),
        (["--top", "1"], "--top"),
        (["--pair", "a,b"], "no class"),
    ):
        assert main(["classes", "cifar10_cnn", *wrong]) == 2
        assert words in capsys.readouterr().err


def test_a_network_of_one_output_has_no_other_class():
    network = trace(seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(90, 1))), (3, 6, 5))
    with pytest.raises(InputError, match="the network has one output"):
        class_sensitivity(network, torch.ones(1, 3, 6, 5), "gradient")


def test_maps_of_zero_have_no_worst_pair():
    maps = torch.zeros(3, 4, 4)
    maps[1] = 1
    worst, pair = worst_pair(maps)
    assert np.isnan(worst)
    assert pair == (-1, -1)
