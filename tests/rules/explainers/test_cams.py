"""Class activation maps by their formulas, rollout by the weights that torch gives, and the control."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from conetheory.chain.explained import open_chain
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.rules.explainers.rollout import rollout
from tests.networks.toys import random_images, seeded
from tests.toys import SHAPE, graph, images

SIZE = (3, 12, 10)


def network() -> nn.Module:
    """A map of (4, 6, 5) that all paths cross, and weights of it that depend on the place."""
    body = [
        nn.Conv2d(3, 4, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 30, 6),
        nn.Tanh(),
        nn.Linear(6, 3),
    ]
    return nn.Sequential(*body)


def parts(v: Tensor) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """The model, an image, the activations and the gradient of <v, logits> there."""
    model, x = seeded(network), random_images(1, *SIZE)
    a = model[:2](x).detach().requires_grad_()
    (g,) = torch.autograd.grad((model[2:](a) * v).sum(), a)
    return model, x, a.detach(), g


WEIGHED = {
    "grad-cam": lambda a, g: a * g.mean((2, 3), keepdim=True),
    "hirescam": lambda a, g: a * g,
    "layercam": lambda a, g: a * F.relu(g),
}


def plus_plus(a: Tensor, g: Tensor) -> Tensor:
    """Number by number."""
    out = torch.zeros_like(a)
    for k in range(a.shape[1]):
        total, weight = float(a[0, k].sum()), 0.0
        for value in g[0, k].flatten().tolist():
            bottom = 2 * value**2 + total * value**3
            weight += value**2 / bottom * max(value, 0.0) if bottom else 0.0
        out[0, k] = weight * a[0, k]
    return out


@pytest.mark.parametrize("name", [*WEIGHED, "grad-cam++"])
def test_a_map_is_its_formula_at_the_size_of_the_image(name):
    v = random_images(1, 3, seed=4)
    model, x, a, g = parts(v)
    small = WEIGHED.get(name, plus_plus)(a, g).sum(1, keepdim=True)
    expected = F.interpolate(small, SIZE[1:], mode="bilinear", align_corners=False)
    found = open_chain(trace(model, SIZE), x, name).down(v[None])
    torch.testing.assert_close(found[0], expected)
    shown = open_chain(trace(model, SIZE), x, name, parameters={"rectified": True}).down(v[None])
    torch.testing.assert_close(shown[0], expected.clamp(min=0))
    assert bool((expected < 0).any()) == (name in ("grad-cam", "hirescam"))


def test_a_layer_can_be_named_and_a_map_is_asked_for():
    model, x = seeded(network), random_images(1, *SIZE)
    v = random_images(1, 1, 3)
    last, named = (
        open_chain(trace(model, SIZE), x, "hirescam", parameters=p).down(v) for p in ({}, {"layer": "1"})
    )
    torch.testing.assert_close(last, named)
    flat = open_chain(trace(seeded(lambda: nn.Linear(4, 3)), (4,)), random_images(1, 4), "grad-cam")
    with pytest.raises(InputError, match="of images, not of vectors"):
        flat.down(v)


class Encoder(nn.Module):
    """Two layers of attention among patches, one of them with a mask for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 4, 4, 4)
        self.layers = nn.ModuleList(nn.MultiheadAttention(4, 2, batch_first=True) for _ in range(2))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        t = self.patches(x).flatten(2).mT
        for layer in self.layers:
            t = t + layer(t, t, t, need_weights=False)[0]
        return self.head(t.mean(1))


def test_rollout_is_the_product_of_the_weights_that_torch_gives():
    model, x = seeded(Encoder), random_images(2, 3, 12, 8)
    t, R = model.patches(x).flatten(2).mT, torch.eye(6, dtype=torch.float64).expand(2, 6, 6)
    for layer in model.layers:
        out, weights = layer(t, t, t)  # the mean over heads
        R = (weights + torch.eye(6)) / 2 @ R
        t = t + out
    found = rollout(trace(model, (3, 12, 8)), x)
    torch.testing.assert_close(found, R.detach())
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 6, dtype=torch.float64))
    maps = open_chain(trace(model, (3, 12, 8)), x, "attention-rollout").down(random_images(2, 3, 3))
    expected = F.interpolate(R.detach().mean(1).view(2, 1, 3, 2), (12, 8), mode="bilinear")
    torch.testing.assert_close(maps, expected[:, None].expand(-1, 3, -1, -1, -1))


def test_rollout_reads_the_row_of_a_class_token_and_refuses_what_it_cannot():
    found = open_chain(graph("transformer"), images(), "attention-rollout").down(random_images(2, 1, 3))
    grid = rollout(graph("transformer"), images())[:, 0, 1:].view(2, 1, 3, 3)
    torch.testing.assert_close(found[:, 0], F.interpolate(grid, SHAPE[1:], mode="bilinear"))
    with pytest.raises(InputError, match="this network has none"):
        open_chain(graph("small vgg"), images(), "attention-rollout")


def test_the_control_draws_the_same_again_and_another_for_anything_else():
    name, v = "small vgg", random_images(2, 2, 5)
    v = v[..., : graph(name).classes]
    found = open_chain(graph(name), images(), "random").down(v)
    assert torch.equal(found, open_chain(graph(name), images(), "random").down(v))
    other = open_chain(graph(name), images(), "random", parameters={"seed": 1}).down(v)
    flat = torch.cat([found, other], 1).flatten(0, 1).flatten(1)
    cosines = F.normalize(flat) @ F.normalize(flat).T - torch.eye(8)
    assert float(cosines.abs().max()) < 6 / SHAPE[1] / SHAPE[2] ** 0.5
