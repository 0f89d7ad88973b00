"""Parameters of LRP rules that are refused, each in one clear line."""

from __future__ import annotations

import pytest

from conetheory.chain import RelevanceChain
from conetheory.errors import InputError
from conetheory.rules.registry import get_method
from tests.toys import graph, images


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lrp-epsilon", {"epsilon": -1.0}, "epsilon must be >= 0"),
        ("lrp-epsilon", {"epsilon": float("nan")}, "epsilon of lrp-epsilon must be a finite number"),
        ("lrp-0", {"bias": "bach"}, "bias of .* must be signed or none"),
        ("lrp-0", {"epsilon": 1.0}, "no parameter 'epsilon'"),
        ("lrp-gamma", {"gamma": -0.5}, "gamma must be >= 0"),
        ("lrp-gamma", {"form": "both"}, "form of .* must be generalised or simple"),
        ("lrp-gamma", {"bias": "some"}, "bias of .* must be gamma, signed or none"),
        ("lrp-gamma", {"stabiliser": -1.0}, "stabiliser must be >= 0"),
        ("w-square", {"bias": "signed"}, "bias of .* must be none or squared"),
        ("w-square", {"stabiliser": -1.0}, "stabiliser must be >= 0"),
        ("flat", {"stabiliser": -1.0}, "stabiliser must be >= 0"),
        ("z-box", {"stabiliser": -1.0}, "stabiliser must be >= 0"),
        ("excitation-bp", {"stabiliser": -1.0}, "stabiliser must be >= 0"),
        ("excitation-bp", {"negative_inputs": "loud"}, "negative_inputs of .* must be silent or excite"),
    ],
)
def test_parameters_out_of_range_are_refused(name, options, message):
    with pytest.raises(InputError, match=message):
        get_method(name, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": 0.0}, "lie outside the box from 0.0 to its own"),
        ({"high": 0.1}, "lie outside the box from its own to 0.1"),
        ({"low": (-9.0,) * 3, "high": 9.0}, "a box of 3 channels does not fit the 2"),
    ],
)
def test_a_box_that_does_not_fit_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        RelevanceChain(graph("max pool"), images(), "z-box", parameters=options)
