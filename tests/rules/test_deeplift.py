"""DeepLIFT against its formulas on dense matrices, captum, the deeplift package's cases, and completeness."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.networks.graph import INPUT, Graph
from conetheory.networks.ops import Affine, AvgPool2d, Concat, LinearOp, MaxPool2d, PassThrough
from conetheory.rules.differences import secant
from conetheory.rules.maps import Diagonal
from conetheory.rules.registry import get_method
from conetheory.saliency.explain import explain
from tests.networks.toys import random_images, seeded
from tests.rules.test_alphabeta import dense_weights, winners
from tests.toys import SHAPE, TOYS, conv, graph, images

METHODS = ("deeplift-rescale", "deeplift-revealcancel", "deeplift-ablation")
KINDS = {
    "rescale": ("deeplift-rescale", {}),
    "revealcancel": ("deeplift-revealcancel", {}),
    "ablation": ("deeplift-ablation", {}),
    "shared": ("deeplift-ablation", {"chains": "shared"}),
}
REFERENCE = random_images(*SHAPE, seed=9)


def open_chain(net: nn.Module, x, method: str, **options) -> RelevanceChain:
    x = torch.as_tensor(x, dtype=torch.float64)
    return RelevanceChain(trace(net.double().eval(), tuple(x.shape[1:])), x, method, **options)


def every_output(chain: RelevanceChain) -> torch.Tensor:
    return chain.one_hot("logits", range(chain.logits[0].numel()))


def layer(weights, bias) -> nn.Linear:
    found = nn.Linear(len(weights[0]), len(weights))
    with torch.no_grad():
        found.weight.copy_(torch.tensor(weights))
        found.bias.copy_(torch.tensor(bias))
    return found


# ---------------------------------------------------------------- the textbook


FLIPPED = "batch norm of its own, some scales negative"


@cache
def network(toy: str) -> Graph:
    if toy != FLIPPED:
        return graph(toy)
    net = seeded(TOYS["batch norm of its own"])
    with torch.no_grad():
        net[2].weight[::2] *= -1
    return trace(net, SHAPE)


@cache
def matrix(toy: str, name: str) -> np.ndarray:
    node, xs, _ = next(step for step in network(toy).run(images()) if step[0].name == name)
    return dense_weights(node, xs)[0]


def slope(op: PassThrough, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The secant of an activation, unit by unit; the ReLUs of the toys have derivative 0 at 0."""
    f = lambda t: op.function(torch.from_numpy(t)).numpy()  # noqa: E731
    return np.array(
        [
            (fb - fa) / (tb - ta) if tb != ta else float(tb > 0)
            for fa, fb, ta, tb in zip(f(a), f(b), a, b, strict=True)
        ]
    )


