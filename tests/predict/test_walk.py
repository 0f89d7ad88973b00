"""The walk of the weights: the flat chain against the recursion, and what its theories see and don't."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conetheory.chain.layers import below
from conetheory.chain.relevance import RelevanceChain
from conetheory.measure.meter import measure_csc
from conetheory.networks import trace
from conetheory.networks.flat import flat_graph
from conetheory.predict import applies, find
from conetheory.predict.active_walk import ActiveWalk
from conetheory.predict.origin_cut import centred_grid
from conetheory.predict.second_moment import SecondMoment
from conetheory.predict.states import flat
from conetheory.predict.walk import Walk, flat_chain
from conetheory.predict.walk_steps import walk_steps
from conetheory.rules.registry import get_method
from conetheory.theory.walk import joined, kernel_variances, point, variances, walk_step
from tests.networks.toys import random_images, seeded
from tests.toys import TOYS, Toy, chain, conv

RULES = ("lrp-alpha1beta0", "lrp-alpha2beta1", "lrp-gamma", "lrp-epsilon", "w-square", "flat", "gradient")
kinds = pytest.mark.parametrize("kind", [Walk, ActiveWalk])


def body(side: int = 40) -> RelevanceChain:
    """Strides, a mean, 1 x 1 layers and a residual sum; flat, in float64."""

    def forward(self: Toy, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        x = self.pool(self.second(x).relu())
        return self.top(x + self.branch(x).relu()).relu()

    def build() -> nn.Module:
        parts = {
            "first": conv(2, 4),
            "second": nn.Conv2d(4, 3, 3, stride=2, padding=1),
            "pool": nn.AvgPool2d(2),
            "branch": conv(3, 3),
            "top": nn.Conv2d(3, 5, 1),
        }
        return Toy(forward, **parts)

    graph = flat_graph(trace(seeded(build), (2, side, side)))
    return RelevanceChain(graph, torch.zeros((1, 2, side, side), dtype=torch.float64))


def z_plus_kernel(found: RelevanceChain, name: str) -> np.ndarray:
    """`w+_ji(k) / sum w+_j`, (below, above, rows, columns)."""
    w = found.graph.nodes[name].op.weight.clamp(min=0).numpy()
    return (w / w.sum((1, 2, 3), keepdims=True)).transpose(1, 0, 2, 3)


def recursion(found: RelevanceChain, c: np.ndarray) -> dict[str, np.ndarray]:
    """States of `body` from its output down, by kernels written down by hand."""
    six = point(c)
    states = {"sum": walk_step(six, z_plus_kernel(found, "top"))}
    branch = walk_step(states["sum"] / 2, z_plus_kernel(found, "branch"), padding=(1, 1))
    states["pool"] = joined(states["sum"] / 2, branch)
    mean = np.full((3, 2, 2), 0.25)
    states["second"] = walk_step(states["pool"], mean, (0.5, 0.5), (2, 2))
    four = walk_step(states["second"], z_plus_kernel(found, "second"), (0.25, 0.25), (2, 2), (1, 1))
    states["first"] = four
    states["input"] = walk_step(four, z_plus_kernel(found, "first"), (0.25, 0.25), padding=(1, 1))
    return states


@pytest.mark.parametrize(("layer", "scale"), [("pool", 1), ("first", 4), ("input", 4)])
def test_inside_a_flat_chain_is_the_recursion(layer, scale):
    """All six moments at every interior location and phase, to rounding."""
    found = body()
    top = found.graph.output
    c = np.random.default_rng(0).random(5) + 0.5
    grid = centred_grid(found.shape(top)[1:]).numpy()
    x, y = grid.T
    fields = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y])
    vectors = torch.from_numpy(fields[:, None] * c[:, None]).view(1, 6, 5, *found.shape(top)[1:])
    name = {"pool": "pool", "first": "relu"}.get(layer, layer)
    found_six = flat(found.down(vectors, top, name))[0].numpy()
    state = recursion(found, c)[layer]
    height, width = found.shape(name)[1:]
    assert state.shape[2:] == (scale, scale)
    inside = range(height // 2 - scale, height // 2 + scale)
    middle = (found.shape(top)[1] - 1) / 2
    for row in inside:
        for column in inside:
            u, v = column / scale - middle, row / scale - middle  # the place in the start's pixels
            m, X, Y, XX, XY, YY = found_six[:, :, row * width + column]
            about = [m, X - u * m, Y - v * m, XX - 2 * u * X + u * u * m]
            about += [XY - u * Y - v * X + u * v * m, YY - 2 * v * Y + v * v * m]
            expected = state[:, :, row % scale, column % scale]
            np.testing.assert_allclose(np.stack(about), expected, rtol=1e-10, atol=1e-12)


def test_the_steps_are_those_of_the_kernels():
    """One convolution: the table's variances are the kernel's, but for the border."""
    graph = flat_graph(
        trace(seeded(lambda: nn.Sequential(conv(4, 6), nn.ReLU(), conv(6, 5), nn.ReLU())), (4, 32, 32))
    )
    found = RelevanceChain(graph, torch.zeros((1, 4, 32, 32), dtype=torch.float64))
    steps = walk_steps(found, graph.output)
    by_layer = {step.layer: step for step in steps}
    expected = kernel_variances(z_plus_kernel(found, "2"), np.ones(5))
    step = by_layer["2"]
    assert step.below == ("0",)
    assert step.pixel == 1
    assert step.added == pytest.approx(np.trace(expected.within[0]) / 2, rel=0.1)
    assert step.injected == pytest.approx(np.trace(expected.between[0]) / 2, rel=0.2)
    assert step.explained == pytest.approx(step.injected / (step.added + step.injected), rel=1e-2)
    assert 0.9 < steps[-1].slowest < step.slowest < 1


def test_steps_below_strides_count_less():
    """Totals against the recursion, over all phases; 1 x 1 layers and means of windows add nothing."""
    found = body(80)
    steps = {step.layer: step for step in walk_steps(found, "top")}
    assert {name: step.pixel for name, step in steps.items()} == {
        **{"top": 1, "add": 1, "branch": 1, "pool": 1, "second": 0.5, "first": 0.25}
    }
    for layer in ("top", "add", "pool"):
        assert steps[layer].added == steps[layer].injected == 0
    states = recursion(found, np.ones(5))
    for operation, layer in {"branch": "pool", "second": "first", "first": "input"}.items():
        exact = variances(states[layer])
        within, between = (np.trace(part.mean(0)) / 2 for part in (exact.within, exact.between))
        assert steps[operation].below == (layer,)
        assert steps[operation].total == pytest.approx(within + between, rel=0.1)
        assert steps[operation].explained == pytest.approx(between / (within + between), rel=0.2)


# ---------------------------------------------------------------- the theories


@kinds
def test_no_image_is_looked_at(kind):
    """The same prediction for any images, in any number, order and batch."""
    one, other = (
        chain("small vgg", count=1),
        RelevanceChain(chain("small vgg").graph, 7 * random_images(2, 2, 6, 7)),
    )
    first, second = kind("4"), kind("4")
    first.add(one)
    second.add(other.only(1))
    second.add(other)
    for layer in below(one, "4"):
        assert first.median(layer) == second.median(layer) or np.isnan(first.median(layer))
        assert first.band(layer) == second.band(layer) or np.isnan(first.median(layer))


def positive(layers: int = 6, channels: int = 12, side: int = 16) -> RelevanceChain:
    """Convolutions without biases whose positive weights make every unit active, flat images."""

    def build() -> nn.Module:
        parts: list[nn.Module] = []
        for into in (3, *[channels] * (layers - 1)):
            parts += [nn.Conv2d(into, channels, 3, padding=1, bias=False), nn.ReLU()]
        return nn.Sequential(*parts)

    model = seeded(build)
    with torch.no_grad():
        for part in model:
            if isinstance(part, nn.Conv2d):
                part.weight.abs_()
    return RelevanceChain(trace(model, (3, side, side)), torch.ones((1, 3, side, side)))


def test_a_network_that_is_nearly_flat_is_predicted():
    """All units active and alike: the measured median at every layer."""
    found = positive()
    predictor = Walk("11")
    predictor.add(found)
    measured = measure_csc(found, "11", vectors=24).dataset["measured_deficit_median"].squeeze()
    errors = [
        np.log10(predictor.median(layer) / float(measured.sel(layer=layer))) for layer in below(found, "11")
    ]
    assert np.median(np.abs(errors)) < 0.15
    assert np.abs(errors).max() < 0.35


def test_few_active_units_tell_more_apart():
    """(1 + kappa) / share - 1 in the place of kappa: from 1/3 (uniform weights) to 5/3 at a half."""
    found = positive()
    shares = {name: torch.full((12,), 0.5) for name in ("0", "2", "4", "6", "8", "10")}
    flat_one, active = Walk("11"), ActiveWalk("11", given=shares)
    full = ActiveWalk("11", given={name: torch.ones(12) for name in shares})
    for each in (flat_one, active, full):
        each.add(found)
    for layer in ("3", "1"):
        assert full.median(layer) == flat_one.median(layer)
        assert active.median(layer) > 1.5 * flat_one.median(layer)


def test_levels_are_what_a_layer_hands_on():
    """Channels of level zero are dead; a common factor changes nothing."""
    found = positive()
    plain, scaled = Walk("11"), Walk("11", levels={"6": torch.full((12,), 8.0)})
    dead = Walk("11", levels={"6": torch.tensor([1.0] + [0.0] * 11)})
    for each in (plain, scaled, dead):
        each.add(found)
    assert scaled.median("5") == pytest.approx(plain.median("5"), rel=1e-4)
    assert dead.median("7") < 1e-6  # one channel alone has no angle
    assert dead.median("5") != pytest.approx(plain.median("5"), rel=0.1)


@pytest.mark.covering
@kinds
@pytest.mark.parametrize(
    ("toy", "method"), [*((toy, RULES[0]) for toy in TOYS), *(("small vgg", rule) for rule in RULES[1:])]
)
def test_any_rule_and_structure(kind, toy, method):
    """Spectra of every layer are finite, and not all dead; the median at the image is one, or none."""
    found = chain(toy, method, count=1)
    predictor = kind("logits", positions=6)
    predictor.add(found)
    layers = below(found, "logits")
    assert set(predictor.spectra.layers) == set(layers)
    assert all(np.isfinite(predictor.spectra.live(layer)).all() for layer in layers)
    assert any(len(predictor.spectra.live(layer)) for layer in layers)
    assert 0 <= np.nan_to_num(predictor.median("input")) <= 1


def test_it_is_the_second_moments_of_the_flat_chain():
    found = positive()
    predictor, other = Walk("11"), SecondMoment("11")
    predictor.add(found)
    other.add(flat_chain(found, predictor.flat(found)))
    assert [predictor.median(n) for n in below(found, "11")] == [other.median(n) for n in below(found, "11")]


def test_what_they_refuse():
    for name in ("walk", "walk-active"):
        assert not find(name).by_default
        assert applies(name, get_method("lrp-alpha2beta1")) is None
        assert "linear" in applies(name, get_method("guided-backprop")).reason
    assert "flat ones" in Walk.applies(get_method("deeplift-rescale")).reason
