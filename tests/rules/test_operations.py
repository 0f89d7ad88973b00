"""Every method at every operation: adjoint, sums and signs where they are claimed, squares, and the table.

A method enters by being registered, an operation by being one of `CASES`.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError, UnsupportedLayerError
from conetheory.networks.graph import INPUT
from conetheory.rules.fitted_patterns import fit_patterns
from conetheory.rules.registry import get_method, methods
from docs.made import site
from docs.made.operations import CASES, graph, image, rows

LINEAR = [m.name for m in methods() if m.backpropagated and m.linear]
FITTED = ("pattern-net", "pattern-attribution")


def opened(method: str, name: str) -> RelevanceChain:
    pair = torch.cat([image(name), -image(name).flip(1)])
    try:
        parameters = {"patterns": fit_patterns(graph(name), pair)} if method in FITTED else {}
        return RelevanceChain(graph(name), image(name), method, parameters=parameters)
    except (InputError, UnsupportedLayerError) as error:
        reason = str(error)
    assert len(reason.splitlines()) == 1
    pytest.skip(reason)


def matrix(found: RelevanceChain) -> Tensor:
    """M (inputs, outputs), from one-hot relevance."""
    shape = found.shape(found.graph.output)
    size = math.prod(shape)
    eye = torch.eye(size, dtype=torch.float64).view(1, size, *shape)
    return found.down(eye, found.graph.output).flatten(2)[0].T


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", LINEAR)
def test_the_matrix_of_an_operation(method, name):
    found = opened(method, name)
    M = matrix(found)
    assert bool(torch.isfinite(M).all())
    shape = found.shape(INPUT)
    eye = torch.eye(math.prod(shape), dtype=torch.float64).view(1, -1, *shape)
    up = found.up(eye, INPUT, found.graph.output).flatten(2)[0]
    scale = float(M.abs().max())
    assert float((up - M).abs().max()) <= 1e-12 * scale
    rule = found.method.layerwise
    if rule.is_nonnegative:
        assert float(M.min()) >= 0
    if rule.is_sum_preserving:  # a pool that is empty loses its share, alpha or -beta
        lost = {0.0, 1.0, getattr(rule, "alpha", 1.0), -getattr(rule, "beta", 0.0)}
        off = torch.stack([(M.sum(0) - s).abs() for s in lost]).amin(0)
        assert float(off.max()) <= 1e-9 * (1 + float(M.abs().sum(0).max()))
    try:
        squares = [local.squared() for _, local in found.crossed(found.graph.output)]
    except NotImplementedError:
        return
    if len(squares) == 1 and not found.carries_state:
        outside = found.shape(found.graph.output)
        hot = torch.eye(M.shape[1], dtype=torch.float64).view(1, -1, *outside)
        S = torch.cat([part.flatten(2)[0] for part in squares[0].down(hot)], 1).T
        if S.shape == M.shape:
            assert float((S - M**2).abs().max()) <= 1e-11 * scale**2


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_the_jacobian(name):
    graph_, x = graph(name), image(name)
    with torch.inference_mode(False), torch.enable_grad():
        point = x.clone()

        def forward(t: Tensor) -> Tensor:
            return next(y for node, _, y in graph_.run(t) if node.name == graph_.output)

        J = torch.autograd.functional.jacobian(forward, point)
    M = matrix(RelevanceChain(graph_, x, "gradient"))
    torch.testing.assert_close(M, J.reshape(M.shape[1], M.shape[0]).T, rtol=1e-11, atol=1e-13)


def test_the_table_says_what_each_does():
    """Of every method at every operation; what is the literature's choice is in it."""
    found: dict[str, dict[str, str]] = {}
    for cells, names in rows().items():
        found |= {name: dict(zip(CASES, cells, strict=True)) for name in names}
    assert set(found) == {m.name for m in methods() if m.backpropagated}
    assert found["lrp-alpha1beta0"]["weights times values"] == "constant weights"
    assert found["cp-lrp"]["weights times values"] == "constant weights"
    assert found["attnlrp"]["weights times values"] == "half to each"
    assert found["gradient"]["weights times values"] == "Jacobian"
    assert found["lrp-alpha1beta0"]["norm"] == found["attnlrp"]["norm"] == "as it is"
    assert found["cp-lrp"]["norm"] != "as it is"
    assert found["deeplift-revealcancel"]["softmax"] == "refused"
    assert found["guided-backprop"]["activation"] == "rectified"
    for name in get_method("gradient").name, "lrp-0":
        assert "refused" not in found[name].values()
    text = site.TABLES["operations"]()
    assert all(f"| {name} |" in text for name in CASES)