class Textbook:
    """Components up and multipliers down on flat vectors of one image, by the formulas of the two papers."""

    def __init__(self, toy: str, kind: str, x: torch.Tensor, x0: torch.Tensor) -> None:
        self.toy, self.kind, self.graph = toy, kind, network(toy)
        self.steps = list(self.graph.run(torch.stack([x, x0])))
        self.value = {INPUT: self._flat(torch.stack([x, x0]))}
        self.value |= {node.name: self._flat(y) for node, _, y in self.steps}
        self.delta = {name: a - b for name, (a, b) in self.value.items()}
        self.parts = {INPUT: self._by_sign(INPUT)}
        for node, xs, _ in self.steps:
            self.parts[node.name] = self._components(node, xs)

    @staticmethod
    def _flat(t: torch.Tensor) -> np.ndarray:
        return t.flatten(1).numpy()

    def _by_sign(self, name: str) -> list[np.ndarray]:
        return [
            np.where(self.delta[name] > 0, self.delta[name], 0),
            np.where(self.delta[name] < 0, self.delta[name], 0),
        ]

    def _joined(self, node, of) -> np.ndarray:
        return np.concatenate([of[name] for name in node.inputs])

    def _slopes(self, node) -> list[np.ndarray]:
        (name,) = node.inputs
        (x, x0), (plus, minus) = self.value[name], self.parts[name]
        if self.kind != "revealcancel":
            return [slope(node.op, x0, x)] * 2
        return [
            (slope(node.op, x0, x0 + d) + slope(node.op, x0 + e, x0 + e + d)) / 2
            for d, e in ((plus, minus), (minus, plus))
        ]

    def _scale(self, node, xs) -> np.ndarray:
        size = xs[0][0, 0].numel()
        return np.repeat(node.op.scale.numpy(), size)

    def _components(self, node, xs) -> list[np.ndarray]:
        inside = [self.parts[name] for name in node.inputs]
        match node.op:
            case AvgPool2d():
                return [matrix(self.toy, node.name) @ part for part in inside[0]]
            case LinearOp():
                c = matrix(self.toy, node.name) * self._joined(node, self.delta)
                return [np.where(c > 0, c, 0).sum(1), np.where(c < 0, c, 0).sum(1)]
            case MaxPool2d():
                return self._by_sign(node.name)
            case Affine():
                c = self._scale(node, xs) * np.stack(inside[0])
                return [np.where(c > 0, c, 0).sum(0), np.where(c < 0, c, 0).sum(0)]
            case PassThrough(kind="activation"):
                return [s * part for s, part in zip(self._slopes(node), inside[0], strict=True)]
            case Concat():
                return [np.concatenate(parts) for parts in zip(*inside, strict=True)]
        return inside[0]

    def _step(self, node, xs, y, m: list[np.ndarray]) -> list[np.ndarray]:
        """Multipliers (m+, m-) of the output, each (units, vectors), to those of all inputs together."""
        d, cancelling = self._joined(node, self.delta)[:, None], self.kind == "revealcancel"
        match node.op:
            case LinearOp() if not isinstance(node.op, AvgPool2d) and self.kind != "rescale":
                return self._linear(matrix(self.toy, node.name), d, *m)
            case LinearOp():
                return [matrix(self.toy, node.name).T @ part for part in m]
            case MaxPool2d():
                if cancelling:
                    m = self._linear(np.eye(len(m[0])), self.delta[node.name][:, None], *m)
                return [winners(node.op, xs[0][0].numpy(), y[0].numpy()) @ part for part in m]
            case Affine():
                g = self._scale(node, xs)[:, None]
                if cancelling:
                    plus, minus = np.where(g > 0, g, 0), np.where(g < 0, g, 0)
                    return [plus * m[0] + minus * m[1], minus * m[0] + plus * m[1]]
                if self.kind == "ablation":
                    return [(d > 0) * np.maximum(g, 0) * m[0], (d < 0) * np.maximum(g, 0) * m[1]]
                return [g * part for part in m]
            case PassThrough(kind="activation"):
                return [s[:, None] * part for s, part in zip(self._slopes(node), m, strict=True)]
        return m  # concatenation, reshapes, dropout

    def _linear(self, W: np.ndarray, d: np.ndarray, plus: np.ndarray, minus: np.ndarray) -> list[np.ndarray]:
        """The masks of the deeplift package, and what the ablations leave of them."""
        up, down = np.where(W > 0, W, 0).T, np.where(W < 0, W, 0).T
        match self.kind:
            case "ablation":
                return [(d > 0) * (up @ plus), (d < 0) * (up @ minus)]
            case "shared":
                return [
                    (d > 0) * (up @ plus) + (d < 0) * (up @ minus) + (d == 0) * (W.T @ (plus + minus) / 2)
                ] * 2
        rising, falling = up @ plus + down @ minus, down @ plus + up @ minus
        return [(d > 0) * rising + (d < 0) * falling + (d == 0) * (W.T @ (plus + minus) / 2)] * 2

    def multipliers(self) -> dict[str, list[np.ndarray]]:
        """(m+, m-) of every tensor, (units, outputs), from all logits."""
        found = {
            name: [np.zeros((len(d), len(self.delta[self.graph.output])))] * 2
            for name, d in self.delta.items()
        }
        found[self.graph.output] = [np.eye(len(self.delta[self.graph.output]))] * 2
        for node, xs, y in reversed(self.steps):
            sizes = np.cumsum([len(self.delta[name]) for name in node.inputs])[:-1]
            blocks = [np.split(part, sizes) for part in self._step(node, xs, y, found[node.name])]
            for i, name in enumerate(node.inputs):
                found[name] = [held + block[i] for held, block in zip(found[name], blocks, strict=True)]
        return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("toy", [*TOYS, FLIPPED])
