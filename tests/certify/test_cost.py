"""What certificates are said to cost, before anything is computed, against what they do."""

from __future__ import annotations

import time

import pytest
import torch

from conetheory import networks
from conetheory.certify.certifier import CscCertifier
from conetheory.certify.check import check_certificates
from conetheory.certify.cost import DOUBLE, _columns, certificate_cost
from conetheory.chain.cost import passes
from conetheory.chain.layers import below
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.streamed import Columns
from tests.toys import chain


def loaded(name: str) -> RelevanceChain:
    network = networks.load(name, None if name == "cifar10_cnn" else "random:0")
    size = network.graph.input_shape
    image = torch.rand(1, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return RelevanceChain(network, image)


@pytest.mark.parametrize("name", ["cifar10_cnn", pytest.param("squeezenet1_1", marks=pytest.mark.exhaustive)])
def test_columns_are_sent_down_as_often_as_was_said(name):
    """The predicted groups are of the graph alone, the actual ones know which units are alive."""
    found = loaded(name)
    columns = Columns(found, "logits", below(found, "logits"))
    graph, top = found.graph, found.graph.resolve("logits")
    ends = zip(columns.sources, columns.groups, strict=True)
    sent = sum(columns.units * passes(graph, top, source, group[-1]) for source, group in ends)
    numbers = {k: columns.units * columns.chosen[k].size * found.shape(k)[0] // 2 for k in columns}
    assert sent / 1.5 <= _columns(graph, top, numbers, columns.units)[0] <= 1.5 * sent


def test_few_locations_and_layers_cost_less():
    found = chain("small vgg")
    whole, some = certificate_cost(found, "logits"), certificate_cost(found, "logits", positions=1)
    assert some.passes < whole.passes
    top = certificate_cost(found, "logits", [below(found, "logits")[0]])
    assert top.passes < whole.passes
    assert certificate_cost(found, "logits", vectors=9).passes > whole.passes


def cpu(function) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def one_pass(found: RelevanceChain, vectors: int = 10) -> float:
    """CPU seconds of a vector, of a sweep of ten."""
    units = [i % found.logits.shape[1] for i in range(vectors)]
    sweep = lambda: list(found.sweep({"logits": found.one_hot("logits", units)}))  # noqa: E731
    return min(cpu(sweep) for _ in range(4)) / vectors


@pytest.mark.exhaustive
def test_seconds_are_passes_times_those_of_one():
    """Within a factor of 1.5, on the bundled network; the bench prints it of SqueezeNet."""
    found = loaded("cifar10_cnn")
    said, one = certificate_cost(found, "logits").passes / DOUBLE, one_pass(found)

    def run() -> None:
        certifier = CscCertifier("logits")
        certifier.add(RelevanceChain(found.network, found.images))
        check_certificates(certifier, found)

    seconds = min(cpu(run) for _ in range(2))
    assert seconds / 1.5 <= said * one <= 1.5 * seconds
