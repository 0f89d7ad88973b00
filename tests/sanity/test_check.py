"""Randomisation tests: plain loops, networks with a known answer, the chain below, Quantus's traps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image
from scipy.stats import entropy
from torch import nn

from conetheory import networks
from conetheory.chain.explained import open_chain
from conetheory.cli import main
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.networks.randomise import levels, randomised, weighted
from conetheory.rules.registry import Method, get_method, methods
from conetheory.saliency.explain import explain, one_hot
from conetheory.saliency.pictures import attributions, class_index, pictures, saliency, target_classes
from conetheory.saliency.similarity import MEASURES, similarity
from conetheory.sanity import SanitySettings, sanity_check
from conetheory.sanity.structure import shuffled_maps
from conetheory.sanity.successors import complexity, complexity_rise, other_classes, smooth_maps
from tests.networks.toys import random_images, seeded
from tests.toys import fitted, graph, images

F64 = {"dtype": torch.float64}
LOCAL = {"lrp-alpha1beta0", "lrp-alpha2beta1", "gradient", "guided-backprop"}
SHAPE = (2, 12, 12)


def small() -> nn.Module:
    body = [
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(),
    ]
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(216, 8), nn.ReLU(), nn.Linear(8, 5))


NETWORK = trace(seeded(small), SHAPE)
IMAGES = random_images(3, *SHAPE)


def check(method: str | Method, **options):
    return sanity_check(NETWORK, IMAGES, method, SanitySettings(**F64, **options)).dataset.isel(method=0)


# ---------------------------------------------------------------- the protocol, against plain loops


@pytest.mark.parametrize("method", sorted(LOCAL))
def test_similarities_are_those_of_a_plain_loop(method):
    found = check(method)
    names = list(weighted(NETWORK))[::-1]
    assert list(found["layer"].values) == names
    reduce = get_method(method).rule.reduce
    chosen = NETWORK.forward(IMAGES).argmax(1, keepdim=True)
    picture = lambda g: pictures(explain(g, IMAGES, method, chosen, **F64)[:, 0], reduce)  # noqa: E731
    before = picture(NETWORK)
    for i, name in enumerate(names):
        for mode, changed in (("cascading", names[: i + 1]), ("independent", [name])):
            after = picture(randomised(NETWORK, changed))
            for measure in MEASURES:
                one = found["similarity"].sel({"mode": mode, "layer": name, "measure": measure})
                np.testing.assert_allclose(one, similarity(before, after, measure), atol=1e-9)


def test_the_explained_class_is_that_of_the_untouched_network():
    found = check("gradient")
    np.testing.assert_array_equal(found["target"], NETWORK.forward(IMAGES).argmax(1))
    given = torch.tensor([[4], [0], [1]])
    options = SanitySettings(**F64)
    fixed = sanity_check(NETWORK, IMAGES, "gradient", options, targets=given).dataset
    np.testing.assert_array_equal(fixed["target"], given[:, 0])


def test_the_untouched_network_is_no_part_of_the_curve():
    """Quantus averages the similarity of the maps with themselves, which is one, into its score."""
    found = check("gradient")
    assert found.sizes["layer"] == len(weighted(NETWORK))
    assert float(found["similarity"].sel(measure="cosine").max()) < 1 - 1e-6
    median = np.median(found["similarity"].values, axis=-1)
    np.testing.assert_allclose(found["similarity_median"], median)


@pytest.mark.parametrize("method", [m.name for m in methods() if m.backpropagated])
def test_every_method_has_its_curve(method):
    found = check(fitted(method, NETWORK, IMAGES), modes=("cascading",), measures=("cosine", "spearman"))
    assert found["similarity"].shape == (1, 4, 2, 3)
    values = found["similarity"].values
    assert (np.abs(values[np.isfinite(values)]) <= 1 + 1e-9).all()


def test_batches_and_order_of_images_do_not_matter(monkeypatch):
    whole = check("lrp-alpha1beta0")
    monkeypatch.setattr("conetheory.saliency.pictures.BATCH", 1)
    monkeypatch.setattr("conetheory.sanity.check.BATCH", 1)
    single = check("lrp-alpha1beta0")
    for name in ("similarity", "random_logit", "rank_one_bound", "efficient_mprt"):
        np.testing.assert_allclose(whole[name], single[name], atol=1e-9)


# ---------------------------------------------------------------- known answers


def test_a_last_layer_that_is_ignored_changes_nothing():
    """All logits are multiples of one unit: every map is that unit's up to its sign."""

    def one_unit() -> nn.Module:
        body = [nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(432, 1)]
        return nn.Sequential(*body, nn.Linear(1, 4))

    whole = trace(seeded(one_unit), SHAPE)
    for method in ("gradient", "input-x-gradient", "lrp-0"):
        settings = SanitySettings(**F64, layers=("4",), measures=("ssim", "abs_spearman", "hog", "cosine"))
        found = sanity_check(whole, IMAGES, method, settings).dataset
        np.testing.assert_allclose(found["similarity"], 1.0, atol=1e-6)


