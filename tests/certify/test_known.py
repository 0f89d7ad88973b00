"""Zero in floating point is not dead: what underflows, overflows or cancels is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conetheory.certify.blocks import block_chain_certificate, certify_block, rounding
from conetheory.certify.certificates import certify_csc
from conetheory.certify.certifier import CscCertifier
from conetheory.certify.known import TINY, known
from conetheory.chain.relevance import RelevanceChain
from conetheory.rules.registry import get_method
from conetheory.theory import cone, generators, worstpair
from tests.certify.adversary import METHODS
from tests.certify.exact import exact_columns, rational
from tests.certify.nets import cancelling, layers, vanishing
from tests.certify.networks import random_network

BEYOND = "beyond what float64 can vouch for"


def test_a_column_that_underflows_is_not_dead():
    """Exact: 1e-341 and 1e-379 on two units, and one on the third. Their cosine is 0."""
    chain = vanishing()
    C = exact_columns(chain, "logits")["input"]
    assert [C[i, 0] > 0 for i in range(3)] == [True, True, False]
    assert C[0, 0] < rational(5e-324)
    assert [C[i, 1] for i in range(3)] == [0, 0, 1]
    data = certify_csc(chain).dataset
    assert data["certified_deficit_upper"].sel(layer="input").item() == 1
    assert data["certified_arriving_share"].sel(layer="input").item() == 1
    assert BEYOND in data["not_applicable"].item()
    (block,) = certify_block(chain, "logits", "input")
    assert block.deficit_upper.tolist() == [np.inf]
    assert block.columns.tolist() == [2]
    assert BEYOND in block_chain_certificate(chain, "logits", "1", "input", 0).reason


def test_a_column_that_cancels_is_not_dead():
    chain = cancelling()
    C = exact_columns(chain, "logits")["input"]
    assert C[0, 0] == rational(2.0) / (1 + rational(2.0**-60)) - rational(2.0)
    assert C[2, 0] == 0
    assert C[0, 1] == 0
    assert C[2, 1] > 0
    certifier = CscCertifier("logits", thorough=True)
    certifier.add(chain)
    held = certifier.certificates["input"]
    assert held.deficit_upper[0][0] == np.inf  # at the first location the columns are orthogonal
    assert held.arriving[0][0] == 1


@pytest.mark.parametrize("size", [1e-170, 1e170])
def test_denominators_out_of_range_are_refused(size):
    """Pools of 1e-340 and of 1e340."""
    chain = layers([[[1.0, 1.0], [1.0, 2.0]], [[size, size], [size, 3 * size]]], [size, size])
    data = certify_csc(chain).dataset
    certified = data["certified_deficit_upper"].values.ravel()
    assert (certified == 1).all()
    assert BEYOND in data["not_applicable"].item()


def test_what_is_known():
    one = np.ones((2, 2), dtype=bool)
    P = np.array([[1.0, 1e-300], [1.0, 1.0]])
    found = known(P, one, np.full((2, 1), 1e10))
    assert (found.by_entry, found.by_column, found.by_norm) == (False, True, True)
    found = known(P, one, np.full((1, 2), np.inf))
    assert (found.by_entry, found.by_column, found.by_norm) == (False, False, False)
    found = known(np.array([[1.0, np.nan], [1.0, 1.0]]), one, np.ones((2, 1)))
    assert not found.by_norm
    assert np.isfinite(found.matrices).all()
    assert not known(P, one & (P == 1), np.ones((2, 1))).by_norm  # a number where structure has none


@pytest.mark.parametrize("scale", [1e155, 1e-160, 1e300, 1e-300])
def test_long_columns_are_compared(scale):
    """More than 2048 columns whose squared lengths overflow: the worst pair is orthogonal."""
    P = np.zeros((2, 3000))
    P[0, :2999] = P[1, 1:] = scale
    P[1, 1:2999] *= np.linspace(0.5, 1, 2998)
    for keep in (2048, 16):
        assert generators.worst_deficit_upper(P, keep=keep) >= 1
    Q = scale * np.random.default_rng(0).uniform(0.5, 1, (3, 3000))
    whole = worstpair.worst_pair_cosine(Q / scale).deficit
    assert whole <= generators.worst_deficit_upper(Q) <= 1
    assert generators.diameter_upper(Q) >= float(cone.projective_diameter(Q / scale)) * (1 - 1e-12)


def test_certificates_are_made_on_the_cpu(monkeypatch):
    """Of a chain elsewhere one is built again: convolutions there may subtract."""
    chain = vanishing()
    asked = []
    double = type(chain).double
    monkeypatch.setattr(type(chain), "double", lambda self, device=None: asked.append(device) or double(self))
    certify_csc(chain)
    certify_block(chain, "logits", "input")
    assert set(asked) == {"cpu"}


@pytest.mark.parametrize(
    ("method", "options"), [m for m in METHODS if "alpha2" not in m[0] and "1.5" not in m[0]]
)
def test_every_entry_is_within_its_bounds(method, options):
    """|fl(C) - C| <= g C + what underflow costs, exactly: columns sent down and rows sent up."""
    entries = 0
    for seed in range(12):
        graph, image = random_network(np.random.default_rng(seed))
        chain = RelevanceChain(graph, image, get_method(method, **options), dtype=torch.float64)
        units = range(int(np.prod(chain.shape("logits"))))
        C = exact_columns(chain, "logits")["input"]
        g = rational(rounding(chain, "logits", "input"))
        zero = torch.zeros((1, 1, *chain.shape("logits")), dtype=torch.float64)
        down = chain.columns("logits", units, "input")[0].flatten(1).T.numpy()
        up = chain.up(chain.one_hot("input", range(C.nrows())), "input", "logits")[0].flatten(1).numpy()
        down_lost = chain.loss().down(zero, "logits").flatten().numpy()[:, None]
        zero = torch.zeros((1, 1, *chain.shape("input")), dtype=torch.float64)
        up_lost = chain.loss().up(zero, "input", "logits").flatten().numpy()[None]
        for found, lost in ((down, down_lost), (up, up_lost)):
            for (i, j), cost in np.ndenumerate(np.broadcast_to(lost, found.shape)):
                if np.isfinite(cost):
                    error = abs(rational(found[i, j]) - C[i, j])
                    assert error <= g * C[i, j] + rational(cost) * rational(TINY), (seed, i, j)
                    entries += 1
    assert entries > 300


def test_a_rule_counts_its_own_roundings(monkeypatch):
    """z-box: distances to both ends of the box, two pools, two groups, beside the sums over its fans."""
    chain = RelevanceChain(*random_network(np.random.default_rng(1)), "z-box", dtype=torch.float64)
    counted = rounding(chain, "logits", "input")
    monkeypatch.setattr("conetheory.rules.base.Rule.roundings", 0)
    layers = len(chain.graph.between(chain.graph.output, "input"))
    assert counted >= rounding(chain, "logits", "input") + 5 * layers * 2.0**-53
