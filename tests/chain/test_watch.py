"""Relevance that leaves the range of its dtype is told from relevance that is dead, in every room."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conetheory import networks
from conetheory.adapters.captum import Attribution
from conetheory.adapters.vjp import VjpChain
from conetheory.adapters.zennit import ZennitChain
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.watch import Watch
from conetheory.errors import InputError
from conetheory.measure.meter import measure_csc
from conetheory.networks import Graph, trace
from conetheory.predict import predict_csc
from conetheory.saliency import ClassSettings, class_sensitivity, explain, explain_maps
from conetheory.sanity import SanitySettings, sanity_check

WIDTH, SHAPE = 16, (3, 6, 6)
MEDIAN = "measured_deficit_median"


def deep(layers: int, scale: float, *, bias: bool = False) -> Graph:
    """ReLU layers of orthogonal weights times `scale`, as 1 x 1 convolutions, and a classifier."""
    torch.manual_seed(0)
    body: list[nn.Module] = [nn.Conv2d(SHAPE[0], WIDTH, 1, bias=False)]
    for _ in range(layers):
        layer = nn.Conv2d(WIDTH, WIDTH, 1, bias=bias)
        layer.weight.data = scale * torch.linalg.qr(torch.randn(WIDTH, WIDTH)).Q[:, :, None, None]
        if bias:
            nn.init.constant_(layer.bias, 0.5)
        body += [layer, nn.ReLU()]
    return trace(nn.Sequential(*body, nn.Flatten(), nn.Linear(WIDTH * 36, 5)), SHAPE)


def images(count: int = 2) -> Tensor:
    return torch.rand((count, *SHAPE), generator=torch.Generator().manual_seed(1)) + 0.1


def median(graph: Graph, dtype: torch.dtype, x: Tensor | None = None) -> float:
    chain = RelevanceChain(graph, images() if x is None else x, "gradient", dtype=dtype)
    return float(measure_csc(chain, vectors=6, layers=("input",)).dataset[MEDIAN][0, 0, -1])


COMMANDS = {
    "measure": lambda graph, dtype: measure_csc(RelevanceChain(graph, images(), "gradient", dtype=dtype)),
    "predict": lambda graph, dtype: predict_csc(
        RelevanceChain(graph, images(), "gradient", dtype=dtype), theory="local-spectrum", layers=("input",)
    ),
    "explain": lambda graph, dtype: explain(graph, images(), "gradient", dtype=dtype),
    "smoothgrad": lambda graph, dtype: explain(graph, images(), "smoothgrad", dtype=dtype),
    "explain_maps": lambda graph, dtype: explain_maps(graph, images(), "gradient", dtype=dtype),
    "classes": lambda graph, dtype: class_sensitivity(
        graph, images(1), "gradient", ClassSettings(dtype=dtype)
    ),
    "sanity": lambda graph, dtype: sanity_check(
        graph,
        images(),
        "gradient",
        SanitySettings(dtype=dtype, layers=(next(iter(graph.nodes)),), measures=("ssim",)),
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("layers", [44, pytest.param(50, marks=pytest.mark.exhaustive)])
def test_underflow_is_said_as_overflow_is(command, layers):
    """With biases the activations keep their size, and only what goes down is lost."""
    graph = deep(layers, 0.1, bias=True)
    with pytest.raises(InputError, match=r"relevance from 'logits' underflows at .*: use dtype float64"):
        COMMANDS[command](graph, torch.float32)
    COMMANDS[command](graph, torch.float64)


@pytest.mark.parametrize("layers", [44, 50])
def test_float64_gives_the_value_of_the_network_that_is_not_scaled(layers):
    """Without biases neither gates nor cosines know of the scale."""
    truth = median(deep(layers, 1.0), torch.float64)
    assert median(deep(layers, 1.0), torch.float32) == pytest.approx(truth, rel=0.02)
    assert median(deep(layers, 0.1), torch.float64) == pytest.approx(truth, rel=0.02)
    with pytest.raises(InputError, match="activations underflow at"):
        median(deep(layers, 0.1), torch.float32)


@pytest.mark.parametrize("command", COMMANDS)
def test_overflow_is_said_in_every_room(command):
    graph = deep(8, 1e6, bias=True)
    with pytest.raises(InputError, match=r"overflow|not finite"):
        COMMANDS[command](graph, torch.float32)
    COMMANDS[command](graph, torch.float64)


def test_float64_has_a_range_as_well():
    graph = deep(30, 1e-12, bias=True)
    with pytest.raises(InputError, match=r"underflows .*: use other parameters"):
        median(graph, torch.float64)


def forked(weight: float) -> Graph:
    """Two units, one for each image; the way down to the first goes through `weight` twice."""
    layers = [nn.Linear(2, 2) for _ in range(3)]
    for layer, first in zip(layers, (1.0, weight, weight), strict=True):
        layer.weight.data, layer.bias.data = torch.diag(torch.tensor([first, 1.0])), torch.ones(2)
    layers[0].bias.data.zero_()
    first, *others = layers
    flat = nn.Flatten()
    return trace(nn.Sequential(flat, first, nn.ReLU(), *others), (2, 1, 1))


FORKED = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])[..., None, None]


@pytest.mark.parametrize(("weight", "how"), [(1e-20, "in 10 of 20"), (1e-30, "to nothing")])
def test_one_image_of_a_batch_is_enough(weight, how):
    graph = forked(weight)
    for batch in (FORKED, FORKED[:1]):
        with pytest.raises(InputError, match=f"underflows at .*{how if len(batch) > 1 else ''}"):
            measure_csc(RelevanceChain(graph, batch, "gradient"))
    measure_csc(RelevanceChain(graph, FORKED[1:], "gradient"))
    found = measure_csc(RelevanceChain(graph, FORKED, "gradient", dtype=torch.float64)).dataset
    assert found["dead_fraction"].values[0, 0, -1] == 0


def test_what_is_structurally_dead_is_no_underflow():
    dead = forked(0.0)
    found = measure_csc(RelevanceChain(dead, FORKED, "gradient")).dataset
    assert found["dead_fraction"].values[0, 0, -1] == 0.5
    assert bool((explain(dead, FORKED, "gradient", 0)[0] == 0).all())
    predict_csc(RelevanceChain(dead, FORKED, "gradient"))
    class_sensitivity(dead, FORKED, "gradient")


@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "gradient", "guided-backprop", "input-x-gradient"])
def test_masks_of_zeros_are_no_underflow(method):
    x = images()
    x[:, :, :2] = 0
    graph = deep(3, 1.0)
    measure_csc(RelevanceChain(graph, x, method))
    explain(graph, x, method)


def test_next_to_nothing_beside_a_map_costs_the_map_nothing_but_its_location():
    x = images()
    x[0, :, 0, 0] = 1e-39
    graph = deep(3, 1.0)
    explain(graph, x, "input-x-gradient")
    with pytest.raises(InputError, match=r"underflows at 'input' in 10 of 720 vectors at a location"):
        measure_csc(RelevanceChain(graph, x, "input-x-gradient"))
    measure_csc(RelevanceChain(graph, x, "input-x-gradient", dtype=torch.float64))


def test_squares_have_half_the_range():
    """Theories that square relevance in its own dtype say so sooner."""
    graph = deep(21, 0.1, bias=True)
    chain, found = RelevanceChain(graph, images(), "gradient"), []
    for squares in (False, True):
        watch = Watch("image", squares=squares)
        watched = chain.watched(watch)
        watched.down(watched.one_hot("logits", [0]), "logits")
        try:
            watch.check()
            found.append("")
        except InputError as error:
            found.append(str(error))
    assert found[0] == ""
    assert "underflows" in found[1]


def test_covectors_are_watched():
    watch = Watch("image")
    chain = RelevanceChain(deep(44, 0.1, bias=True), images(), "gradient").watched(watch)
    chain.up(chain.ones("input"), "input", "logits")
    with pytest.raises(InputError, match="underflows"):
        watch.check()


def test_chains_of_others_are_watched():
    torch.manual_seed(0)
    layers = []
    for _ in range(44):
        layers += [nn.Linear(WIDTH, WIDTH), nn.ReLU()]
        layers[-2].weight.data = 0.1 * torch.linalg.qr(torch.randn(WIDTH, WIDTH)).Q
        nn.init.constant_(layers[-2].bias, 0.5)
    x = torch.rand(2, WIDTH)
    with pytest.raises(InputError, match="underflows"):
        measure_csc(ZennitChain(nn.Sequential(*layers), x), "logits")
    measure_csc(ZennitChain(nn.Sequential(*layers).double(), x.double()), "logits")

    def vjp(v: Tensor) -> dict[str, Tensor]:
        return {"input": 1e-39 * v}

    shapes = {"input": (4,), "logits": (4,)}
    with pytest.raises(InputError, match="underflows at 'input' in 20 of 20"):
        measure_csc(VjpChain({"logits": vjp}, shapes, 2), "logits")
    with pytest.raises(InputError, match="underflows"):
        Attribution(deep(44, 0.1, bias=True), "gradient").attribute(images())


def test_the_bundled_network_raises_no_alarm():
    network = networks.load("cifar10_cnn")
    photographs = networks.bundled_images(network, limit=2).tensor
    for method in ("lrp-alpha1beta0", "gradient", "rectgrad", "deeplift-rescale"):
        measure_csc(RelevanceChain(network, photographs, method), vectors=4)
        assert np.isfinite(explain(network, photographs, method).numpy()).all()


@pytest.fixture
def no_collector():
    """Nothing looks for circles of objects."""
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def test_chain_and_watch_go_with_their_last_user(no_collector):
    watch = Watch()
    watched = RelevanceChain(deep(1, 1.0), images()).watched(watch)
    starts = {"logits": torch.ones(len(watched), 1, *watched.shape("logits"), dtype=watched.dtype)}
    assert list(watched.sweep(starts))
    ends = weakref.ref(watched), weakref.ref(watch)
    watch.check()
    del watched, watch
    assert [end() for end in ends] == [None, None]


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"smoothgrad"}))
def test_no_command_leaves_activations_in_circles(command, no_collector):
    """They would stay until Python looks for such: gigabytes of a cascade of ResNet-50's."""
    graph = deep(2, 1.0)
    COMMANDS[command](graph, torch.float32)
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    assert not [found for found in gc.garbage if isinstance(found, RelevanceChain)]