def test_images_without_a_map_are_left_out_and_counted():
    """A rectified logit that is zero after randomisation for some images has no map there."""

    def body() -> nn.Module:
        layers = nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(432, 6), nn.ReLU()
        layers[3].bias.data -= 0.3  # some images have no logit above zero even before
        return nn.Sequential(*layers)

    whole, x = trace(seeded(body), SHAPE), random_images(12, *SHAPE)
    assert not whole.forward(x).any(1).all()
    settings = SanitySettings(**F64, modes=("cascading",), measures=("cosine",))
    found = sanity_check(whole, x, "gradient", settings).dataset.isel(method=0, mode=0, measure=0)
    missing = np.isnan(found["similarity"].values)
    assert missing.any()
    assert not missing.all(1).all()
    np.testing.assert_array_equal(found["live_images"], (~missing).sum(1))
    np.testing.assert_allclose(found["similarity_median"], np.nanmedian(found["similarity"], axis=1))


def test_a_map_that_is_the_weight_is_forgotten_with_it():
    """One linear layer: the gradient is its row, so new weights have the similarity of independent ones."""
    side = 64
    whole = trace(seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(side**2, 3))), (1, side, side))
    x = random_images(2, 1, side, side)
    signed = replace(get_method("input-x-gradient"), rule=get_method("gradient").rule)
    maps = saliency(whole, x, signed, torch.tensor([[0], [1]]), **F64)[:, 0]
    np.testing.assert_allclose(maps.reshape(2, -1), whole.nodes["1"].op.weight[:2].abs())
    found = sanity_check(whole, x, "gradient", SanitySettings(**F64)).dataset
    assert np.abs(found["similarity"].sel(measure=["ssim", "spearman", "abs_spearman"])).max() < 5 / side


# ---------------------------------------------------------------- what a cascade can't change


@pytest.mark.parametrize("method", sorted(LOCAL | {"rectgrad", "deconvnet"}))
@pytest.mark.parametrize("toy", ["small vgg", "nested branches", "dense block"])
def test_both_maps_come_out_of_the_same_chain_below_the_cut(method, toy):
    """The randomised network's map is the untouched chain applied to its relevance at the cut, exactly."""
    whole, x = graph(toy), images(2)
    untouched = open_chain(whole, x, method)
    targets = untouched.logits.argmax(1, keepdim=True)
    for level in levels(whole, weighted(whole))[:-1]:
        changed = open_chain(randomised(whole, level.cascade), x, method)
        seen = {n: p["logits"] for n, p in changed.sweep({"logits": one_hot(changed.logits, targets)})}
        if level.cut == "input" or level.cut not in seen:
            continue
        torch.testing.assert_close(untouched.down(seen[level.cut], level.cut), seen["input"])


def test_shuffled_relevance_keeps_its_values_and_the_activations_factor():
    whole, x = NETWORK, IMAGES
    for method in ("gradient", "lrp-alpha1beta0"):
        chain = open_chain(whole, x, method)
        targets = chain.logits.argmax(1, keepdim=True)
        cut = "4"  # behind the second convolution's ReLU
        found = shuffled_maps(chain, targets, ["input", cut], seed=3)
        assert set(found) == {"input", cut}
        own = {n: p["logits"][:, 0] for n, p in chain.sweep({"logits": one_hot(chain.logits, targets)})}
        shuffled = found["input"].flatten(1).sort().values
        if method == "gradient":  # not zero where the image is: the values themselves change places
            torch.testing.assert_close(shuffled, own["input"].flatten(1).sort().values)
        assert not torch.allclose(found[cut], own["input"])
        again = shuffled_maps(chain, targets, [cut], seed=3)
        torch.testing.assert_close(again[cut], found[cut])


