"""The training script on a tiny ImageFolder tree: it learns, saves what it scored, and the file loads."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from conetheory.networks import load, load_images
from conetheory.networks.cifar10 import CLASSES
from experiments import train_cifar10


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Ten flat colours with noise, one a class: 6 training and 2 test pictures each."""
    root = tmp_path_factory.mktemp("cifar")
    rng = np.random.default_rng(0)
    colours = rng.integers(30, 226, (10, 3))
    for split, count in (("train", 6), ("test", 2)):
        for name, colour in zip(CLASSES, colours, strict=True):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                noise = rng.integers(-20, 21, (32, 32, 3))
                Image.fromarray((colour + noise).astype(np.uint8)).save(root / split / name / f"{i}.png")
    return root


SMALL = {"epochs": 1, "batch": 16, "limit": 20, "bfloat16": False}


@pytest.fixture(scope="module")
def trained(tree, tmp_path_factory):
    """The weights after an epoch, what was returned and what was printed."""
    out = tmp_path_factory.mktemp("trained") / "new" / "net.safetensors"
    with redirect_stdout(StringIO()) as printed:
        made = train_cifar10.main(tree, out, **SMALL, seed=3)
    return out, made, printed.getvalue()


@pytest.mark.exhaustive
def test_one_epoch_in_bfloat16(tree, tmp_path):
    made = train_cifar10.main(tree, tmp_path / "net.safetensors", **SMALL | {"bfloat16": True})
    assert (made["train_images"], made["test_images"]) == (20, 20)


def test_one_epoch(trained):
    out, made, printed = trained
    assert made == json.loads(out.with_suffix(".json").read_text())
    assert (made["train_images"], made["test_images"]) == (20, 20)
    assert "epoch 1/1: loss " in printed
    with safe_open(out, "pt") as file:
        assert file.metadata()["test_accuracy"] == str(made["test_accuracy"])
        assert file.get_tensor("fc6.weight").dtype == torch.float16


@pytest.mark.exhaustive
def test_it_learns_and_the_accuracy_is_that_of_the_saved_file(tree, tmp_path):
    out = tmp_path / "net.safetensors"
    made = train_cifar10.main(tree, out, epochs=12, batch=20, bfloat16=False)
    assert (made["train_images"], made["test_images"]) == (60, 20)
    assert made["test_accuracy"] >= 0.5
    network = load("cifar10", out)
    images = load_images(tree / "test", network)
    hits = network.graph.forward(images.tensor).argmax(1) == torch.tensor(images.labels)
    assert float(hits.float().mean()) == pytest.approx(made["test_accuracy"])


@pytest.mark.slow
def test_training_is_reproducible(tree, tmp_path, trained):
    again, other = (tmp_path / f"{i}.safetensors" for i in range(2))
    for out, seed in ((again, 3), (other, 4)):
        train_cifar10.main(tree, out, **SMALL, seed=seed)
    weights = [load("cifar10", out).graph.nodes["conv1"].op.weight for out in (trained[0], again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_tree_of_other_classes_is_refused(tmp_path):
    (tmp_path / "train" / "zebra").mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(tmp_path / "train" / "zebra" / "a.png")
    with pytest.raises(SystemExit, match="holds the classes \\['zebra'\\], not "):
        train_cifar10.main(tmp_path, tmp_path / "net.safetensors", epochs=1)


def test_augmentation_shifts_and_flips():
    picture = torch.arange(32.0).expand(1, 3, 32, 32).contiguous()  # each pixel holds its column
    batch = train_cifar10.augment(picture.expand(200, -1, -1, -1), torch.Generator().manual_seed(0))
    assert batch.shape == (200, 3, 32, 32)
    flipped = batch[:, 0, 16, 20] < batch[:, 0, 16, 10]
    assert 60 < int(flipped.sum()) < 140
    middle = torch.where(flipped, 31 - batch[:, 0, 16, 16], batch[:, 0, 16, 16]) - 16
    assert set(middle.int().tolist()) == set(range(-3, 4))
