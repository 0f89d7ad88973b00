"""Structural zeros of a chain, against exact arithmetic where floats underflow or cancel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conetheory.errors import InputError, UnsupportedLayerError
from tests.certify.exact import exact_chain, nonzeros, rational
from tests.certify.nets import layers, vanishing
from tests.toys import COUPLED, TOYS, chain

F64 = torch.float64
METHODS = ("lrp-alpha1beta0", "deep-taylor", "deeplift-ablation", "excitation-bp", "w-square", "flat")


@pytest.mark.covering
@pytest.mark.parametrize("toy", TOYS)
@pytest.mark.parametrize("method", METHODS)
def test_the_pattern_of_a_nonnegative_chain_is_that_of_its_numbers(toy, method):
    """Ordinary numbers neither underflow nor cancel: zero where, and only where, the chain is."""
    if method == "deeplift-ablation" and toy in COUPLED:
        with pytest.raises(UnsupportedLayerError, match="has no rule"):
            chain(toy, method)
        return
    found = chain(toy, method)
    pattern = found.pattern()
    for layer in ("input", *found.layers[1:4]):
        if layer == found.graph.output:
            continue
        units = range(int(np.prod(found.shape("logits"))))
        columns = found.columns("logits", units, layer)
        assert ((pattern.columns("logits", units, layer) > 0) == (columns != 0)).all()
        rows = pattern.rows(layer, [0], "logits")
        assert ((rows > 0) == (found.rows(layer, [0], "logits") != 0)).all()


def test_underflow_leaves_the_pattern():
    """Ten layers of weights 1 and 1.2e-38: the exact entry is 1e-341 or so, in floats zero."""
    found = vanishing()
    C = found.as_matrix("logits", "input")
    assert C[1, 0] == 0
    exact = exact_chain(found, "logits", "input")
    assert (found.pattern().as_matrix("logits", "input") > 0).tolist() == nonzeros(exact).tolist()
    assert 0 < exact[1, 0] < rational(5e-324)
    assert (found.loss().down(torch.zeros(1, 1, 2, dtype=F64), "logits", "input") > 0).all()


def test_cancellation_leaves_the_pattern():
    """alpha2-beta1 of weights 1, -1 and 2^-60: the middle column is 0 in floats, 2^-60 by structure."""
    found = layers([[[1.0, -1.0, 2.0**-60]]], [1.0, 1.0, 1.0], method="lrp-alpha2beta1")
    assert (found.pattern().as_matrix("logits", "input") > 0).all()


def test_a_share_that_is_not_known_costs_everything():
    found = layers([[[1e-200, 1e-200]]], [1e-200, 1e-200])
    zero = torch.zeros(1, 1, 1, dtype=F64)
    assert torch.isinf(found.loss().down(zero, "logits", "input")).all()
    assert torch.isinf(found.loss().up(torch.zeros(1, 1, 2, 1, 1, dtype=F64), "input", "logits")).all()


@pytest.mark.parametrize("method", ["deeplift-revealcancel", "clrp-1"])
def test_maps_that_do_not_tell_are_named(method):
    found = chain("small vgg", method)
    with pytest.raises(InputError, match="does not say which of its numbers are zero"):
        found.pattern().columns("logits", [0])