def test_the_level_is_high_where_the_chain_is_near_rank_one():
    """On the trained network z+ maps hardly change with the last layer, as the chain below says."""
    network = networks.load("cifar10_cnn")
    x = networks.bundled_images(network, 2).tensor
    settings = SanitySettings(layers=("fc6", "conv1"), modes=("cascading",), measures=("cosine",))
    for method, high in (("lrp-alpha1beta0", True), ("lrp-0", False)):
        found = sanity_check(network, x, method, settings).dataset.isel(method=0, measure=0, mode=0)
        last, whole = found["similarity_median"].values
        level, _ = found["rank_one_bound"].values
        assert (last > 0.99) == (level > 0.99) == high
        assert whole < 0.95 * last or not high
        assert (last < 0.7) == (level < 0.7) == (not high)


def test_methods_that_are_not_backpropagated_have_no_level():
    found = check("integrated-gradients", modes=("cascading",), measures=("cosine",), layers=("8",))
    assert np.isnan(found["rank_one_bound"]).all()
    assert np.isfinite(found["similarity"]).all()


# ---------------------------------------------------------------- successors


def test_complexity_is_the_entropy_of_the_histogram():
    maps = np.random.default_rng(0).standard_normal((3, 20, 20))
    for one, expected in zip(complexity(maps), maps, strict=True):
        counts = np.histogram(expected, bins=100)[0]
        share = counts[counts > 0] / counts.sum()
        assert one == pytest.approx(-(share * np.log(share)).sum())
        assert one == pytest.approx(entropy(counts))
    rise = complexity_rise(maps, 3 * maps)
    np.testing.assert_allclose(rise, 0, atol=1e-12)  # the scale of a map does not count
    flat = np.zeros((1, 20, 20))
    flat[0, 0, 0] = 1
    assert complexity_rise(flat, maps[:1])[0] > 10
    assert np.isnan(complexity_rise(np.zeros((1, 20, 20)), maps[:1])[0])
    assert np.isnan(complexity_rise(maps[:1], np.zeros((1, 20, 20)))[0])  # no map is no rise by -1


def test_efficient_mprt_compares_with_the_fully_random_network():
    found = check("gradient", layers=("8", "6"))  # no cascade goes down to the first layer
    targets = torch.tensor(found["target"].values)[:, None]
    method = get_method("gradient")
    maps = saliency(NETWORK, IMAGES, method, targets, **F64)[:, 0]
    other = saliency(randomised(NETWORK, weighted(NETWORK)), IMAGES, method, targets, **F64)[:, 0]
    np.testing.assert_allclose(found["efficient_mprt"], complexity_rise(maps, other))


def test_smooth_maps_are_means_over_noisy_images():
    method, targets = get_method("gradient"), torch.tensor([[0], [1], [2]])
    found = smooth_maps(NETWORK, IMAGES, method, targets, samples=2, noise=0.3, seed=5, **F64)
    total = 0
    for sample in range(2):
        noisy = []
        for n, x in enumerate(IMAGES):
            drawn = np.random.default_rng([5, n, sample]).standard_normal(SHAPE, dtype=np.float32)
            noisy.append(x + 0.3 * (x.max() - x.min()) * torch.from_numpy(drawn))
        total = total + attributions(NETWORK, torch.stack(noisy), method, targets, **F64)[:, 0]
    np.testing.assert_allclose(found, (total / 2).abs().amax(1))
    smooth = check("gradient", smooth=2, layers=("8",))
    assert smooth["smooth_similarity"].dims == ("layer", "measure", "image")


def test_the_random_logit_is_another_one_uniformly():
    targets = torch.arange(3000).view(-1, 1) % 5
    other = other_classes(targets, 5, seed=1)
    assert (other != targets).all()
    assert ((other >= 0) & (other < 5)).all()
    for target in range(5):
        counts = np.bincount(other[targets == target].numpy(), minlength=5)
        assert counts[target] == 0
        assert np.abs(np.delete(counts, target) - 150).max() < 6 * np.sqrt(150)
    found = check("gradient")
    method = get_method("gradient")
    both = [
        saliency(NETWORK, IMAGES, method, torch.tensor(found[n].values)[:, None], **F64)[:, 0]
        for n in ("target", "other_class")
    ]
    np.testing.assert_allclose(found["random_logit"].sel(measure="ssim"), similarity(*both, "ssim"))