def test_the_textbook_at_every_tensor(toy, kind):
    """Multipliers and contributions of two images against different references, from all logits at once."""
    method, options = KINDS[kind]
    x, reference = images(), torch.stack([torch.zeros(SHAPE, dtype=torch.float64), REFERENCE])
    reference[1, :, :2] = x[1, :, :2]  # pixels that do not change
    books = [Textbook(toy, kind, a, b) for a, b in zip(x, reference, strict=True)]
    expected = [(book, book.multipliers()) for book in books]
    for measure in ("multipliers", "contributions"):
        chain = RelevanceChain(network(toy), x, method, reference=reference, measure=measure, **options)
        for name, parts in chain.sweep({"logits": every_output(chain)}):
            for found, (book, m) in zip(parts["logits"].flatten(2).mT.numpy(), expected, strict=True):
                if measure == "multipliers" and name != INPUT:
                    wanted = (m[name][0] + m[name][1]) / 2
                elif kind == "revealcancel":
                    wanted = sum(c[:, None] * part for c, part in zip(book.parts[name], m[name], strict=True))
                else:
                    d = book.delta[name][:, None]
                    amount = kind == "ablation" and measure == "multipliers"
                    wanted = (np.abs(d) if amount else d) * (m[name][0] + m[name][1]) / 2
                np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9 * max(1, np.abs(wanted).max()))


# ---------------------------------------------------------------- completeness and linearity


@pytest.mark.parametrize("method", METHODS[:2])
@pytest.mark.parametrize("toy", [*TOYS, FLIPPED])
def test_contributions_sum_to_the_difference(toy, method):
    for reference in (torch.zeros(SHAPE, dtype=torch.float64), REFERENCE):
        chain = RelevanceChain(network(toy), images(), method, reference=reference, pool="rescale")
        found = chain.down(every_output(chain), "logits").flatten(2).sum(2)
        difference = chain.logits - network(toy).forward(reference[None])
        torch.testing.assert_close(found, difference.flatten(1), rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("toy", TOYS)
def test_adjoints_and_linearity(toy, kind):
    method, options = KINDS[kind]
    measure, pool = [("multipliers", "gradient"), ("contributions", "rescale")][len(toy) % 2]
    chain = RelevanceChain(
        graph(toy), images(), method, measure=measure, pool=pool, reference=REFERENCE, **options
    )
    r = random_images(2, 3, *chain.shape("logits"), seed=3)
    for stop in (INPUT, chain.layers[1]):
        h = random_images(2, 3, *chain.shape(stop), seed=4)
        below = (chain.down(r, "logits", stop) * h).flatten(2).sum(2)
        above = (chain.up(h, stop, "logits") * r).flatten(2).sum(2)
        torch.testing.assert_close(below, above, rtol=1e-10, atol=1e-10)
    total = chain.down(r[:, :1] + 2 * r[:, 1:2], "logits")
    apart = chain.down(r, "logits")
    torch.testing.assert_close(total, apart[:, :1] + 2 * apart[:, 1:2], rtol=1e-10, atol=1e-10)


# ---------------------------------------------------------------- captum

ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.ELU, nn.LeakyReLU)


def captum_net(activation: type[nn.Module]) -> nn.Module:
    """What captum 0.9 gets right: no module twice, and no activation right before or behind a max pool.

    Where a max pool stands right behind an activation, its contributions do not sum to the difference.
    """
    layers = [conv(2, 4), nn.MaxPool2d(2), conv(4, 5), activation(), conv(5, 5), nn.AvgPool2d(3, 3)]
    return nn.Sequential(*layers, activation(), nn.Flatten(), nn.Linear(5, 6), activation(), nn.Linear(6, 4))


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks", "ignore:Input Tensor")
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_captum_rescale(activation):
    DeepLift = pytest.importorskip("captum.attr").DeepLift
    net, x = seeded(lambda: captum_net(activation)), random_images(3, *SHAPE)
    for reference in (torch.zeros_like(x), random_images(3, *SHAPE, seed=5)):
        chain = open_chain(net, x, "deeplift-rescale", reference=reference, pool="rescale")
        ours = chain.down(every_output(chain), "logits")
        for output in range(4):
            theirs = DeepLift(net, eps=1e-12).attribute(x, reference, target=output)
            torch.testing.assert_close(ours[:, output], theirs, rtol=1e-9, atol=1e-11)


