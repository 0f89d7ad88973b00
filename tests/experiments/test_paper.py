"""The experiments on the paper's networks, in tiny settings: small networks, few pictures of few pixels."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import nn
from torchvision import models

from conetheory import networks
from conetheory.networks import Images, load, load_images
from conetheory.networks.ops import Add
from conetheory.results.comparison import Comparison
from experiments import paper_csc, paper_sanity, train_scratch
from experiments.train_scratch import RECIPES, SIZES, Training, augmented, build, load_split, rate, side
from tests.networks.toys import random_images, seeded

Z_PLUS, SIGNED = "lrp-alpha1beta0", "lrp-alpha2beta1"


class Residual(nn.Module):
    """Two convolutions with a shortcut around the second, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.head = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x).relu()
        x = (x + self.second(x)).relu()
        return self.head(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


@pytest.fixture(scope="module")
def network():
    return load(seeded(Residual), input_shape=(3, 8, 8))


@pytest.fixture
def case(network, tmp_path):
    tensor = random_images(3, 3, 8, 8, seed=5)
    options = {"few": 2, "many": 12, "positions": 4, "batch": 2, "bootstrap": 20, "vectors": 4}
    protocol = paper_csc.Protocol(**options)
    return paper_csc.Case("small", network, Images(tensor, ("a", "b", "c")), protocol, tmp_path)


def unlimited() -> float:
    return 1.0


# ---------------------------------------------------------------- CSC


@pytest.mark.slow
def test_a_case_is_measured_predicted_certified_and_drawn(case, tmp_path):
    methods = [Z_PLUS, SIGNED, "guided-backprop", "pattern-net"]
    record = paper_csc.write_case(case, methods, unlimited)
    assert record == json.loads((tmp_path / "small.json").read_text())
    rows = record["methods"]
    assert "needs patterns" in rows["pattern-net"]["left out"]
    assert rows[Z_PLUS]["violations"] == 0
    assert rows[Z_PLUS]["bounds_checked"] > 0
    assert 0 <= rows[SIGNED]["inside_band"] <= 1
    assert rows["guided-backprop"]["inside_band"] is None
    assert rows["guided-backprop"]["median_abs_error_decades"].keys() <= {"mean_field"}
    found = Comparison.load(tmp_path / "small.nc")
    assert list(found.dataset["method"].values) == methods[:3]
    assert found.dataset.attrs["images"] == 3
    for name in ("small.png", "small-main.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.size[0] > 100


def test_errors_are_those_against_the_same_images(case):
    measured, theories = case.measured(Z_PLUS), list(case.theorised(Z_PLUS))
    data = paper_csc.over(measured, theories).dataset.isel(method=0, start=0)
    error = np.log10(data["predicted_local_spectrum"] / data["same_images_deficit_median"])
    np.testing.assert_allclose(data["error_decades_local_spectrum"], error, rtol=1e-12)
    assert np.isfinite(error).any()
    assert (
        data["measured_deficit_median"] == measured.dataset.isel(method=0, start=0)["measured_deficit_median"]
    ).all()
    assert theories[0].dataset.attrs["images"] == 2
    assert theories[0].dataset.attrs["vectors"] == 12


def test_pieces_are_taken_up_and_made_again_with_other_settings(case, monkeypatch):
    first = case.measured(Z_PLUS).dataset
    with monkeypatch.context() as patch:
        patch.setattr(paper_csc, "run", lambda *args: pytest.fail("it was measured already"))
        again = case.measured(Z_PLUS).dataset
    assert again.equals(first)
    assert again.attrs["seconds"] == first.attrs["seconds"]
    other = paper_csc.Protocol(vectors=6)
    again = paper_csc.Case(case.name, case.network, case.images, other, case.out).measured(Z_PLUS)
    assert again.dataset.attrs["vectors"] == 6


def test_nothing_begins_when_the_time_is_up(case, tmp_path):
    record = paper_csc.write_case(case, [Z_PLUS], lambda: 0.0)
    assert record["methods"] == {Z_PLUS: {"left out": "no time was left; run it again"}}
    assert not list(tmp_path.glob("*.nc"))


def test_the_clip_is_applied_where_there_are_sums(case, monkeypatch):
    """Four cases, and the clipped ones run the methods of the LRP family alone, which change by it."""
    monkeypatch.setattr(paper_csc.networks, "load", lambda *given: case.network)
    assert any(isinstance(node.op, Add) for node in case.network.graph.nodes.values())
    found = list(paper_csc.cases(case.network, case.images, case.protocol, case.out))
    name = case.network.name
    assert [c.name.removeprefix(name) for c in found] == [
        *("-trained", "-trained-clipped"),
        *("-random", "-random-clipped"),
    ]
    assert paper_csc.concerned([Z_PLUS, SIGNED, "gradient", "lrp-0"], found[1].repro) == [Z_PLUS, SIGNED]
    plain, clipped = (c.measured(SIGNED).dataset["measured_deficit_median"] for c in found[:2])
    assert float(abs(plain - clipped).max()) > 1e-3
    assert list(found[1].theorised(SIGNED)) == []


@pytest.mark.slow
def test_other_methods_see_fewer_images_and_what_the_plan_leaves_out_is_named(case, monkeypatch):
    protocol = replace(case.protocol, others=1, few=1)
    case = replace(case, protocol=protocol)
    images = {m: case.measured(m).dataset.attrs["images"] for m in (Z_PLUS, "gradient", "lrp-0")}
    assert images == {Z_PLUS: 3, "gradient": 3, "lrp-0": 1}
    _, row = paper_csc.one_method(case, Z_PLUS)
    assert row["left_out"] == {"logits": []}
    real = paper_csc.Settings
    monkeypatch.setattr(paper_csc, "Settings", lambda **given: real(**{"budget": 13.0} | given))
    _, row = paper_csc.one_method(replace(case, out=case.out / "poor"), Z_PLUS)
    (left,) = row["left_out"].values()
    assert left
    assert all("passes" in step for step in left)


def test_each_network_has_its_own_weights(tmp_path):
    assert paper_csc.with_weights(["a", "b"], None) == [("a", None), ("b", None)]
    assert paper_csc.with_weights(["a", "b"], ["x", "y"]) == [("a", "x"), ("b", "y")]
    with pytest.raises(SystemExit, match=r"2 networks \(a, b\) have 1 --weights"):
        paper_csc.with_weights(["a", "b"], ["x"])
    with pytest.raises(SystemExit, match=r"comes without weights: .*train_imagenette --network resnet50_v2"):
        paper_csc.main(["resnet50_v2"], out=tmp_path)


def test_the_methods_of_the_talk_are_methods():
    assert set(paper_csc.PAPER) <= set(paper_csc.backpropagated())
    assert set(paper_csc.MORE) <= set(paper_csc.PAPER)


@pytest.mark.exhaustive
def test_the_command_runs_all_starts_of_the_bundled_network(tmp_path):
    options = {"limit": 2, "few": 1, "many": 4, "positions": 2, "rows": 1, "method": [SIGNED]}
    found = paper_csc.main(
        ["cifar10_cnn"], out=tmp_path, case=["cifar10_cnn-random"], device="cpu", **options
    )
    (row,) = found["cifar10_cnn-random"]["methods"].values()
    starts = networks.load("cifar10_cnn").starts
    assert tuple(row["median_deficit_at_the_input"]) == tuple(row["seconds_theory"]) == starts
    assert row["median_abs_error_decades"]["local_spectrum"] < 1


# ---------------------------------------------------------------- sanity checks and classes


@pytest.mark.slow
def test_randomisation_classes_and_maps_of_two_classes(network, tmp_path):
    images = Images(random_images(2, 3, 8, 8, seed=5), ("a.jpg", "b.jpg"))
    options = {"names": [Z_PLUS, "gradient"], "layers": ("first", "head"), "top": 3}
    record = paper_sanity.study(network, images, images, [("0", "3")], tmp_path, **options)
    assert record == json.loads((tmp_path / "sanity.json").read_text())
    assert [row["method"] for row in record["sanity"]] == [row["method"] for row in record["classes"]]
    assert set(record["seconds"]) == {"sanity", "classes", "0 and 3"}
    for name in ("sanity.nc", "classes.nc", "0-3/maps.nc", "0-3/maps-0.png", "0-3/maps-1.png"):
        assert (tmp_path / name).is_file()


# ---------------------------------------------------------------- training


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Two flat colours with noise: 8 training and 4 validation pictures of 40 x 48 pixels each."""
    root, rng = tmp_path_factory.mktemp("tiny"), np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 4)):
        for name, colour in (("dark", 60), ("light", 190)):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = colour + rng.integers(-30, 31, (40, 48, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / name / f"{i}.png")
    return root


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(train_scratch, "build", lambda name, classes: seeded(Small).float().train())


def test_training_learns_and_scores_what_it_saves(tree, tmp_path, small):
    out = tmp_path / "new" / "net.safetensors"
    made = train_scratch.main("vgg16", tree, out, epochs=40, batch=8, lr=0.02, size=32)
    assert made == json.loads(out.with_suffix(".json").read_text())
    assert (made["train_images"], made["validation_images"], made["epochs"]) == (16, 8, 40)
    with safe_open(out, "pt") as file:
        assert file.metadata()["validation_accuracy"] == str(made["validation_accuracy"])
        assert file.get_tensor("head.weight").dtype == torch.float16
    network = load(Small(), out, (3, 32, 32))
    images = load_images(tree / "val", network)
    hits = network.graph.forward(images.tensor).argmax(1) == torch.tensor(images.labels)
    assert float(hits.float().mean()) == made["validation_accuracy"] == 1


def test_training_ends_with_its_minutes(tree, tmp_path, small, capsys):
    out = tmp_path / "net.safetensors"
    made = train_scratch.main("resnet50", tree, out, minutes=0.02, epochs=10**6, batch=8, size=32)
    assert 1 <= made["epochs"] < 10**6
    assert "px, loss" in capsys.readouterr().out


def test_a_run_that_was_cut_off_goes_on(tree, tmp_path):
    """Twice 2 epochs with the state in between are 4 epochs at one go."""
    pictures, labels, _ = load_split(tree / "train", 36, 36, None)
    recipe = train_scratch.Recipe("SGD", 0.05, 5e-4, batch=8, epochs=4)
    made = [Training(seeded(Small).float().train(), recipe, size=32, seconds=1e9, seed=3) for _ in range(3)]
    state = tmp_path / "net.state"
    made[0].run(pictures, labels, 100, tmp_path / "other.state")
    while made[1].epoch < 2:
        made[1]._one_epoch(pictures, labels, 32, 8)
        made[1].epoch += 1
    made[1].save(state)
    made[2].load(state)
    made[2].run(pictures, labels, 100, state)
    assert made[0].step == made[2].step == 8
    for whole, parts in zip(made[0].model.parameters(), made[2].model.parameters(), strict=True):
        torch.testing.assert_close(whole, parts)


def test_only_networks_with_a_recipe_are_trained(tree, tmp_path):
    with pytest.raises(SystemExit, match="there is a recipe for resnet50 and vgg16, not for alexnet"):
        train_scratch.main("alexnet", tree, tmp_path / "net.safetensors")


@pytest.mark.parametrize("name", RECIPES)
def test_the_networks_are_torchvisions(name):
    with torch.device("meta"):
        model = build(name, 10)
        usual = getattr(models, name)(num_classes=10)
    names = set(model.state_dict())
    assert names == set(usual.state_dict())
    assert any("running_mean" in n for n in names) == (name == "resnet50")
    assert sum(p.numel() for p in model.parameters()) == {"resnet50": 23_528_522, "vgg16": 134_301_514}[name]


def test_he_keeps_the_scale_of_a_deep_network():
    """torch's own initialisation would leave 6^-12 of the mean square after 12 layers."""
    layers = [m for _ in range(12) for m in (nn.Linear(512, 512), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(512, 2))
    torch.manual_seed(0)
    train_scratch.he(model)
    x = torch.randn(16, 512)
    with torch.inference_mode():
        y = model[:-1](x)
        # its logarithm scatters by sqrt(12 * 5 / 512) = 0.34
        assert 0.25 < float(y.square().mean() / x.square().mean()) < 4
        assert float(model(x).abs().max()) < 2


def test_the_schedule_rises_falls_and_ends_at_zero():
    values = [rate(p) for p in np.linspace(0, 1, 101)]
    assert max(values) == pytest.approx(1, abs=1e-3)
    assert values[0] == 0
    assert values[-1] == pytest.approx(0, abs=1e-12)
    assert np.all(np.diff(values[6:]) < 0)
    assert [side(p, 224) for p in (0, 0.5, 0.51, 0.8, 0.81, 1)] == [128, 128, 192, 192, 224, 224]
    assert SIZES[-1][0] == 1


def test_augmentation_crops_and_flips():
    columns = torch.arange(64, dtype=torch.uint8).expand(100, 3, 64, 64)
    out = augmented(columns, 32, torch.Generator().manual_seed(0))
    assert out.shape == (100, 3, 32, 32)
    flipped = out[:, 0, 16, 20] < out[:, 0, 16, 10]
    assert 30 < int(flipped.sum()) < 70
    span = (out[:, 0, 16, -1] - out[:, 0, 16, 0]).abs()
    assert 64 * 0.4 * 31 / 32 < float(span.min()) < float(span.max()) <= 63
    assert float(out.min()) >= 0
    assert float(out.max()) <= 63
