"""AbsLRP, SGLRP and FullGrad: by their formulas, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from conetheory.chain.explained import open_chain
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.networks.ops import Linear
from conetheory.rules.explainers.fullgrad import full_gradients
from conetheory.rules.registry import get_method
from tests.networks.toys import random_images, seeded
from tests.rules.dense import down
from tests.toys import chain, graph, images


def test_abslrp_is_zplus_times_the_positive_pool_over_the_output():
    W, b, x = random_images(5, 7), random_images(5, seed=2), random_images(1, 7, seed=3)
    op = Linear(W, b)
    y = op.forward(x)
    found = down(get_method("abslrp", stabiliser=0.0).layerwise.linear(op, [x], y), (5,))
    contributions = (W * x).T  # (inputs, outputs)
    torch.testing.assert_close(found, contributions.clamp(min=0) / y.abs())
    zplus = down(get_method("lrp-zplus").layerwise.linear(op, [x], y), (5,))
    torch.testing.assert_close(found, zplus * contributions.clamp(min=0).sum(0) / y.abs())


def test_one_layer_of_abslrp_has_the_angles_of_zplus():
    ours, theirs = (
        chain("linear alone, signed input", name).as_matrix("logits") for name in ("abslrp", "lrp-zplus")
    )
    unit = [m / np.linalg.norm(m, axis=-2, keepdims=True) for m in (ours, theirs)]
    np.testing.assert_allclose(*unit, rtol=1e-6, atol=1e-9)


def test_sglrp_starts_from_the_gradient_of_a_probability():
    """`p_t (1 - p_t)` at the class and `-p_t p_n` at the others; at hidden starts relevance is itself."""
    found, base = chain("small vgg", "sglrp"), chain("small vgg", "deep-taylor")
    p = found.logits.softmax(1)
    hot = torch.eye(p.shape[1], dtype=p.dtype).expand(len(p), -1, -1)
    start = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    torch.testing.assert_close(found.down(hot, "logits"), base.down(start, "logits"))
    hidden = found.graph.cuts[len(found.graph.cuts) // 2]
    r = random_images(len(p), 2, *found.shape(hidden))
    torch.testing.assert_close(found.down(r, hidden), base.down(r, hidden))
    assert float(found.down(torch.ones_like(hot[:, :1]), "logits").abs().max()) < 1e-12
    with pytest.raises(InputError, match="is not linear in the relevance"):
        get_method("sglrp", base="guided-backprop")


@pytest.mark.parametrize("toy", ["small vgg", "residual of signed branches", "batch norm of its own"])
def test_full_gradients_sum_to_the_output(toy):
    known, x = graph(toy), images()
    v = random_images(len(x), known.classes)
    with torch.inference_mode(False), torch.enable_grad():
        found = full_gradients(known, x.clone(), v)
    total = sum(t.flatten(1).sum(1) for t in found).detach()
    torch.testing.assert_close(total, (known.forward(x) * v).sum(1), rtol=1e-10, atol=1e-12)


def test_implicit_biases_make_full_gradients_of_smooth_activations_complete():
    model = seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Conv2d(4, 4, 2), nn.SiLU(), nn.Flatten())
    )
    known, x = trace(model, (3, 5, 5)), random_images(2, 3, 5, 5)
    v = random_images(2, 16, seed=3)
    with torch.inference_mode(False), torch.enable_grad():
        found = full_gradients(known, x.clone(), v)
    assert len(found) == 5
    total = sum(t.flatten(1).sum(1) for t in found).detach()
    torch.testing.assert_close(total, (model(x) * v).sum(1).detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("scaled", "axes"), [("operation", (1, 2, 3)), ("channel", (2, 3))])
def test_fullgrad_is_scaled_and_interpolated_by_hand(scaled, axes):
    model = seeded(lambda: nn.Sequential(nn.Conv2d(3, 2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)))
    known, x = trace(model, (3, 6, 6)), random_images(1, 3, 6, 6)
    v = random_images(1, 1, 2, seed=3)
    found = open_chain(known, x, get_method("fullgrad", scaled=scaled)).down(v)[0, 0, 0]
    with torch.inference_mode(False), torch.enable_grad():
        parts = full_gradients(known, x.clone(), v[:, 0])
    total = torch.zeros(6, 6, dtype=torch.float64)
    for part in parts[:2]:  # the dense layer's bias has no place
        t = part.detach().abs()
        t = t - t.amin(axes, keepdim=True)
        t = t / t.amax(axes, keepdim=True)
        total += nn.functional.interpolate(t, (6, 6), mode="bilinear", align_corners=True).sum((0, 1))
    torch.testing.assert_close(found, total)


def test_fullgrad_adds_what_is_scaled_to_one():
    """Of one channel whose map is not interpolated: between 0 and the number of channels."""
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 1, 1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(9, 2)
    )
    known = trace(model.double().eval(), (1, 3, 3))
    found = open_chain(known, random_images(1, 1, 3, 3), "fullgrad").down(
        torch.ones(1, 1, 2, dtype=torch.float64)
    )
    assert found.shape == (1, 1, 1, 3, 3)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 2 + 1e-12
    with pytest.raises(InputError, match="of images, not of vectors"):
        open_chain(trace(torch.nn.Linear(3, 2).double(), (3,)), random_images(1, 3), "fullgrad")
