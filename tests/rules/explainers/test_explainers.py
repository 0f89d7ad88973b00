"""Methods from outside: captum called directly, completeness, linearity, and networks with a known answer."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from conetheory.chain.explained import ExplainerChain, open_chain
from conetheory.errors import InputError, MissingDependencyError
from conetheory.measure.meter import draw, local_deficits, measure_csc
from conetheory.networks import trace
from conetheory.networks.graph import INPUT, Graph
from conetheory.rules.explainers import forward, iba
from conetheory.rules.registry import methods
from conetheory.saliency.explain import explain
from tests.networks.toys import random_images, seeded
from tests.toys import SHAPE, TOYS, graph, images

attr = pytest.importorskip("captum.attr", reason="captum is not installed")

NETWORKS = ["small vgg", "nested branches", "batch norm of its own", "dense block"]
# few steps, windows that overlap: (parameters of ours)
SMALL = {
    "integrated-gradients": {"steps": 4},
    "smoothgrad": {"samples": 3},
    "occlusion": {"window": 2, "stride": 1},
    "iba": {"steps": 2, "samples": 2},
}
ON = {"attention-rollout": "transformer"}  # the toy of a method that needs one
MAPS = [m.name for m in methods() if not m.backpropagated and m.name != "tcav"]


def small(name: str, network: str | Graph | None = None, count: int = 2, **options) -> ExplainerChain:
    network = ON.get(name, "small vgg") if network is None else network
    found = graph(network) if isinstance(network, str) else network
    return open_chain(found, images(count), name, parameters={**SMALL.get(name, {}), **options})


def weights(chain: ExplainerChain, vectors: int = 3, seed: int = 4) -> Tensor:
    return random_images(len(chain), vectors, *chain.shape("logits"), seed=seed)


def assert_same(one: Tensor, other: Tensor, tolerance: float = 1e-11) -> None:
    other = other.detach().to(one)
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * float(other.abs().max()))


# ---------------------------------------------------------------- captum itself


def integrated(model: nn.Module, x: Tensor, target: int) -> Tensor:
    return attr.IntegratedGradients(model).attribute(x.requires_grad_(), target=target, n_steps=4)


def smoothed(model: nn.Module, x: Tensor, target: int) -> Tensor:
    found = []
    for image in x.split(1):
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            options = {"nt_samples": 3, "stdevs": 0.15 * float(image.max() - image.min())}
            found.append(
                attr.NoiseTunnel(attr.Saliency(model)).attribute(image, abs=False, target=target, **options)
            )
    return torch.cat(found)


def occluded(model: nn.Module, x: Tensor, target: int, channels: int = SHAPE[0]) -> Tensor:
    shapes = (channels, 2, 2), (channels, 1, 1)
    return attr.Occlusion(model).attribute(x, *shapes, target=target, baselines=0)


CAPTUM = {"integrated-gradients": integrated, "smoothgrad": smoothed, "occlusion": occluded}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", CAPTUM)
def test_maps_of_classes_are_those_of_captum(name, network):
    model, x = seeded(TOYS[network]), images()
    classes = torch.tensor([[0, 3], [2, 1]])
    found = explain(graph(network), x, name, classes, parameters=SMALL[name])
    for image in range(2):
        for k, target in enumerate(classes[image]):
            expected = CAPTUM[name](model, x[image : image + 1].clone(), int(target))[0]
            assert_same(found[image, k].expand_as(expected), expected)


def test_occlusion_channel_by_channel_is_that_of_captum():
    model, x = seeded(TOYS["small vgg"]), images()
    found = explain(
        graph("small vgg"), x, "occlusion", 1, parameters={"per_channel": True, **SMALL["occlusion"]}
    )
    assert_same(found[:, 0], occluded(model, x, 1, channels=1))


# ---------------------------------------------------------------- what every map obeys


@pytest.mark.parametrize("name", MAPS)
def test_maps_are_linear_in_the_output_weights_where_declared(name):
    chain = small(name)
    v = weights(chain, 2)
    one, other, both = chain.down(torch.cat([v, 2 * v[:, :1] - 3 * v[:, 1:]], 1)).unbind(1)
    gap = float((2 * one - 3 * other - both).abs().max() / both.abs().max())
    if chain.method.linear:
        assert gap < (1e-6 if name == "occlusion" else 1e-12)  # captum averages windows in float32
    else:
        assert gap > 1e-3


@pytest.mark.parametrize("name", MAPS)
def test_an_image_has_the_same_map_in_any_batch(name):
    chain = small(name, count=3)
    v = weights(chain)
    alone = open_chain(chain.graph, chain.images[1], chain.method)
    assert_same(alone.down(v[1:2]), chain.down(v)[1:2])


@pytest.mark.parametrize("name", sorted(set(MAPS) - {"smoothgrad"}))
def test_memory_does_not_change_the_maps(name, monkeypatch):
    """SmoothGrad is left out: torch's noise depends on how many numbers are drawn at a time."""
    chain = small(name, count=3)
    v = weights(chain)
    expected = chain.down(v)
    monkeypatch.setattr(forward, "BUDGET", 1)
    assert_same(chain.down(v), expected)


