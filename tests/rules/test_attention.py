"""Attention: maps as dense matrices, CP-LRP and AttnLRP as gradients of networks with constants in them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from conetheory.chain.relevance import RelevanceChain
from conetheory.networks import trace
from conetheory.networks.attention import MatMul, Mixing, Softmax, View
from conetheory.networks.ops import negative, positive, whole
from conetheory.rules.attnlrp import AttnLrp
from conetheory.rules.bilinear import Bilinear, Branch, RankOne
from conetheory.rules.gradient import Gradient
from conetheory.rules.registry import get_method
from tests.networks.toys import random_images, seeded
from tests.rules.dense import down, up
from tests.toys import SHAPE, Block, chain, graph, images

HEADS, T, S, D = 2, 3, 4, 2
# weights (heads, T, S) and values of channels (heads, D) at S tokens, as the graph has them
A, V, Y = (HEADS, T, S), (HEADS * D, 1, S), (HEADS * D, 1, T)
VIEWS = (View(A, (0, 1, 2)), View((HEADS, D, S), (0, 2, 1)), View((HEADS, D, T), (0, 2, 1)))
ATTENTION = MatMul(0, VIEWS, (A, V, Y))
SIZE = HEADS * D * T


def factors() -> tuple[Tensor, Tensor]:
    return random_images(1, *A), random_images(1, *V, seed=2)


def jacobian(function, *xs: Tensor) -> Tensor:
    """(inputs, outputs)."""
    found = torch.autograd.functional.jacobian(function, xs)
    return torch.cat([j.reshape(-1, x.numel()).T for j, x in zip(found, xs, strict=True)])


def test_a_product_is_that_of_each_head():
    weights, values = factors()
    v = values.view(HEADS, D, S)
    expected = torch.einsum("hts,hds->hdt", weights[0], v).reshape(1, *Y)
    torch.testing.assert_close(ATTENTION.forward(weights, values), expected)


def test_a_product_by_its_jacobian():
    xs = factors()
    local = Gradient().matmul(ATTENTION, xs, ATTENTION.forward(*xs))
    M = jacobian(ATTENTION.forward, *xs)
    torch.testing.assert_close(down(local, Y), M)
    torch.testing.assert_close(up(local, [A, V]), M)
    torch.testing.assert_close(down(local.squared(), Y), M**2)
    assert torch.equal(down(local.pattern(), Y).double(), (M != 0).double())


@pytest.mark.parametrize("gate", [0, 1])
def test_a_constant_factor_makes_a_linear_map(gate):
    """Its parts, its transpose, two images of different weights, vectors one behind the other."""
    op, shapes = MatMul(gate, VIEWS, (A, V, Y)), (A, V)
    xs = [torch.cat([x, -2 * x.flip(-1)]) for x in factors()]
    held, shape = op.held(xs), shapes[1 - gate]
    assert isinstance(held, Mixing)
    torch.testing.assert_close(held.forward(xs[1 - gate]), op.forward(*xs))
    for part in (whole, positive, negative):
        of = [part(x) if i == gate else x for i, x in enumerate(xs)]
        h = random_images(2, 3, *shape, seed=4)
        for image in range(2):
            alone = [x[image : image + 1].expand(3, *x.shape[1:]) for x in of]
            alone[1 - gate] = h[image]
            raised = held.linear([h.flatten(0, 1)], part).unflatten(0, (2, 3))[image]
            torch.testing.assert_close(raised, op.forward(*alone))
        r, share = random_images(2, 3, *Y, seed=5), random_images(2, 1, *Y, seed=6)
        (below,) = held.transpose(r, [(share, part)], [shape])
        left = (below * h).flatten(2).sum(2)
        right = (r * share * held.linear([h.flatten(0, 1)], part).unflatten(0, (2, 3))).flatten(2).sum(2)
        torch.testing.assert_close(left, right)


def test_weights_are_constants_by_default():
    """z+ at `y = A v` is that of a dense layer of weights A; nothing comes down to A, and sums are kept."""
    weights, values = factors()
    weights = weights.softmax(-1)
    xs = (weights, values)
    for method in ("lrp-zplus", "lrp-0", "lrp-gamma", "lrp-alpha2beta1", "excitation-bp"):
        rule = get_method(method).layerwise
        local = rule.matmul(ATTENTION, xs, ATTENTION.forward(*xs))
        assert isinstance(local, Branch)
        M = down(local, Y)
        assert not M[: HEADS * T * S].any()
        torch.testing.assert_close(up(local, [A, V]), M)
        torch.testing.assert_close(down(local.squared(), Y), M**2)
        assert bool((down(local.pattern(), Y)[M != 0] > 0).all())
    W = jacobian(lambda v: ATTENTION.forward(weights, v), values).T  # (outputs, inputs)
    c = (W * values.flatten()).clamp(min=0)
    zplus = get_method("lrp-zplus").layerwise.matmul(ATTENTION, xs, ATTENTION.forward(*xs))
    z = c.sum(1, keepdim=True)
    torch.testing.assert_close(down(zplus, Y)[HEADS * T * S :], torch.where(z > 0, c / z, 0.0).T)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_softmax_by_its_jacobian(axis):
    order = (*(i for i in range(3) if i != axis), axis)
    op, x = Softmax(View(A, order)), random_images(1, *A)
    y = op.forward(x)
    torch.testing.assert_close(y, x.softmax(axis + 1))
    local, M = RankOne.jacobian(op, y), jacobian(op.forward, x)
    torch.testing.assert_close(down(local, A), M)
    torch.testing.assert_close(up(local, [A]), M)
    torch.testing.assert_close(down(local.squared(), A), M**2)


def test_attnlrp_at_a_softmax_and_a_product():
    """R_i = x_i (R_i - s_i sum R), and half of each contribution to each factor."""
    op, x = Softmax(View(A, (0, 1, 2))), random_images(1, *A)
    rule, s = AttnLrp(epsilon=0.0), random_images(1, *A).softmax(-1)
    local, r = rule.softmax(op, x, s), random_images(1, 2, *A, seed=3)
    expected = x.unsqueeze(1) * (r - s.unsqueeze(1) * r.sum(-1, keepdim=True))
    torch.testing.assert_close(local.down(r)[0], expected)
    torch.testing.assert_close(up(local, [A]), down(local, A))
    masked = torch.where(torch.arange(S) > 1, -torch.inf, x)
    (found,) = rule.softmax(op, masked, op.forward(masked)).down(r)
    assert bool(found.isfinite().all())
    assert not found[..., 2:].any()
    xs = factors()
    product = rule.matmul(ATTENTION, xs, ATTENTION.forward(*xs))
    assert isinstance(product, Bilinear)
    M, J = down(product, Y), jacobian(ATTENTION.forward, *xs)
    contributions = torch.cat([x.flatten() for x in xs])[:, None] * J / ATTENTION.forward(*xs).flatten() / 2
    torch.testing.assert_close(M, contributions)
    torch.testing.assert_close(M.sum(0), torch.ones(SIZE, dtype=torch.float64))
    torch.testing.assert_close(up(product, [A, V]), M)
    torch.testing.assert_close(down(product.squared(), Y), M**2)


# ---------------------------------------------------------------- whole networks


def constant(value: Tensor) -> Tensor:
    return value.detach()


class Constants(Block):
    """The transformer with constants where a method has them: its gradient times the image is the method."""

    halves = False

    def normed(self, norm, t: Tensor) -> Tensor:
        if self.halves:
            return t * constant(norm(t) / t)
        c = t - t.mean(-1, keepdim=True)
        return c * constant((c.square().mean(-1, keepdim=True) + norm.eps).rsqrt()) * norm.weight + norm.bias

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        return (a @ constant(b) + constant(a) @ b) / 2 if self.halves else constant(a) @ b

    def forward(self, x: Tensor) -> Tensor:
        t = self.patches(x).flatten(2).transpose(1, 2)
        t = torch.cat([self.token.expand(len(x), -1, -1), t], 1) + self.places
        t = t + self.out(self.attention(self.normed(self.before, t)))
        inner = self.up(self.normed(self.behind, t))
        t = t + self.down(inner * constant(functional.gelu(inner) / inner))
        return self.head(t[:, 0])

    def attention(self, t: Tensor) -> Tensor:
        q, k, v = self.qkv(t).reshape(len(t), -1, 3, 2, 2).permute(2, 0, 3, 1, 4).unbind(0)
        scores = self.product(q, k.transpose(-2, -1)) * 2**-0.5 + self.scores
        return self.product(scores.softmax(-1), v).transpose(1, 2).flatten(2)


class Halves(Constants):
    halves = True


@pytest.mark.parametrize(("method", "model"), [("cp-lrp", Constants), ("attnlrp", Halves)])
def test_it_is_the_image_times_the_gradient_of_a_network_with_constants(method, model):
    own, x = seeded(Block), random_images(2, *SHAPE)
    other = seeded(model)
    for parameter in own.parameters():  # norms that do something
        with torch.no_grad():
            parameter.add_(0.1 * random_images(*parameter.shape, seed=parameter.numel()))
    other.load_state_dict(own.state_dict())
    point = x.clone().requires_grad_()
    logits = other(point)
    torch.testing.assert_close(logits, own(x))
    v = random_images(2, 1, 3, seed=3)
    (expected,) = torch.autograd.grad(logits, point, v[:, 0])
    found = RelevanceChain(trace(own, SHAPE), x, method, parameters={"epsilon": 0.0})
    relevance = found.down(v * logits.detach()[:, None], "logits")[:, 0]
    torch.testing.assert_close(relevance, x * expected, rtol=1e-9, atol=1e-12)


def test_rescale_is_complete_through_attention():
    """Contributions sum to f(x) - f(x0), with masked scores too."""
    from tests.networks.toys import BODIES

    for model, shape in ((seeded(Block), SHAPE), (seeded(BODIES["causal attention"]), (3, 6, 6))):
        x, x0 = random_images(2, *shape), random_images(1, *shape, seed=9)
        found = RelevanceChain(trace(model, shape), x, "deeplift-rescale", parameters={"reference": x0})
        v = torch.eye(found.graph.classes, dtype=torch.float64).expand(2, -1, -1)
        total = found.down(v, "logits").flatten(2).sum(2)
        torch.testing.assert_close(total, (model(x) - model(x0)).detach(), rtol=1e-9, atol=1e-11)


def test_what_becomes_weights_has_no_row():
    """Scores and weights are numbers of pairs of tokens: no channels to compare."""
    for name in ("attention of rectified tokens", "transformer"):
        found = graph(name)
        assert len(found.weights) >= 2
        assert not found.weights.intersection(found.layers)
        assert all(len(found.shape(layer)) in (1, 3) for layer in found.layers)
        kinds = {type(found.nodes[n].op) for n in found.weights}
        assert {MatMul, Softmax} <= kinds


def test_no_certificate_for_every_image_speaks_of_attention():
    from conetheory.certify.blocks import check_form
    from conetheory.theory.records import NotApplicable

    refused = check_form(chain("attention of rectified tokens"))
    assert isinstance(refused, NotApplicable)
    assert "the weights of attention at" in str(refused)
    assert check_form(chain("conv same")) is None


def test_nothing_comes_down_to_queries_and_keys_by_default():
    found = chain("transformer", "lrp-zplus")
    ones = torch.ones(2, 1, 3, dtype=torch.float64)
    weights = found.graph.weights
    for layer, parts in found.sweep({"logits": ones}):
        assert not (layer in weights and parts["logits"].any())
    assert bool(parts["logits"].any())
    assert found.logits.shape == (len(images()), 3)