# ---------------------------------------------------------------- published cases

W = [[1.0, 2.0, 3.0, 4.0], [-1.0, -2.0, -3.0, -4.0]]
ONES_AND_TWOS = torch.tensor([[1.0] * 4, [2.0] * 4])


def test_the_packages_dense_relu():
    """deeplift tests/layers/test_activation.py: scale factors 9/10, 19/20 and 1/10, 1/20."""
    net = nn.Sequential(layer(W, [-1.0, 1.0]), nn.ReLU())
    chain = open_chain(net, ONES_AND_TWOS, "deeplift-rescale")
    m = chain.down(every_output(chain), "logits") / chain.images.unsqueeze(1)
    factors = torch.tensor([[0.9, 0.1], [0.95, 0.05]], dtype=torch.float64)
    expected = factors.unsqueeze(2) * torch.tensor(W, dtype=torch.float64)
    torch.testing.assert_close(m, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("method", METHODS[:2])
def test_the_packages_max_pool(method):
    """tests/layers/test_pool2d.py: 2 x 2 windows at stride 1, a dense layer of weights 2 and 3 by channel."""
    reference = (
        torch.tensor([[[0, 0, 2, 3], [0, 1, 0, 0], [0, 5, 4, 0], [6, 0, 7, 8]]]).repeat(2, 1, 1).double()
    )
    reference[1] += 1
    x = torch.tensor(
        [[[2, 0, 2, 3], [0, 1, 4, 0], [7, 6, 5, 0], [6, 0, 8, 9]], reference[0].tolist()]
    ).double()
    net = nn.Sequential(nn.MaxPool2d(2, 1), nn.Flatten(), layer([[2.0] * 9 + [3.0] * 9], [1.0]))
    # away from the reference everywhere, with the same winners, so that multipliers can be told
    chain = open_chain(net, x[None], method, reference=reference - 100)
    m = chain.down(every_output(chain), "logits")[0, 0] / (x - reference + 100)
    first = torch.tensor([[1, 0, 0, 0], [0, 0, 2, 0], [2, 1, 1, 0], [0, 0, 1, 1]]) * 2.0
    second = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 0], [0, 2, 1, 0], [1, 0, 1, 1]]) * 3.0
    torch.testing.assert_close(m, torch.stack([first, second]).double(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("method", METHODS[:2])
def test_the_packages_convolution(method):
    """tests/layers/test_conv2d.py: kernels 0..7 and their negatives, a dense layer of 1 and -1."""
    kernel = nn.Conv2d(2, 2, 2)
    with torch.no_grad():
        kernel.weight.copy_(torch.stack([torch.arange(8.0), -torch.arange(8.0)]).view(2, 2, 2, 2))
        kernel.bias.copy_(torch.tensor([-1.0, 1.0]))
    x = torch.arange(1.0, 65).view(2, 2, 4, 4)  # from one, so that every pixel differs from the reference
    net = nn.Sequential(kernel, nn.Flatten(), layer([[1.0] * 9 + [-1.0] * 9], [1.0]))
    chain = open_chain(net, x, method)
    m = chain.down(every_output(chain), "logits")[:, 0] / chain.images
    first = [[0, 2, 2, 2], [4, 12, 12, 8], [4, 12, 12, 8], [4, 10, 10, 6]]
    second = [[8, 18, 18, 10], [20, 44, 44, 24], [20, 44, 44, 24], [12, 26, 26, 14]]
    torch.testing.assert_close(m, torch.tensor([[first, second]] * 2).double(), rtol=1e-12, atol=1e-12)


class Minimum(nn.Module):
    """min(i1, i2) = i1 - ReLU(i1 - i2)."""

    def __init__(self) -> None:
        super().__init__()
        self.difference = layer([[1.0, -1.0]], [0.0])
        self.last = layer([[1.0, 0.0, -1.0]], [0.0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.cat([x, self.difference(x).relu()], 1))


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_the_minimum_is_shared_equally(i1, i2):
    """Section 3.4 of the paper: each input contributes half of the minimum, all of it under Rescale."""
    x = torch.tensor([[i1, i2]])
    half = explain(trace(Minimum().double(), (2,)), x.double(), "deeplift-revealcancel")[0, 0].tolist()
    assert half == pytest.approx([min(x[0].tolist()) / 2] * 2, rel=1e-6)
    if abs(i1 - i2) > 1e-3:
        whole = explain(trace(Minimum().double(), (2,)), x.double(), "deeplift-rescale")[0, 0].tolist()
        expected = [i1, 0] if i1 < i2 else [0, i2]
        assert whole == pytest.approx(expected, rel=1e-6, abs=1e-9 * max(i1, i2))


@pytest.mark.parametrize("method", METHODS[:2])
def test_saturation(method):
    """Fig. 1 of the paper, y = 1 - ReLU(1 - i1 - i2): at (1, 1) the gradient is 0, contributions 1/2."""
    net = nn.Sequential(layer([[-1.0, -1.0]], [1.0]), nn.ReLU(), layer([[-1.0]], [1.0]))
    chain = open_chain(net, torch.ones(1, 2), method)
    assert chain.down(every_output(chain), "logits")[0, 0].tolist() == [0.5, 0.5]
    assert RelevanceChain(chain.graph, chain.images, "gradient").columns("logits", [0]).abs().max() == 0


# ---------------------------------------------------------------- the ablation


def assert_decoupled(chain: RelevanceChain) -> None:
    """What enters one block stays in it, and what is nonnegative stays so, at every operation."""
    for name, node in chain.graph.nodes.items():
        r = random_images(2, 3, *node.shape, seed=6).abs()
        for block in (0, 1):
            state = torch.cat([r if block == 0 else 0 * r, r if block == 1 else 0 * r], 2)
            for part in chain._maps[name].down(state):
                blocks = part.chunk(2, 2)
                assert not blocks[1 - block].any()
                assert bool((blocks[block] >= 0).all())


@pytest.mark.parametrize("toy", [*TOYS, FLIPPED])
def test_the_blocks_of_the_ablation_never_mix(toy):
    chain = RelevanceChain(network(toy), images(), "deeplift-ablation", reference=REFERENCE)
    assert chain.method.nonnegative
    assert_decoupled(chain)


def test_the_ablation_converges_and_deeplift_does_not():
    """A deep narrow network: each block of the ablation reaches rank one, Rescale and RevealCancel do not."""

    def build() -> nn.Module:
        body = [part for _ in range(12) for part in (nn.Linear(12, 12), nn.ReLU())]
        return nn.Sequential(*body, nn.Linear(12, 12))

    net, x, reference = seeded(build, seed=2), random_images(1, 12), random_images(12, seed=8)
    second = {}
    for kind, (method, options) in KINDS.items():
        chain = open_chain(net, x, method, reference=reference, **options)
        below = chain.layers[1]
        C = chain.as_matrix("logits", below)
        sigma = np.linalg.svd(C, compute_uv=False)
        second[kind] = sigma[1] / sigma[0]
        if kind == "ablation":
            run = chain.graph.run(torch.stack([x[0], reference]))
            image, still = next(y for node, _, y in run if node.name == below).numpy()
            for chosen in (image > still, image < still):  # the units of each chain
                assert chosen.sum() > 1
                block = np.linalg.svd(C[chosen], compute_uv=False)
                assert block[1] < 1e-4 * block[0]
    assert min(second["rescale"], second["revealcancel"]) > 1e-2
    assert second["shared"] < 1e-3


def test_non_monotone_activations_keep_the_ablation_nonnegative():
    net, x = seeded(lambda: captum_net(nn.SiLU)), 9 * random_images(2, *SHAPE)
    assert_decoupled(open_chain(net, x, METHODS[2], reference=9 * REFERENCE))
    rescale = open_chain(net, x, METHODS[0], reference=9 * REFERENCE)
    slopes = [m.scale for m in rescale._maps.values() if isinstance(m, Diagonal)]
    assert any(bool((s < 0).any()) for s in slopes), "else nothing is tested"


# ---------------------------------------------------------------- references


def test_references():
    x = images(3)
    base = RelevanceChain(graph("small vgg"), x, METHODS[1], reference=REFERENCE)
    rows = REFERENCE.expand(3, -1, -1, -1)
    r = every_output(base)
    for same in (REFERENCE[None], rows, rows.float().double()):
        chain = RelevanceChain(graph("small vgg"), x, METHODS[1], reference=same)
        torch.testing.assert_close(chain.down(r, "logits"), base.down(r, "logits"), rtol=1e-5, atol=1e-5)
    mean = RelevanceChain(graph("small vgg"), x, METHODS[1], reference="mean")
    fixed = RelevanceChain(graph("small vgg"), x, METHODS[1], reference=x.mean(0))
    torch.testing.assert_close(mean.down(r, "logits"), fixed.down(r, "logits"))


@pytest.mark.parametrize("reference", ["mean", "rows"])
def test_one_image_of_a_batch_keeps_its_reference(reference):
    x = images(3)
    given_one = random_images(3, *SHAPE, seed=12) if reference == "rows" else "mean"
    chain = RelevanceChain(graph("small vgg"), x, METHODS[0], reference=given_one)
    r = every_output(chain)
    expected = chain.down(r, "logits")[2].flatten(1).mT.numpy()
    np.testing.assert_allclose(chain.as_matrix("logits", image=2), expected, rtol=1e-12, atol=1e-14)


def test_float32_stays_close():
    x = images(2)
    for kind, (method, options) in KINDS.items():
        exact = RelevanceChain(graph("small vgg"), x, method, reference=REFERENCE, **options)
        single = RelevanceChain(
            graph("small vgg"), x, method, dtype=torch.float32, reference=REFERENCE, **options
        )
        r = every_output(exact)
        a, b = exact.down(r, "logits"), single.down(r, "logits").double()
        assert (a - b).norm() < 1e-4 * a.norm(), kind


@given(st.floats(-1e3, 1e3, width=32), st.floats(-1e3, 1e3, width=32), st.sampled_from(["relu", "tanh"]))
def test_secants_are_between_the_slopes(a, b, name):
    """In float32, however near the two points."""
    op = PassThrough(getattr(torch, name), "activation")
    found = secant(op, torch.tensor([a]), torch.tensor([b]))
    assert -1e-6 <= float(found) <= 1 + 1e-3
    if a == b:
        assert float(found) == pytest.approx(
            float(a > 0) if name == "relu" else 1 - np.tanh(a) ** 2, abs=1e-6
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reference": "black"}, "reference must be zeros, mean or a tensor"),
        ({"measure": "relevance"}, "measure must be"),
        ({"pool": "all"}, "pool must be"),
        ({"reference": torch.zeros(3, 6, 7)}, "the reference is"),
        ({"reference": torch.zeros(5, *SHAPE)}, "the reference is"),
        ({"reference": torch.full(SHAPE, torch.nan)}, "NaN"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_parameters_out_of_range_are_refused(method, options, message):
    with pytest.raises(InputError, match=message):
        RelevanceChain(graph("small vgg"), images(), method, **options)


def test_more_refusals():
    with pytest.raises(InputError, match="chains must be"):
        get_method("deeplift-ablation", chains="three")
    with pytest.raises(InputError, match="mean of one image"):
        RelevanceChain(graph("small vgg"), images(1), "deeplift-rescale", reference="mean")
    assert not get_method("deeplift-ablation", measure="contributions").nonnegative
    assert not get_method("deeplift-ablation", chains="shared").nonnegative
    assert [get_method(m).nonnegative for m in METHODS] == [False, False, True]
    assert all(get_method(m).linear for m in METHODS)