@pytest.mark.parametrize("name", MAPS)
def test_maps_come_from_inference_mode_and_leave_torch_as_it_was(name):
    state = torch.random.get_rng_state()
    with torch.inference_mode():
        chain = small(name)
        found = chain.down(weights(chain))
    assert not found.requires_grad
    assert torch.equal(torch.random.get_rng_state(), state)
    assert_same(found, small(name).down(weights(chain)))


@pytest.mark.parametrize("name", MAPS)
def test_csc_is_that_of_the_maps(name):
    chain = small(name, ON.get(name, "nested branches"))
    found = measure_csc(chain, vectors=4, seed=3).dataset.isel(method=0, start=0)
    assert list(found["layer"].values) == [chain.graph.output, INPUT]
    v = draw(chain.shape("logits"), range(2), 4, start="logits", seed=3)
    maps = chain.down(v)
    local, flattened = local_deficits(maps)
    below = found.sel(layer=INPUT)
    assert float(below["measured_flattened_deficit_median"]) == pytest.approx(float(flattened.quantile(0.5)))
    if maps.shape[2] > 1:
        assert float(below["measured_deficit_mean"]) == pytest.approx(float(local.nanmean()))
    else:  # one value for each location: |cos| would be 1 everywhere, and say nothing
        assert np.isnan(below["measured_deficit_median"])
        assert int(below["pairs_pooled"]) == 0


@pytest.mark.parametrize("name", MAPS)
def test_no_map_from_a_hidden_layer(name):
    chain = small(name)
    with pytest.raises(InputError, match="only goes from logits to input"):
        measure_csc(chain, next(iter(chain.graph.nodes)))


def test_captum_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(MissingDependencyError, match="pip install 'conetheory\\[captum\\]'"):
        small("occlusion").down(torch.ones(2, 1, 5))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("integrated-gradients", {"steps": 0}),
        ("smoothgrad", {"samples": 0}),
        ("smoothgrad", {"noise": -0.1}),
        ("occlusion", {"window": 7}),
        ("occlusion", {"window": 2, "stride": 3}),
        ("iba", {"objective": "logit"}),
        ("iba", {"samples": 0}),
        ("iba", {"layer": "nowhere"}),
    ],
)
def test_wrong_parameters(name, wrong):
    with pytest.raises(InputError):
        explain(graph("small vgg"), images(), name, parameters=wrong)


# ---------------------------------------------------------------- known answers


def test_integrated_gradients_are_complete():
    """On a smooth network, where the quadrature converges: the map sums to <v, f(x) - f(x0)>.

    captum holds the nodes' weights in float32.
    """
    layers = [
        nn.Conv2d(2, 4, 3),
        nn.Softplus(),
        nn.Conv2d(4, 4, 3),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(24, 5),
    ]
    smooth = trace(seeded(lambda: nn.Sequential(*layers)), SHAPE)
    chain = open_chain(smooth, images(), "integrated-gradients", parameters={"steps": 60, "baseline": 0.3})
    v = weights(chain)
    start = smooth.forward(torch.full_like(images(), 0.3))
    expected = torch.einsum("nkc,nc->nk", v, chain.logits - start)
    assert_same(chain.down(v).sum((2, 3, 4)), expected, 1e-7)


def patch_network(rows: slice, columns: slice) -> tuple[Graph, Tensor]:
    """A linear network that sees one patch only, and its weights (5, *SHAPE)."""
    weight = torch.zeros(5, *SHAPE, dtype=torch.float64)
    seen = weight[:, :, rows, columns]
    seen.copy_(random_images(*seen.shape, seed=7))
    layer = nn.Linear(weight[0].numel(), 5, bias=False).double()
    layer.weight.data = weight.flatten(1)
    return trace(nn.Sequential(nn.Flatten(), layer), SHAPE), weight


def test_occlusion_finds_the_only_patch_that_counts():
    found, weight = patch_network(slice(2, 4), slice(4, 6))
    chain = open_chain(found, images(), "occlusion", parameters={"window": 2})
    v = weights(chain)
    maps = chain.down(v)[:, :, 0]
    expected = torch.zeros_like(maps)
    worth = torch.einsum("nkc,cdhw,ndhw->nk", v, weight, images())
    expected[:, :, 2:4, 4:6] = worth[:, :, None, None]
    assert_same(maps, expected, 1e-6)
    assert torch.equal(maps != 0, expected != 0)


def test_smoothgrad_of_a_linear_network_is_its_weights():
    found, weight = patch_network(slice(0, 6), slice(0, 7))
    assert_same(explain(found, images(), "smoothgrad", 2)[:, 0], weight[2].expand(2, -1, -1, -1))


