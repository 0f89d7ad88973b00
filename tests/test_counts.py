"""Seeds and counts that are none are one clear line, wherever they are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import conetheory as ct
from conetheory.certify.blocks import certify_block
from conetheory.chain.supply import Supply
from conetheory.counts import SEEDS, checked_seed, checked_whole
from conetheory.errors import InputError
from conetheory.measure import CscMeter
from conetheory.networks.images import load_images
from conetheory.networks.randomise import randomised
from conetheory.predict.registry import theories
from conetheory.rules.registry import get_method
from conetheory.runs.settings import Settings
from conetheory.saliency.classes import ClassSettings, class_spectrum
from conetheory.saliency.pictures import predicted_classes
from conetheory.saliency.similarity import median_band
from conetheory.sanity import SanitySettings
from conetheory.sanity.structure import shuffled_maps
from conetheory.sanity.successors import other_classes, smooth_maps
from conetheory.simulate import simulate
from tests.toys import chain

NO_SEEDS = (-1, None, 2.5, True, "1", 2**70, np.float64(1), float("nan"))
NO_COUNTS = (-1, 2.5, True, "3", 2**70, np.float32(3), float("inf"))


def toy() -> Any:
    return chain("small vgg", count=1)


def target() -> torch.Tensor:
    return torch.zeros((1, 1), dtype=torch.int64)


SEEDED = {
    "CscMeter": lambda s: CscMeter(["logits"], seed=s),
    "ClassSettings": lambda s: ClassSettings(seed=s),
    "class_spectrum": lambda s: class_spectrum(toy(), seed=s),
    "SanitySettings": lambda s: SanitySettings(seed=s),
    "shuffled_maps": lambda s: shuffled_maps(toy(), target(), ["input"], seed=s),
    "smooth_maps": lambda s: smooth_maps(
        toy().graph, toy().images, get_method("gradient"), target(), samples=1, seed=s
    ),
    "other_classes": lambda s: other_classes(target(), 3, s),
    "median_band": lambda s: median_band(np.ones((1, 3)), seed=s),
    "randomised": lambda s: randomised(toy().graph, [], seed=s),
    "simulate": lambda s: simulate(["positive"], widths=(4, 4), starts=2, repeats=1, seed=s),
    "predict_csc": lambda s: ct.predict_csc(toy(), seed=s),
    **{f"theory {n}": lambda s, t=t: t("logits", seed=s) for n, t in theories().items()},
    "Supply": lambda s: Supply(toy(), "logits", seed=s),
    "certify_csc": lambda s: ct.certify_csc(toy(), seed=s),
    "certify_block": lambda s: certify_block(toy().double(), "logits", "input", seed=s),
    "Settings": lambda s: Settings(seed=s),
    "smoothgrad": lambda s: get_method("smoothgrad", seed=s),
    "iba": lambda s: get_method("iba", seed=s),
}


@pytest.mark.parametrize("where", SEEDED)
@pytest.mark.parametrize("seed", NO_SEEDS)
def test_no_seeds(where, seed):
    with pytest.raises(InputError, match="seed") as caught:
        SEEDED[where](seed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", [0, np.int64(3), np.uint8(4), SEEDS])
def test_seeds(seed):
    assert checked_seed(seed) == int(seed)
    assert type(checked_seed(seed)) is int


COUNTED = {
    "CscMeter vectors": lambda n: CscMeter(["logits"], vectors=n),
    "CscMeter bootstrap": lambda n: CscMeter(["logits"], bootstrap=n),
    **{
        f"Settings {name}": lambda n, name=name: Settings(**{name: n})
        for name in ("vectors", "bootstrap", "predict", "certify", "positions", "batch")
    },
    **{
        f"ClassSettings {name}": lambda n, name=name: ClassSettings(**{name: n})
        for name in ("top", "sampled", "whole", "ranks", "probes")
    },
    "class_spectrum probes": lambda n: class_spectrum(toy(), probes=n),
    "class_spectrum steps": lambda n: class_spectrum(toy(), steps=n),
    "SanitySettings smooth": lambda n: SanitySettings(smooth=n),
    "smooth_maps": lambda n: smooth_maps(
        toy().graph, toy().images, get_method("gradient"), target(), samples=n
    ),
    "median_band": lambda n: median_band(np.ones((1, 3)), resamples=n),
    "predicted_classes": lambda n: predicted_classes(toy().graph, toy().images, n),
    "simulate starts": lambda n: simulate(["positive"], starts=n),
    "simulate repeats": lambda n: simulate(["positive"], repeats=n),
    "simulate widths": lambda n: simulate(["positive"], widths=(4, n)),
    **{f"{n} vectors": lambda k, t=t: t("logits", vectors=k) for n, t in theories().items()},
    **{f"{n} positions": lambda k, t=t: t("logits", positions=k) for n, t in theories().items()},
    "Supply positions": lambda n: Supply(toy(), "logits", positions=n),
    "certify_csc positions": lambda n: ct.certify_csc(toy(), positions=n),
    "certify_csc block_positions": lambda n: ct.certify_csc(toy(), block_positions=n),
    "certify_csc vectors": lambda n: ct.certify_csc(toy(), vectors=n),
    "certify_block": lambda n: certify_block(toy().double(), "logits", "input", positions=n),
    "load_images": lambda n: load_images(["a.png"], toy().network, n),
    "audit": lambda n: ct.audit(ct.networks.load("cifar10_cnn"), torch.rand(1, 3, 32, 32), limit=n),
}


@pytest.mark.parametrize("where", COUNTED)
@pytest.mark.parametrize("count", NO_COUNTS)
def test_no_counts(where, count):
    with pytest.raises(InputError) as caught:
        COUNTED[where](count)
    assert "\n" not in str(caught.value)


def test_counts_of_numpy_are_counts():
    assert checked_whole(np.int32(3), "vectors", 2) == 3
    assert type(Settings(vectors=np.int64(4)).vectors) is int
    with pytest.raises(InputError, match=r"^vectors must be at least 2, not 1$"):
        checked_whole(1, "vectors", 2)
    with pytest.raises(InputError, match=r"^vectors must be at most 5, not 6$"):
        checked_whole(6, "vectors", 2, 5)
    with pytest.raises(InputError, match=r"^vectors must be a whole number, not True$"):
        checked_whole(True, "vectors")


def test_pairs_of_classes_are_classes():
    found = toy()
    for pair in ((0, 99), (-1, 0)):
        with pytest.raises(InputError, match="targets are classes 0 to"):
            ct.saliency.classes.class_sensitivity(
                found.network, found.images, "gradient", ClassSettings(pairs=(pair,))
            )
