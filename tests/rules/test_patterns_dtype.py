"""Patterns are float64, whatever dtype the images that they are fitted to have."""

from __future__ import annotations

import torch

from conetheory.networks import load
from conetheory.rules.fitted_patterns import Patterns, fit_patterns


def test_patterns_are_not_rounded_to_the_images_dtype(tmp_path):
    """`w^T a = 1` holds to the rounding of float64, and a file keeps it."""
    network = load("cifar10_cnn")
    found = fit_patterns(network, torch.rand(4, 3, 32, 32))
    for patterns in (found, Patterns.load(found.save(tmp_path / "patterns.safetensors"))):
        for name, A in patterns.patterns.items():
            W = patterns.weights[name]
            assert (A.dtype, W.dtype) == (torch.float64, torch.float32)
            along, live = (W.double() * A).flatten(1).sum(1), A.flatten(1).any(1)
            torch.testing.assert_close(along[live], torch.ones_like(along[live]), rtol=1e-9, atol=0)
