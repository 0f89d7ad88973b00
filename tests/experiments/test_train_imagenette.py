"""Training above a trunk, on tiny networks and pictures: it learns, and a kill leaves no trace."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from conetheory import networks
from conetheory.networks.resnet_v2 import ResNetV2
from experiments import frozen_features, partly_frozen, resumable, train_imagenette
from experiments.partly_frozen import OF_STAGE4, STAGES, Phase, Recipe
from experiments.resumable import Settings


def tiny(classes: int) -> ResNetV2:
    options = {"depths": (1, 1, 1, 2), "widths": (4, 4, 8, 8), "stem": 8}
    return partly_frozen.resnet_v2(classes, lambda n: ResNetV2(n, **options))


class TinyVGG(nn.Module):
    """VGG's parts under VGG's names: its third and fourth pool are layers two and four here."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers = [nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(4), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()]
        self.features, self.avgpool = nn.Sequential(*layers), nn.AdaptiveAvgPool2d(2)
        dense = [nn.Linear(24, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, classes)]
        self.classifier = nn.Sequential(*dense)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def small_head(model):
    return partly_frozen.with_small_head(model, 2)


def dense_layers(model):
    return partly_frozen.with_dense_layers(model, 4)


LEARN = Settings(24, 12, 0.01, batch=8)
LAST = Phase(Settings(32, 12, 0.01, batch=8), dense_layers, below=1)
VGG_PHASES = (Phase(LEARN, small_head), LAST)
TOYS = {
    "resnet50_v2": Recipe(
        "resnet50_v2", tiny, STAGES, (Phase(LEARN, partly_frozen.below_stage4, OF_STAGE4),), 24
    ),
    "vgg16": Recipe("vgg16", TinyVGG, ("features.",), VGG_PHASES, 32),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Two flat colours with noise: 16 training and 8 validation pictures of each."""
    root, rng = tmp_path_factory.mktemp("tiny"), np.random.default_rng(0)
    for split, count in (("train", 16), ("val", 8)):
        for name, colour in (("dark", 60), ("light", 190)):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = colour + rng.integers(-30, 31, (40, 48, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / name / f"{i}.png")
    return root


def trunk_of(build, path: Path, prefixes: tuple[str, ...]) -> Path:
    torch.manual_seed(1)
    state = {k: v for k, v in build(2).state_dict().items() if k.startswith(prefixes) and v.ndim}
    save_file({k: v.half() if v.ndim > 1 else v for k, v in state.items()}, path)
    return path


@pytest.fixture
def toys(monkeypatch):
    for name, recipe in TOYS.items():
        monkeypatch.setitem(train_imagenette.RECIPES, name, recipe)


@pytest.mark.parametrize("name", TOYS)
def test_it_learns_and_what_it_writes_is_the_network(name, tree, tmp_path, toys):
    recipe = TOYS[name]
    trunk = trunk_of(recipe.build, tmp_path / "trunk.safetensors", recipe.trunk)
    made = train_imagenette.main(trunk, tree, name, tmp_path / "cache", tmp_path / "results")
    assert made == json.loads((tmp_path / "results" / f"train-{name}.json").read_text())
    assert made["validation_accuracy"] == 1
    assert made["checked_images"] == made["checked_same"] == made["checked_right"] == 16
    path = tmp_path / "cache" / f"{name}.safetensors"
    state, before = load_file(path), load_file(trunk)
    frozen = {k for k in before if k.startswith((*STAGES, "features.0."))}
    assert frozen
    assert all(torch.equal(state[k], before[k]) for k in frozen)
    assert not any(k.startswith("head") for k in state)
    network = networks.load(recipe.build(2), path, (3, recipe.pixels, recipe.pixels))
    images = networks.load_images(tree / "val", network)
    hits = network.graph.forward(images.tensor).argmax(1) == torch.tensor(images.labels)
    assert float(hits.float().mean()) == 1


class Killed(BaseException):
    """As SIGKILL: nothing catches it, nothing is tidied up."""


def killed_every(monkeypatch, writes: int) -> None:
    """The process dies at each such write, when the file is there under its temporary name alone."""
    replace, count = Path.replace, iter(range(1, 10**6))

    def dying(self, target):
        if next(count) % writes == 0:
            raise Killed
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", dying)


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_weights(
    name, tree, tmp_path, toys, monkeypatch
):
    monkeypatch.setattr(frozen_features, "BLOCK", 8)
    monkeypatch.setattr(resumable, "EVERY", 0.0)  # a checkpoint after each step
    recipe, options = TOYS[name], {"out": tmp_path, "epochs": 3}
    trunk = trunk_of(recipe.build, tmp_path / "trunk.safetensors", recipe.trunk)
    whole = train_imagenette.main(trunk, tree, name, tmp_path / "whole", **options)
    killed_every(monkeypatch, 7)  # more than a run writes that has nothing left to do
    kills = 0
    while True:
        try:
            parts = train_imagenette.main(trunk, tree, name, tmp_path / "parts", **options)
            break
        except Killed:
            kills += 1
    assert kills > 5
    assert parts["file_sha256"] == whole["file_sha256"]
    assert len(list((tmp_path / "parts").rglob("*.npy"))) == len(list((tmp_path / "whole").rglob("*.npy")))


def test_a_phase_more_takes_up_the_phases_before(tree, tmp_path, toys, monkeypatch):
    """Nothing before it is trained again, and its pictures are seen by the layers that were trained."""
    recipe = TOYS["vgg16"]
    trunk = trunk_of(recipe.build, tmp_path / "trunk.safetensors", recipe.trunk)
    options = {"cache": tmp_path, "out": tmp_path, "mirrored": False}
    monkeypatch.setitem(train_imagenette.RECIPES, "vgg16", replace(recipe, phases=recipe.phases[:1]))
    train_imagenette.main(trunk, tree, "vgg16", **options)
    short = load_file(tmp_path / "vgg16.safetensors")
    before = {p: p.read_bytes() for p in tmp_path.rglob("checkpoint.pt")}
    monkeypatch.setitem(train_imagenette.RECIPES, "vgg16", recipe)
    train_imagenette.main(trunk, tree, "vgg16", **options)
    whole = load_file(tmp_path / "vgg16.safetensors")
    assert all(p.read_bytes() == content for p, content in before.items())
    assert len(list(tmp_path.rglob("checkpoint.pt"))) == len(before) + 1
    changed = {name for name in whole if not torch.equal(whole[name], short[name])}
    assert {name.rpartition(".")[0] for name in changed} == {"features.4", "classifier.0", "classifier.3"}
    features = [np.load(p) for p in sorted(tmp_path.rglob("run-*/features/val-32/*.npy"))]
    assert [f.shape for f in features] == [(16, 6, 8, 8)]


def test_without_mirror_images_half_the_features_are_made(tree, tmp_path, toys):
    trunk = trunk_of(tiny, tmp_path / "trunk.safetensors", STAGES)
    made = train_imagenette.main(trunk, tree, cache=tmp_path, out=tmp_path, mirrored=False, epochs=1)
    assert made["mirrored"] is False
    assert [phase["epochs"] for phase in made["phases"]] == [1]
    assert {p.parent.name for p in tmp_path.rglob("*.npy")} == {"train-24", "val-24"}


def test_a_longer_run_has_the_features_of_a_shorter_one(tree, tmp_path, toys, monkeypatch):
    monkeypatch.setattr(frozen_features, "BLOCK", 8)
    trunk = trunk_of(tiny, tmp_path / "trunk.safetensors", STAGES)
    options = {"cache": tmp_path, "out": tmp_path, "mirrored": False, "epochs": 1}
    short = train_imagenette.main(trunk, tree, **options, train_limit=12)
    blocks = {p: p.read_bytes() for p in tmp_path.rglob("train-24/*.npy")}
    assert len(blocks) == 2
    whole = train_imagenette.main(trunk, tree, **options)
    assert (short["train_images"], whole["train_images"]) == (12, 32)
    assert whole["file_sha256"] != short["file_sha256"]
    assert all(p.read_bytes() == content for p, content in blocks.items())
    assert len(list(tmp_path.rglob("train-24/*.npy"))) == 4


def test_the_mirror_image_is_the_pictures(tree, tmp_path):
    pictures = frozen_features.Pictures.of(tree / "train", limit=4)
    preprocess = networks.preprocess.Preprocess().resized(24, 24)
    plain, mirrored = (
        frozen_features.features(lambda x: x, pictures, preprocess, tmp_path / str(m), mirrored=m)
        for m in (False, True)
    )
    assert len(plain) == len(pictures.labels) == 4
    assert torch.equal(plain.rows([1, 3]).flip(-1), mirrored.rows([1, 3]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer2.0.bn1.bias"), r"is no trunk of this network: tensor 'layer2.0.bn1.bias' is"),
        (
            lambda s: s.update({"bn1.weight": torch.ones(3)}),
            r": tensor 'bn1.weight' is \(3,\) in the file and \(8,\) in the network",
        ),
    ],
)
def test_a_trunk_that_does_not_fit_is_told_in_a_line(change, message, tree, tmp_path, toys):
    path = trunk_of(tiny, tmp_path / "trunk.safetensors", STAGES)
    state = load_file(path)
    change(state)
    save_file(state, path)
    with pytest.raises(SystemExit, match=message):
        train_imagenette.main(path, tree, cache=tmp_path, out=tmp_path)


def test_only_networks_with_a_recipe_are_trained(tree, tmp_path):
    with pytest.raises(
        SystemExit, match="recipes are resnet50_v2, vgg16, vgg16_quick; there is none named alexnet"
    ):
        train_imagenette.main(tmp_path / "none", tree, "alexnet", tmp_path, tmp_path)


def test_folders_without_pictures_are_told(tmp_path, toys):
    trunk = trunk_of(tiny, tmp_path / "trunk.safetensors", STAGES)
    with pytest.raises(SystemExit, match="train holds no pictures in folders by class"):
        train_imagenette.main(trunk, tmp_path, cache=tmp_path, out=tmp_path)


def test_what_is_held_keeps_weights_and_statistics(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    model.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten()])
    before = {k: v.clone() for k, v in model.state_dict().items()}
    training = resumable.Training(model, [model[0], model[1]], Settings(8, 1, 0.1), 0, tmp_path)
    training._one_step((torch.randn(6, 3, 5, 5), torch.arange(6) % 4), 10)
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"2.weight", "3.weight", "3.bias", "3.running_mean", "3.running_var"} | {
        *("3.num_batches_tracked",)
    } | ({"2.bias"} & changed)  # in front of a batch norm a bias has no gradient but rounding


def test_the_recipes_are_of_the_real_networks():
    with torch.device("meta"):
        for name, recipe in partly_frozen.RECIPES.items():
            model = recipe.build(10)
            names = set(model.state_dict())
            for phase in recipe.phases:
                frozen, upper = phase.parts(model)
                assert all(upper.get_submodule(held) for held in phase.held)
                parts = [k for k in upper.state_dict() if not k.startswith("head.")]
                assert set(parts) <= names
                assert len(frozen.state_dict()) + len(parts) == len(names) or phase is not recipe.phases[-1]
            out = upper(frozen(torch.empty(1, 3, 224, 224)))
            assert out.shape == (1, 10), name


def test_one_cycle_rises_falls_and_ends_at_zero():
    values = [resumable.rate(p) for p in np.linspace(0, 1, 101)]
    assert max(values) == values[20] == pytest.approx(1)
    assert values[0] == 0
    assert values[-1] == pytest.approx(0, abs=1e-12)
    assert np.all(np.diff(values[21:]) < 0)


def test_minutes_of_interrupted_runs_count(tmp_path):
    first = resumable.Ledger(tmp_path / "minutes.json")
    first.book("features")
    spent = first.spent["features"][0]
    again = resumable.Ledger(tmp_path / "minutes.json")
    again.book("features")
    assert again.spent["features"][0] > spent > 0
    assert set(resumable.minutes([again], 1)) == {"features"}
    both = resumable.minutes([again, again], 0)["features"]
    assert both == round(2 * again.spent["features"][0], 1)


def test_progress_says_the_time_left(capsys, monkeypatch):
    clock = iter([0.0, 60.0, 61.0, 120.0])
    monkeypatch.setattr(resumable.time, "monotonic", lambda: next(clock))
    told = resumable.TimeLeft()
    for done in (100, 200, 210, 400):
        told("features", done, 400)
    assert capsys.readouterr().out.splitlines() == [
        "features: 200 of 400, 2.0 min left",
        "features: 400 of 400, 0.0 min left",
    ]
