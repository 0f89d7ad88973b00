"""What certificates are said to cost, before anything is computed, against what they do."""

from __future__ import annotations

import time

import pytest
import torch

from conetheory import networks
from conetheory.certify.certifier import CscCertifier
from conetheory.certify.check import check_certificates
from conetheory.certify.cost import Cost, cost
from conetheory.chain.layers import below
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.streamed import Columns
from tests.toys import chain


def loaded(name: str) -> RelevanceChain:
    network = networks.load(name, None if name == "cifar10_cnn" else "random:0")
    size = network.graph.input_shape
    image = torch.rand(1, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return RelevanceChain(network, image)


@pytest.mark.parametrize("name", ["cifar10_cnn", pytest.param("squeezenet1_1", marks=pytest.mark.slow)])
def test_columns_are_sent_down_as_often_as_was_said(name):
    """The predicted groups are of the graph alone, the actual ones know which units are alive."""
    found = loaded(name)
    columns = Columns(found, "logits", below(found, "logits"))
    passes, said = sum(columns.passes(group) for group in columns.groups), cost(found.graph, "logits")
    assert passes / 1.5 <= said.columns <= 1.5 * passes


def test_few_locations_and_layers_cost_less():
    graph = chain("small vgg").graph
    whole, some = cost(graph, "logits"), cost(graph, "logits", positions=1)
    assert some.bounds < whole.bounds
    assert some.columns == whole.columns
    top = cost(graph, "logits", [below(chain("small vgg"), "logits")[0]])
    assert top.columns < whole.columns
    assert top.passes < whole.passes
    assert cost(graph, "logits", vectors=9).check > whole.check


def cpu(function) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def one_pass(found: RelevanceChain, vectors: int = 10) -> float:
    """CPU seconds of a vector, of a sweep of ten."""
    units = [i % found.logits.shape[1] for i in range(vectors)]
    sweep = lambda: list(found.sweep({"logits": found.one_hot("logits", units)}))  # noqa: E731
    return min(cpu(sweep) for _ in range(4)) / vectors


@pytest.mark.slow
def test_seconds_are_passes_times_those_of_one():
    """Within a factor of 1.5, on the bundled network; the bench prints it of SqueezeNet."""
    found = loaded("cifar10_cnn")
    said: Cost = cost(found.graph, "logits")
    one = one_pass(found)

    def run() -> None:
        certifier = CscCertifier("logits")
        certifier.add(RelevanceChain(found.network, found.images))
        check_certificates(certifier, found)

    seconds = min(cpu(run) for _ in range(2))
    assert seconds / 1.5 <= said.passes * one <= 1.5 * seconds