# ---------------------------------------------------------------- cutting a network


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_cut_in_two_is_the_network(network):
    found = graph(network)
    cuts = [name for name in found.cuts if name not in (INPUT, found.output)]
    assert cuts
    for cut in cuts:
        below, above = forward.split_at(found, cut)
        assert torch.equal(above.forward(below.forward(images())), found.forward(images()))


def test_no_cut_where_a_branch_goes_around():
    with pytest.raises(InputError, match="can't be cut at 'b'"):
        forward.split_at(graph("nested branches"), "b")


# ---------------------------------------------------------------- information bottleneck


def test_information_is_the_divergence_of_two_gaussians():
    r, mean = random_images(2, 50).unbind(0)
    deviation, through = random_images(50, seed=2).abs() + 0.1, random_images(50, seed=3).sigmoid()
    bottleneck = Normal(through * r + (1 - through) * mean, (1 - through) * deviation)
    found = iba.information(through, 1 - through, (r - mean) / deviation)
    assert_same(found, kl_divergence(bottleneck, Normal(mean, deviation)))


def test_no_information_where_nothing_is_let_through():
    closed = torch.full((3,), -800.0, dtype=torch.float64)
    found = iba.information(closed.sigmoid(), (-closed).sigmoid(), torch.tensor([0.0, 5.0, -40.0]).double())
    assert not found.any()


def test_blur_is_a_gaussian_filter():
    x = random_images(2, 3, 7, 9)
    expected = gaussian_filter(x.numpy(), (0, 0, 1.5, 1.5), mode="mirror", truncate=2)
    assert_same(iba.blur(x, 1.5), torch.from_numpy(expected))
    assert torch.equal(iba.blur(x, 0), x)


def bottleneck_by_hand(features: nn.Module, head: nn.Module, x: Tensor, target: int) -> Tensor:
    """The paper's algorithm for one image, unit statistics from the image's channels, no blur."""
    with torch.no_grad():
        r = features(x)
    mean, deviation = r.mean((2, 3), keepdim=True), r.std((2, 3), correction=0, keepdim=True)
    prior = Normal(mean.expand_as(r), deviation.expand_as(r))
    alpha = torch.full_like(r, 5.0, requires_grad=True)
    optimiser, generator = torch.optim.Adam([alpha], lr=1.0), torch.Generator().manual_seed(0)

    def divergence() -> Tensor:
        share = alpha.sigmoid()
        return kl_divergence(Normal(share * r + (1 - share) * mean, (1 - share) * deviation), prior)

    for _ in range(4):
        noise = mean + deviation * torch.randn((3, *r.shape[1:]), generator=generator).double()
        z = alpha.sigmoid() * r + (1 - alpha.sigmoid()) * noise
        loss = nn.functional.cross_entropy(head(z), torch.full((3,), target)) + 10 * divergence().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return divergence().detach().sum(1) / np.log(2)


def test_iba_is_the_algorithm_of_the_paper():
    model = seeded(TOYS["small vgg"])
    options = {"layer": "3", "steps": 4, "samples": 3, "sigma": 0.0}
    found = explain(graph("small vgg"), images(), "iba", torch.tensor([[1], [4]]), parameters=options)
    for image, target in enumerate((1, 4)):
        expected = bottleneck_by_hand(model[:4], model[4:], images()[image : image + 1], target)
        assert_same(found[image, 0], expected, 1e-10)


class Quadrant(nn.Module):
    """Sums the upper left quadrant of what one convolution makes of the image; the rest plays no part."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 4, 1), nn.Linear(4 * 16 * 16, 5, bias=False)
        weight = torch.zeros(5, 4, 16, 16)
        weight[:, :, :8, :8] = torch.randn(5, 4, 8, 8)
        self.head.weight.data = weight.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).relu().flatten(1))


@pytest.mark.parametrize("statistics", ["channels", "units"])
@pytest.mark.parametrize("objective", ["cross-entropy", "output"])
def test_iba_finds_the_quadrant_that_counts(objective, statistics):
    x = random_images(2, 2, 16, 16)
    reference = None if statistics == "channels" else random_images(20, 2, 16, 16, seed=9)
    network = trace(seeded(Quadrant), (2, 16, 16))
    maps = explain(network, x, "iba", parameters={"objective": objective, "reference": reference})[:, 0, 0]
    assert maps.shape == (2, 16, 16)
    assert float(maps.min()) >= 0
    inside = maps[:, :8, :8].sum((1, 2)) / maps.sum((1, 2))
    assert float(inside.min()) > 0.8  # 0.25 by chance


def test_iba_needs_a_layer_with_height_and_width():
    flat = trace(nn.Sequential(nn.Flatten(), nn.Linear(84, 6), nn.ReLU(), nn.Linear(6, 5)).double(), SHAPE)
    with pytest.raises(InputError, match="needs a layer with height and width"):
        explain(flat, images(), "iba")
