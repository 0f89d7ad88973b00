"""RMS norms: `x / sqrt(mean of x^2 + eps)`, over the last axis of tokens and over a whole image."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from conetheory.chain.relevance import RelevanceChain
from conetheory.networks import trace
from conetheory.networks.coupling import Standardise
from conetheory.rules.couplings import Standardisation
from tests.networks.toys import random_images, seeded
from tests.rules.dense import down, up


class Tokens(nn.Module):
    def __init__(self, eps: float | None) -> None:
        super().__init__()
        self.norm, self.head = nn.RMSNorm(4, eps=eps), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        t = self.norm(x.flatten(2).transpose(1, 2))
        return self.head(nn.functional.rms_norm(t, (4,), self.norm.weight + 1, 1e-3).mean(1))


@pytest.mark.parametrize("eps", [None, 1e-2])
def test_the_gradient_is_autograds(eps):
    model, x = seeded(lambda: Tokens(eps)), random_images(2, 4, 2, 3)
    graph = trace(model, (4, 2, 3))
    assert [n.op.middle for n in graph.nodes.values() if isinstance(n.op, Standardise)] == [False, False]
    torch.testing.assert_close(graph.forward(x), model(x).detach(), rtol=1e-12, atol=1e-13)
    point, v = x.clone().requires_grad_(), random_images(2, 1, 3, seed=4)
    (expected,) = torch.autograd.grad(model(point), point, v[:, 0])
    found = RelevanceChain(graph, x, "gradient").down(v, "logits")[:, 0]
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    for method in ("lrp-zplus", "cp-lrp", "deeplift-rescale"):
        assert bool(RelevanceChain(graph, x, method).down(v, "logits").isfinite().all())


@pytest.mark.parametrize("groups", [None, 1, 2])
@pytest.mark.parametrize("middle", [True, False])
def test_the_jacobian_and_its_squares(groups, middle):
    op, x = Standardise(groups, 1e-2, middle), random_images(1, 4, 2, 3)
    M = torch.autograd.functional.jacobian(op.forward, x).reshape(24, 24).T
    local = Standardisation.jacobian(op, x)
    torch.testing.assert_close(down(local, (4, 2, 3)), M)
    torch.testing.assert_close(up(local, [(4, 2, 3)]), M)
    torch.testing.assert_close(down(local.squared(), (4, 2, 3)), M**2)
