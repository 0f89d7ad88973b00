"""Certificates of signed chains."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from conetheory.certify import signed
from conetheory.chain.columns import local_columns
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.theory import cosine
from conetheory.theory.ergodicity import NormCone
from conetheory.theory.records import NotApplicable
from tests.certify.nets import (
    F64,
    convs,
    dense,
    image,
    net,
)


@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha1.5beta0.5", "lrp-alpha2beta1"])
@pytest.mark.parametrize("through", [(), ("3",), ("3", "1")])
@pytest.mark.parametrize("mean", [0.3, 0.6])
def test_norm_cone_holds_the_images_of_nonnegative_starts(method, through, mean):
    chain = dense(method, mean=mean)
    found = signed.signed_cone_certificate(chain, "logits", "input", through=through)
    if isinstance(found, NotApplicable):
        assert "tau_1" in found.reason or "sum one" in found.reason
        return
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.exponential(size=(200, 4)), np.eye(4)])
    y = x @ chain.as_matrix("logits", "input").T
    total = x.sum(axis=1, keepdims=True)
    off = np.abs(y - total * found.cone.center).sum(axis=1)
    assert (off <= found.cone.radius * total[:, 0]).all()
    if not isinstance(found.deficit_upper, NotApplicable):
        assert np.max(cosine.pairwise_deficits(y)) <= found.deficit_upper


def test_a_smaller_first_cone_gives_an_angle():
    chain = dense("lrp-alpha1.5beta0.5", mean=0.3)
    found = signed.signed_cone_certificate(chain, "logits", "input", radius=0.05)
    assert isinstance(found.cone, NormCone)
    assert 0 < found.deficit_upper < 0.1
    rng = np.random.default_rng(1)
    z = rng.normal(size=(500, 4))
    z -= z.mean(axis=1, keepdims=True)
    x = 0.25 + 0.05 * z / np.abs(z).sum(axis=1, keepdims=True)
    y = (x * rng.choice([-3.0, 2.0], (500, 1))) @ chain.as_matrix("logits", "input").T
    assert np.max(cosine.pairwise_deficits(y)) <= found.deficit_upper


def test_the_signed_certificate_says_why_not():
    wild = signed.signed_cone_certificate(dense("lrp-alpha5beta4", mean=0.0), "logits", "5")
    assert "tau_1 is" in wild.reason
    assert "'5'" in wild.reason or "'logits'" in wild.reason or "sum one" in wild.reason
    lossy = signed.signed_cone_certificate(dense(mean=0.3, stabiliser=0.5), "logits", "input")
    assert "sum one" in lossy.reason
    chain = RelevanceChain(convs(), image().float())
    with pytest.raises(InputError, match="float64"):
        signed.signed_cone_certificate(chain, "5", "0")


def test_columns_without_a_bound_are_refused():
    found = signed.signed_cone_certificate(dense(bias="signed"), "logits", "input")
    assert "no bound on the columns" in found.reason


def test_a_block_too_large_is_named(monkeypatch):
    monkeypatch.setattr(signed, "TAU_OPERATIONS", 10)
    found = signed.signed_cone_certificate(dense(), "logits", "input")
    assert "'5' to 'input' is 40 x 4: too large" in found.reason


@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha1.5beta0.5", "lrp-alpha2beta1"])
@pytest.mark.parametrize("seed", range(4))
def test_signed_generators_bound_nonnegative_starts(method, seed):
    body = [nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU()]
    graph = net(*body, nn.Flatten(), nn.Linear(180, 6), seed=seed)
    chain = RelevanceChain(graph, image(), method, dtype=F64)
    for layer, (block,) in local_columns(chain, "logits", ("1", "input")).items():
        found, _ = signed.location_bounds(chain, "logits", block)
        assert len(found) == 36
        rng = np.random.default_rng(seed)
        x = torch.from_numpy(np.concatenate([rng.lognormal(0, 4, (60, 6)), np.eye(6)]))
        y = chain.down(x[None], "logits", layer)[0].reshape(66, -1, 36).numpy()
        for p, bound in enumerate(found):
            vectors = y[:, :, p][y[:, :, p].any(axis=1)]
            if np.isfinite(bound):
                unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
                assert (unit @ unit.T).min() > 0
                assert np.max(cosine.pairwise_deficits(vectors)) <= bound


def test_signed_generators_refuse_obtuse_columns():
    both, first = np.array([True, True]), np.array([True, False])
    bound = signed._worst_signed
    assert bound(np.array([[1.0, 0.0], [-1.0, 0.1]]), 1e-15, both) == np.inf
    assert bound(np.array([[1.0, 0.0], [1.0, 0.1]]), 1e-3, both) == np.inf
    assert bound(np.array([[1.0, 0.0], [0.0, 0.0]]), 1e-15, first) < 1e-28  # one ray
    assert bound(np.array([[1.0, 0.0], [0.0, 0.0]]), 1e-15, both) == np.inf  # one that may have cancelled
    assert np.isnan(bound(np.zeros((2, 2)), 1e-15, ~both))
    assert bound(np.array([[1.0, 0.0], [1.0, 1.0]]), 0.0, both) >= 1 - np.sqrt(0.5)
