"""The maps of products, norms and selections as dense matrices: Jacobian, adjoint, squares, pattern."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.networks.coupling import Product, Standardise
from conetheory.networks.selection import Selection
from conetheory.rules.couplings import Moved, OneBranch, Standardisation
from conetheory.rules.gradient import Gradient
from tests.networks.toys import random_images, seeded
from tests.rules.dense import down, up
from tests.toys import Toy, conv

X = (4, 2, 3)
SIZE = 24
PRODUCTS = [(X, (4, 1, 1)), ((1, 2, 3), X), (X, X)]


@pytest.mark.parametrize("groups", [None, 1, 2, 4])
def test_a_standardisation_by_its_jacobian(groups):
    x, op = random_images(1, *X), Standardise(groups, 1e-3)
    local = Standardisation.jacobian(op, x)
    M = torch.autograd.functional.jacobian(op.forward, x).view(SIZE, SIZE).T
    torch.testing.assert_close(down(local, X), M, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(up(local, [X]), M, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(down(local.squared(), X), M**2, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("shapes", PRODUCTS)
def test_a_product_by_its_jacobian(shapes):
    xs = [random_images(1, *shape, seed=i) for i, shape in enumerate(shapes)]
    op = Product(gate=0)
    local = Gradient().product(op, xs, op.forward(*xs))
    M = torch.cat([j.view(SIZE, -1).T for j in torch.autograd.functional.jacobian(op.forward, tuple(xs))])
    torch.testing.assert_close(down(local, X), M)
    torch.testing.assert_close(up(local, [*shapes]), M)
    torch.testing.assert_close(down(local.squared(), X), M**2)
    assert torch.equal(down(local.pattern(), X).double(), (M != 0).double())


@pytest.mark.parametrize("branch", [0, 1])
def test_the_branch_gets_all_and_the_gate_nothing(branch):
    shapes = [X, (4, 1, 1)][:: 1 if branch == 0 else -1]
    local = OneBranch(branch, tuple(shapes))
    parts = [torch.zeros(int(torch.tensor(s).prod()), SIZE, dtype=torch.float64) for s in shapes]
    parts[branch] = torch.eye(SIZE, dtype=torch.float64)
    for each in (local, local.squared(), local.pattern(), local.loss()):
        assert torch.equal(down(each, X), torch.cat(parts))
    assert torch.equal(up(local, shapes), torch.cat(parts))


def test_a_selection_sends_back_what_it_took():
    op = Selection(lambda x: functional.pad(x.flip(3), (1, 0, -1, 2))[:, 1:])
    outside = tuple(op.forward(torch.zeros(1, *X)).shape[1:])
    W = torch.autograd.functional.jacobian(op.forward, random_images(1, *X)).view(-1, SIZE)
    local = Moved(op, X)
    for each in (local, local.squared(), local.pattern(), local.loss()):
        assert torch.equal(down(each, outside), W.T)
    assert torch.equal(up(local, [X]), W.T)


@pytest.mark.parametrize(("gate", "number"), [("left", 0), ("right", 1)])
def test_of_two_branches_of_one_shape_the_caller_says_which_is_the_gate(gate, number):
    """x sigmoid(x) by hand: relevance goes to the branch; the gradient is the same for both choices."""
    swish = lambda m, x: m.b((y := m.a(x)) * y.sigmoid()).flatten(1)  # noqa: E731
    model = seeded(lambda: Toy(swish, a=conv(2), b=conv()))
    graph, x = trace(model, (2, 6, 7), gate=gate), random_images(1, 2, 6, 7)
    (product,) = [n for n in graph.nodes.values() if isinstance(n.op, Product)]
    assert product.op.gate == number
    v = random_images(1, 1, graph.classes)
    point = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model(point), point, v[0])
    torch.testing.assert_close(RelevanceChain(graph, x, "gradient").down(v, "logits")[:, 0], expected)
    found = dict(RelevanceChain(graph, x, "lrp-zplus").sweep({"logits": v.abs()}))
    assert bool(found["sigmoid"]["logits"].any()) == (number == 0)
    with pytest.raises(InputError, match="the gate of a product is smaller, left, right, not 'other'"):
        trace(nn.Linear(3, 2), (3,), gate="other")
