"""Patterns against loops over patches; PatternNet and PatternAttribution against dense matrices; float64."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks import load, trace
from conetheory.networks.ops import Conv2d, Linear, LinearOp
from conetheory.rules.fitted_patterns import Patterns, fit_patterns, weighted
from experiments import fit_patterns as experiment
from tests.networks.toys import random_images, seeded
from tests.rules.textbook import dense_weights
from tests.toys import SHAPE, graph, images

RULES = ("pattern-net", "pattern-attribution")
KINDS = list(itertools.product(("two-component", "linear"), ("none", "input")))
FITTED = (
    "conv same",
    "conv stride with a remainder",
    "conv dilation",
    "conv groups with stride",
    "conv depthwise",
    "conv no bias",
    "batch norm folded",
    "hidden linear",
)
SENT = ("small vgg", "nested branches", "module twice", "dense block", "conv groups", "average pool padded")


def patches(op: LinearOp, x: np.ndarray, y: np.ndarray):
    """(unit, patch, y) of one image: what each unit sees at each place, in the shape of its weights."""
    W = op.weight.numpy()
    bias = np.zeros(len(W)) if op.bias is None else op.bias.numpy()
    if isinstance(op, Linear):
        for unit in range(len(W)):
            yield unit, x, y[unit] - bias[unit]
        return
    padded = np.pad(x, ((0, 0), (op.padding[0],) * 2, (op.padding[1],) * 2))
    per_group = len(W) // op.groups
    for unit, i, j in np.ndindex(*y.shape):
        first = unit // per_group * W.shape[1]
        patch = np.zeros(W.shape[1:])
        for c, k, m in np.ndindex(*W.shape[1:]):
            row, column = i * op.stride[0] + k * op.dilation[0], j * op.stride[1] + m * op.dilation[1]
            patch[c, k, m] = padded[first + c, row, column]
        yield unit, patch, y[unit, i, j] - bias[unit]


def textbook(op: LinearOp, xs: np.ndarray, ys: np.ndarray, estimator: str, bias: str) -> np.ndarray:
    """The formula, unit by unit."""
    W, A = op.weight.numpy(), np.zeros(op.weight.shape)
    seen = [triple for x, y in zip(xs, ys, strict=True) for triple in patches(op, x, y)]
    for unit, w in enumerate(W):
        b = 0.0 if op.bias is None else float(op.bias[unit])
        pairs = [(patch, y) for u, patch, y in seen if u == unit]
        active = [(patch, y) for patch, y in pairs if estimator == "linear" or y + b > 0]
        if not active:
            continue
        shift = b if bias == "input" else 0.0
        mean_y = np.mean([y + shift for _, y in pairs])
        covariance = np.mean([patch * (y + shift) for patch, y in active], 0)
        covariance -= np.mean([patch for patch, _ in active], 0) * mean_y
        of_one = np.mean([y + shift for _, y in active]) - mean_y  # the same of an input that is always 1
        A[unit] = covariance / ((w * covariance).sum() + shift * of_one)
    return A


@pytest.mark.parametrize(("estimator", "bias"), KINDS)
@pytest.mark.parametrize("toy", FITTED)
def test_patterns_are_the_formula_over_patches(toy, estimator, bias):
    net, x = graph(toy), images(5)
    found = fit_patterns(net, x, batch=2, estimator=estimator, bias=bias)
    assert set(found.patterns) == set(weighted(net))
    for node, xs, y in net.run(x):
        if node.name in found.patterns:
            expected = textbook(node.op, xs[0].numpy(), y.numpy(), estimator, bias)
            A = found.patterns[node.name].numpy()
            np.testing.assert_allclose(A, expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max())


def test_the_loops_see_what_the_layer_sees():
    for toy in FITTED:
        for node, xs, y in graph(toy).run(images(1)):
            if isinstance(node.op, Conv2d | Linear):
                W = node.op.weight.numpy()
                for unit, patch, value in patches(node.op, xs[0][0].numpy(), y[0].numpy()):
                    assert (W[unit] * patch).sum() == pytest.approx(value, rel=1e-10, abs=1e-12)


def pattern_of_neuron(weights: list[float], b: float, x: torch.Tensor, **options) -> list[float]:
    layer = nn.Linear(len(weights), 1).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([weights]))
        layer.bias.fill_(b)
    (A,) = fit_patterns(trace(layer, (len(weights),)), x, **options).patterns.values()
    return A[0].tolist()


def test_the_pattern_of_a_neuron_is_the_direction_of_the_signal():
    """x = a s + d e with a = (1, 0), d = (1, 1): w = (1, -1) cancels the distractor and w^T a = 1."""
    s, e = torch.tensor([2.0, 2, 2, -1, -1, -1]).double(), torch.tensor([1.0, 0, -1, 1, 0, -1]).double()
    x = torch.stack([s + e, e], 1)
    for estimator in ("linear", "two-component"):
        a = pattern_of_neuron([1.0, -1.0], 0.0, x, estimator=estimator)
        assert a == pytest.approx([1, 0], abs=1e-15)


def test_hand_worked_numbers():
    """x in {(1, 1), (2, 0), (-1, 1)}, w = (1, 0): y = 1, 2, -1, of mean 2/3; active are the first two.

    E+[x y] = (5/2, 1/2), E+[x] = (3/2, 1/2), covariance (3/2, 1/6), a+ = (1, 1/9).
    Linear: E[x y] = (2, 0), E[x] = (2/3, 2/3), covariance (14/9, -4/9), a = (1, -2/7).
    With b = 1 as an input the third is inactive still (y + b = 0), the means of y go up by 1 and the
    denominator by b (E+[y] - E[y]) = 3/2 - 2/3 to 7/3: a+ = (9/14, 1/14).
    """
    x = torch.tensor([[1.0, 1.0], [2.0, 0.0], [-1.0, 1.0]]).double()
    cases = [
        (0.0, "two-component", "none", [1, 1 / 9]),
        (0.0, "linear", "none", [1, -2 / 7]),
        (1.0, "two-component", "none", [1, 1 / 9]),
        (1.0, "two-component", "input", [9 / 14, 1 / 14]),
        (1.0, "linear", "input", [1, -2 / 7]),
    ]
    for b, estimator, bias, expected in cases:
        a = pattern_of_neuron([1.0, 0.0], b, x, estimator=estimator, bias=bias)
        assert a == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(("b", "x"), [(-5.0, [[1.0, 1], [2, 0]]), (0.0, [[2.0, 1], [2, 1]])])
def test_a_unit_that_is_never_active_or_never_varies_has_no_pattern(b, x):
    estimator = "two-component" if b else "linear"
    assert pattern_of_neuron([1.0, 0.0], b, torch.tensor(x).double(), estimator=estimator) == [0, 0]


def test_a_positive_bias_makes_the_denominator_negative_unless_it_is_an_input():
    """y = -3, -2, -7 with b = 5, w = 1: active are -3 and -2; E+[y^2] = 13/2 < E+[y] E[y] = 10."""
    x = torch.tensor([[-3.0], [-2.0], [-7.0]]).double()
    covariance = 13 / 2 - 5 / 2 * 4
    assert covariance < 0
    assert pattern_of_neuron([1.0], 5.0, x) == pytest.approx([1])
    found = pattern_of_neuron([1.0], 5.0, x, bias="input")
    assert found == pytest.approx([covariance / (covariance + 5 * (4 - 5 / 2))])


@pytest.mark.parametrize("estimator", ["two-component", "linear"])
def test_batches_do_not_matter(estimator):
    net, x = graph("small vgg"), images(11)
    whole = fit_patterns(net, x, batch=11, estimator=estimator)
    for batch in (1, 3, 7):
        parts = fit_patterns(net, x, batch=batch, estimator=estimator)
        for name, A in whole.patterns.items():
            torch.testing.assert_close(parts.patterns[name], A, rtol=1e-9, atol=1e-9 * float(A.abs().max()))
        assert parts.made == whole.made
    streamed = fit_patterns(net, iter([x[:4], x[4:]]), estimator=estimator)
    assert streamed.made["images"] == "11"


def test_bad_arguments_are_refused():
    net = graph("small vgg")
    for options, message in (
        ({"estimator": "quadratic"}, "estimator must be two-component or linear, not 'quadratic'"),
        ({"bias": "half"}, "bias must be none or input, not 'half'"),
        ({"batch": 0}, "at least one image"),
    ):
        with pytest.raises(InputError, match=message):
            fit_patterns(net, images(), **options)
    for x in (images()[:, :1], torch.full_like(images(), torch.nan)):
        with pytest.raises(InputError, match=r"images must be finite and \(N, 2, 6, 7\)"):
            fit_patterns(net, x)
    with pytest.raises(InputError, match="there are none"):
        fit_patterns(net, images()[:0])


# ---------------------------------------------------------------- the rules


@pytest.fixture(scope="module", params=SENT)
def fitted(request):
    net = graph(request.param)
    return net, fit_patterns(net, images(6, seed=3))


def dense(net, found: Patterns, method: str, image: int) -> np.ndarray:
    """The matrix from the logits to the input, operation by operation; gates and winners by autograd."""
    size = int(np.prod(net.shape(net.output)))
    held = {net.output: np.eye(size)}
    for node, xs, y in reversed(list(net.run(images()[image : image + 1]))):
        if (r := held.pop(node.name, None)) is None:
            continue
        op = node.op
        if node.name in found.patterns:
            A = found.patterns[node.name]
            op = replace(op, weight=A if method == "pattern-net" else A * op.weight, bias=None)
        if isinstance(op, LinearOp):
            M = dense_weights(replace(node, op=op), xs)[0].T
        else:
            jacobians = torch.autograd.functional.jacobian(op.forward, tuple(xs), vectorize=False)
            M = torch.cat([j.reshape(y.numel(), -1) for j in jacobians], 1).T.numpy()
        first = 0
        for name, x in zip(node.inputs, xs, strict=True):
            part = M[first : first + x.numel()] @ r
            held[name] = held[name] + part if name in held else part
            first += x.numel()
    return held["input"]


@pytest.mark.covering
@pytest.mark.parametrize("method", RULES)
def test_whole_networks_are_the_product_of_dense_matrices(fitted, method):
    net, found = fitted
    chain = RelevanceChain(net, images(), method, parameters={"patterns": found})
    for image in range(2):
        expected = dense(net, found, method, image)
        np.testing.assert_allclose(
            chain.as_matrix("logits", image=image), expected, rtol=1e-9, atol=1e-11 * np.abs(expected).max()
        )


@pytest.mark.parametrize("method", RULES)
def test_linearity_and_the_adjoint(fitted, method):
    net, found = fitted
    chain = RelevanceChain(net, images(), method, parameters={"patterns": found})
    r, s = (random_images(2, 3, *chain.shape("logits"), seed=seed) for seed in (5, 6))
    h = random_images(2, 3, *SHAPE, seed=7)
    down = chain.down(r, "logits")
    torch.testing.assert_close(chain.down(2 * r - s, "logits"), 2 * down - chain.down(s, "logits"))
    inner, outer = (down * h).flatten(2).sum(2), (r * chain.up(h, "input", "logits")).flatten(2).sum(2)
    torch.testing.assert_close(inner, outer)


def test_columns_of_pattern_attribution_sum_to_one_away_from_padding():
    net = graph("conv no padding")
    found = fit_patterns(net, images(20))
    chain = RelevanceChain(net, images(), "pattern-attribution", parameters={"patterns": found})
    name = next(n for n, node in net.nodes.items() if n in found.patterns and node.inputs != ("input",))
    M = chain.as_matrix(name, net.nodes[name].inputs[0])
    sums = M.sum(0).reshape(net.shape(name))
    has_pattern = found.patterns[name].flatten(1).any(1).numpy()
    np.testing.assert_allclose(sums[has_pattern], 1, rtol=1e-9)
    assert has_pattern.any()
    assert not sums[~has_pattern].any()


def test_a_gate_is_that_of_the_gradient():
    net, x = graph("small vgg"), images()
    found = fit_patterns(net, images(6))
    weights = Patterns(found.weights, found.weights, found.made)
    r = random_images(2, 3, 5, seed=5)
    ours = RelevanceChain(net, x, "pattern-net", parameters={"patterns": weights}).down(r, "logits")
    assert torch.equal(ours, RelevanceChain(net, x, "gradient").down(r, "logits"))


# ---------------------------------------------------------------- other weights


def randomised():
    net = graph("small vgg")
    name = next(iter(weighted(net)))
    node = net.nodes[name]
    changed = replace(node, op=replace(node.op, weight=node.op.weight.flip(0)))
    return net, replace(net, nodes=net.nodes | {name: changed}), name


def test_patterns_of_other_weights_have_to_be_asked_for():
    net, other, name = randomised()
    found = fit_patterns(net, images(6))
    for method in RULES:
        with pytest.raises(InputError, match=f"fitted to other weights of layer '{name}'.*stale='patterns'"):
            RelevanceChain(other, images(), method, parameters={"patterns": found})

    def lowest(method: str, **options) -> np.ndarray:
        chain = RelevanceChain(other, images(), method, parameters={"patterns": found, **options})
        return chain.as_matrix(name, "input")

    A, trained, current = found.patterns[name], net.nodes[name].op.weight, other.nodes[name].op.weight
    blank = torch.zeros(1, *SHAPE, dtype=torch.float64)

    def matrix(weight: torch.Tensor) -> np.ndarray:
        node = other.nodes[name]
        return dense_weights(replace(node, op=replace(node.op, weight=weight, bias=None)), [blank])[0].T

    np.testing.assert_allclose(
        lowest("pattern-attribution", stale="patterns"), matrix(A * current), atol=1e-12
    )
    np.testing.assert_allclose(
        lowest("pattern-attribution", stale="products"), matrix(A * trained), atol=1e-12
    )
    for stale in ("patterns", "products"):
        np.testing.assert_allclose(lowest("pattern-net", stale=stale), matrix(A), atol=1e-12)
    refitted = fit_patterns(other, images(6))
    RelevanceChain(other, images(), "pattern-attribution", parameters={"patterns": refitted})


def test_weights_changed_in_place_are_other_weights():
    model = nn.Sequential(nn.Flatten(), nn.Linear(84, 3)).double()
    net = load(model, input_shape=SHAPE)
    found = fit_patterns(net, images())
    with torch.no_grad():
        model[1].weight.mul_(2)
    with pytest.raises(InputError, match="fitted to other weights"):
        RelevanceChain(net, images(), "pattern-net", parameters={"patterns": found})


# ---------------------------------------------------------------- files


def test_saved_patterns_are_those_loaded(tmp_path):
    model = seeded(
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3))
    ).float()
    net, x = load(model, input_shape=SHAPE), images(9).float()
    found = fit_patterns(net, x, bias="input")
    path = found.save(tmp_path / "new" / "patterns.safetensors")
    again = Patterns.load(path)
    expected = {"network": "Sequential", "images": "9", "estimator": "two-component", "bias": "input"}
    assert again.made == found.made == expected | {"weights_sha256": net.provenance["weights_sha256"]}
    for name, A in found.patterns.items():
        assert torch.equal(again.patterns[name], A)
        assert torch.equal(again.weights[name], net.graph.nodes[name].op.weight)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    r = random_images(9, 2, 3).float()
    by_file, by_object, double = (
        RelevanceChain(net, images, "pattern-attribution", parameters={"patterns": given}).down(r, "logits")
        for images, given in ((x, str(path)), (x, found), (x.double(), path))
    )
    assert torch.equal(by_file, by_object)
    torch.testing.assert_close(by_file.double(), double, rtol=1e-4, atol=1e-5 * float(double.abs().max()))


def test_files_that_do_not_fit_are_refused(tmp_path):
    net = graph("small vgg")
    found = fit_patterns(net, images())
    path = found.save(tmp_path / "good.safetensors")
    tensors, made = load_file(path), {"format": "conetheory patterns 1", **found.made}
    first = next(iter(found.patterns))
    bad = tmp_path / "bad.safetensors"

    bad.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="can't be read"):
        Patterns.load(bad)
    with pytest.raises(InputError, match="can't be read"):
        Patterns.load(tmp_path / "absent.safetensors")
    save_file(tensors, bad)
    with pytest.raises(InputError, match="holds no patterns"):
        Patterns.load(bad)
    save_file({k: v for k, v in tensors.items() if k != f"W.{first}"}, bad, made)
    with pytest.raises(InputError, match="no complete file"):
        Patterns.load(bad)
    save_file(tensors | {f"A.{first}": torch.full_like(tensors[f"A.{first}"], torch.nan)}, bad, made)
    with pytest.raises(InputError, match="NaN"):
        Patterns.load(bad)


def test_patterns_of_another_network_are_refused():
    found = fit_patterns(graph("small vgg"), images())
    with pytest.raises(InputError, match=r"do not fit this network: layer .* in the patterns and"):
        RelevanceChain(graph("nested branches"), images(), "pattern-net", parameters={"patterns": found})


@pytest.mark.parametrize("method", RULES)
def test_without_patterns_one_line_says_how_to_fit_them(method):
    with pytest.raises(InputError, match=r"fit_patterns\(network, images\)"):
        RelevanceChain(graph("small vgg"), images(), method)
    with pytest.raises(InputError, match=r"stale of .* must be refuse, patterns or products"):
        RelevanceChain(graph("small vgg"), images(), method, parameters={"stale": "yes"})


@pytest.mark.slow
def test_the_experiment_fits_a_folder(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(9):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / f"{i}.png")
    made = experiment.main(images=tmp_path, out=tmp_path / "p.safetensors", smoke=True)
    assert made["images"] == "8"
    assert set(made["layers"]) == set(Patterns.load(tmp_path / "p.safetensors").patterns)
    assert made["layers"]["fc6"]["fan"] == 10
    chain = RelevanceChain(
        load("cifar10_cnn"),
        torch.rand(1, 3, 32, 32),
        "pattern-net",
        parameters={"patterns": tmp_path / "p.safetensors"},
    )
    assert chain.down(torch.ones(1, 1, 10), "logits").shape == (1, 1, 3, 32, 32)