# ---------------------------------------------------------------- classes by name, requests


def test_targets_are_predictions_numbers_or_names():
    network = networks.load("cifar10_cnn")
    x = networks.bundled_images(network, 2).tensor
    found = target_classes(network, x, ["predicted", "Dog", "3"])
    assert found[:, 1:].tolist() == [[5, 3], [5, 3]]
    torch.testing.assert_close(found[:, 0], network.graph.forward(x).argmax(1))
    for wrong in ("doge", "10", "-1"):
        with pytest.raises(InputError):
            class_index(network, wrong)


def test_bad_settings_are_refused():
    for wrong in ({"modes": ("sideways",)}, {"measures": ("l2",)}, {"smooth": -1}, {"noise": 0.0}):
        with pytest.raises(InputError):
            SanitySettings(**wrong)
    with pytest.raises(InputError, match="sum or absmax"):
        pictures(torch.zeros(1, 3, 4, 4), "mean")


COMMAND = ["sanity", "cifar10_cnn", "--limit", "1", "--layer", "fc6"]
TWO = ["--method", "gradient", "--method", "lrp-zplus"]


@pytest.mark.exhaustive
def test_a_killed_run_that_is_resumed_gives_the_result_of_an_uninterrupted_one(tmp_path):
    request = [*COMMAND, *TWO, "--out", str(tmp_path / "killed")]
    program = [sys.executable, "-m", "conetheory.cli", *request]
    first = tmp_path / "killed" / "parts" / "sanity-gradient.nc"
    running = subprocess.Popen(program, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    while not first.is_file() and running.poll() is None:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL  # it was in the middle
    assert not (tmp_path / "killed" / "sanity.nc").exists()
    made = first.stat().st_mtime_ns
    assert main([*request, "--resume"]) == 0
    assert first.stat().st_mtime_ns == made  # taken up, not run again
    assert main([*COMMAND, *TWO, "--out", str(tmp_path / "whole")]) == 0
    one, other = (xr.load_dataset(tmp_path / d / "sanity.nc", engine="h5netcdf") for d in ("killed", "whole"))
    assert [d.attrs.pop("created") for d in (one, other)]
    xr.testing.assert_identical(one, other)
    assert not list((tmp_path / "killed").rglob("*.partial"))


@pytest.mark.exhaustive
def test_pictures_of_one_name_have_figures_of_their_own(tmp_path):
    for name, grey in (("a.png", 40), ("a.bmp", 200)):
        Image.new("RGB", (32, 32), (grey, 90, 20)).save(tmp_path / name)
    request = ["explain", "cifar10_cnn", "--method", "gradient", "--images", str(tmp_path)]
    assert main([*request, "--out", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"maps-a.png", "maps-a~2.png"}


@pytest.mark.exhaustive
def test_explain_writes_arrays_and_figures(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    request = ["explain", "cifar10_cnn", "--limit", "1", *TWO, "--target", "predicted", "--target", "dog"]
    assert main([*request, "--out", "o"]) == 0
    data = xr.load_dataset("o/maps.nc", engine="h5netcdf")
    assert data.attrs["kind"] == "maps"
    assert data["map"].dims == ("method", "image", "target", "y", "x")
    assert data["class_name"].values.tolist() == [["cat", "dog"]]
    network = networks.load("cifar10_cnn")
    x = networks.bundled_images(network, 1).tensor
    found = explain(network, x, "lrp-zplus", 5)[0, 0].sum(0)
    one = data["map"].sel({"method": "lrp-alpha1beta0", "target": "dog"})[0]
    np.testing.assert_allclose(one, found, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(data["picture"][0], network.preprocess.undo(x[0]), atol=1e-6)
    assert (tmp_path / "o" / "maps-chelsea.png").stat().st_size > 5000
    capsys.readouterr()
    assert main(["explain", "cifar10_cnn", "--target", "unicorn"]) == 2
    assert "no class 'unicorn'" in capsys.readouterr().err


def test_a_network_of_one_output_has_no_other_logit():
    body = [nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(300, 1)]
    network = trace(seeded(lambda: nn.Sequential(*body)), SHAPE)
    data = sanity_check(network, IMAGES, "gradient", SanitySettings(**F64)).dataset
    assert np.isfinite(data["similarity_median"]).all()
    assert np.isnan(data["random_logit_median"]).all()
