"""Chains of one image in float64 whose rates are held against dense linear algebra."""

from __future__ import annotations

from functools import cache

import pytest

from conetheory.chain.operation import Operation, is_own
from conetheory.chain.relevance import RelevanceChain
from tests.toys import chain as toy_chain

METHODS = ("lrp-alpha1beta0", "lrp-alpha2beta1", "lrp-gamma", "gradient")
NETWORKS = ("small vgg", "residual with a signed branch", "average pool padded", "max pool overlapping")
cases = pytest.mark.parametrize(("network", "method"), [(n, m) for n in NETWORKS for m in METHODS])


@cache
def chain(network: str, method: str = "lrp-alpha1beta0") -> RelevanceChain:
    return toy_chain(network, method, count=1).double()


def operations(found: RelevanceChain) -> list[Operation]:
    """From the output down."""
    return [Operation.of(found, n, local) for n, local in found.crossed(found.graph.output) if is_own(n)]
