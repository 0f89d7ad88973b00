"""The choices of the paper's own code: each changes what it should, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import conetheory as ct
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.networks.ops import Affine
from conetheory.rules.registry import get_method, methods
from conetheory.rules.repro import CHOICES, chosen, reproduced, reproduced_inputs
from tests.toys import chain, graph, images

ROWS = 2.0, -1.0, 1.0  # the weights of the worked example


def worked(bias: float, method: str) -> np.ndarray:
    """Relevance of W = (2, -1, 1), x = (1, 1, 1), R = z."""
    layer = nn.Linear(3, 1).double()
    layer.weight.data, layer.bias.data = torch.tensor([ROWS]).double(), torch.tensor([bias]).double()
    found = ct.RelevanceChain(
        trace(layer, (3,)), torch.ones(1, 3).double(), reproduced(method, "signed-bias")
    )
    return found.down(found.logits[:, None], "logits").flatten().numpy()


@pytest.mark.parametrize(
    ("method", "bias", "expected"),
    [
        ("lrp-alpha1beta0", 1.0, (1.5, 0, 0.75)),
        ("lrp-alpha1beta0", -1.0, (1, 0, 0.5)),
        ("lrp-alpha2beta1", -1.0, (2, -0.5, 1)),
    ],
)
def test_signed_biases_give_innvestigates_numbers(method, bias, expected):
    np.testing.assert_allclose(worked(bias, method), expected, rtol=1e-12)


def test_a_pool_that_the_bias_empties_gets_its_stabiliser():
    """alpha2-beta1 with b = 1: the negative pool is -1 + 1 = 0 and becomes 1e-7."""
    np.testing.assert_allclose(worked(1.0, "lrp-alpha2beta1"), (3, 3e7, 1.5), rtol=1e-12)


def test_sums_clip_what_they_hand_down():
    plain = chain("residual of signed branches", "lrp-alpha2beta1")
    clipped = ct.RelevanceChain(
        graph("residual of signed branches"), images(), reproduced("lrp-alpha2beta1", "clip-adds")
    )
    r = torch.randn((2, 4, *plain.shape("logits")), generator=torch.Generator().manual_seed(0)).double()
    (add,) = [n for n in plain.graph.nodes.values() if type(n.op).__name__ == "Add"]
    for source in add.inputs:
        below = [source] if len(plain.graph.consumers[source]) == 1 else []
        for name in below:
            expected = plain.down(r, "logits", name).clamp(0, 1000)
            assert torch.equal(clipped.down(r, "logits", name), expected)
    assert not clipped.method.linear
    with pytest.raises(InputError, match="not linear"):
        clipped.up(r, "logits", "logits")


def test_images_in_bytes():
    net = ct.networks.load("cifar10_cnn")
    pictures = ct.networks.bundled_images(net, limit=1).tensor
    assert reproduced_inputs(net, pictures, ()) is pictures
    torch.testing.assert_close(reproduced_inputs(net, pictures, "byte-inputs"), pictures * 255)
    with pytest.raises(InputError, match="undone"):
        reproduced_inputs(graph("small vgg"), images(), ["byte-inputs"])


def test_deeplift_reads_contributions():
    assert reproduced("deeplift-rescale").rule.measure == "contributions"
    assert reproduced("deeplift-rescale", parameters={"measure": "multipliers"}).rule.measure == "multipliers"


@pytest.mark.parametrize("method", [m.name for m in methods()])
def test_without_choices_nothing_changes(method):
    for choices in (None, "byte-inputs"):
        found = reproduced(method, choices)
        assert (found.entry, repr(found.rule)) == (get_method(method).entry, repr(get_method(method).rule))


def test_names_of_choices():
    assert chosen("icml2020") == tuple(CHOICES)
    assert chosen(["clip-adds", "signed-bias"]) == ("signed-bias", "clip-adds")
    assert chosen(None) == ()
    with pytest.raises(InputError, match="unknown choice 'icml2021'; known: icml2020"):
        chosen("icml2021")


def normed(x: np.ndarray, scale: np.ndarray, shift: np.ndarray, method: str) -> np.ndarray:
    """What a batch norm multiplies relevance with: the textbook's rule for one input, unit by unit."""
    z = scale * x
    up, down = np.where(z > 0, 1.0, 0.0), np.where(z < 0, 1.0, 0.0)
    return {
        "lrp-alpha1beta0": up,
        "lrp-alpha2beta1": 2 * up - down,
        "lrp-0": z / (z + shift),
        "lrp-preset-a": up,
    }[method]


@pytest.mark.parametrize(
    "method", ["lrp-alpha1beta0", "lrp-alpha2beta1", "lrp-0", "lrp-preset-a", "gradient"]
)
def test_batch_norms_of_their_own_as_convolutions(method):
    toy, choice = "batch norm of its own", "norms-as-convolutions"
    changed = ct.RelevanceChain(graph(toy), images(), reproduced(method, choice))
    plain = chain(toy, method)
    (norm,) = [n for n in plain.graph.nodes.values() if isinstance(n.op, Affine)]
    steps = {node.name: (xs, y) for node, xs, y in plain.graph.run(images())}
    r = torch.randn((2, 4, *norm.shape), generator=torch.Generator().manual_seed(0)).double()
    found = changed.down(r, norm.name, norm.inputs[0])
    if method == "gradient":
        assert torch.equal(found, plain.down(r, norm.name, norm.inputs[0]))
        return
    shape = (-1, 1, 1)
    x, scale, shift = steps[norm.name][0][0].numpy(), norm.op.scale.numpy(), norm.op.shift.numpy()
    factor = normed(x, scale.reshape(shape), shift.reshape(shape), method)
    np.testing.assert_allclose(found, r.numpy() * factor[:, None], rtol=1e-12)
    assert torch.equal(plain.down(r, norm.name, norm.inputs[0]), r)
    assert changed.method.linear
    assert changed.method.rule.is_nonnegative == plain.method.rule.is_nonnegative
    h = torch.randn((2, 4, *norm.shape), generator=torch.Generator().manual_seed(1)).double()
    below = changed.up(h, norm.inputs[0], norm.name)
    torch.testing.assert_close((below * r).sum(), (h * torch.as_tensor(found)).sum(), rtol=1e-10, atol=0)
