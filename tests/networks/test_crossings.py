"""What relevance crosses between two layers, in words."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from conetheory.networks import trace
from conetheory.results.layout import frame
from conetheory.rules.registry import get_method
from conetheory.schema import ABOVE, CROSSING
from tests.networks.toys import seeded
from tests.toys import TOYS, graph


class Blocks(nn.Module):
    """A stem, an identity block, and a projection block of stride 2."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 7, stride=2, padding=3)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.a, self.b = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
        self.c, self.d = nn.Conv2d(4, 6, 1), nn.Conv2d(6, 6, 3, stride=2, padding=1)
        self.side = nn.Conv2d(4, 6, 1, stride=2)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.pool(torch.relu(self.stem(x)))
        x = x + self.b(torch.relu(self.a(x)))
        x = self.side(x) + self.d(torch.relu(self.c(x)))
        return self.head(x.mean((2, 3)))


def test_blocks_strides_and_what_lies_inside_them():
    found = trace(seeded(Blocks).eval(), (3, 32, 32))
    crossings = found.crossings(found.layers)
    assert crossings["input"] == ("relu", "convolution 7 x 7, stride 2")
    assert crossings["relu"] == ("pool", "max pool 3 x 3, stride 2")
    assert crossings["pool"] == ("add", "residual block")
    assert crossings["add"] == ("add_1", "projection block, stride 2")
    assert crossings["side"] == ("add_1", "sum")
    assert crossings["add_1"] == ("mean", "mean")
    assert crossings["mean"] == ("head", "dense layer")
    assert "head" not in crossings


def test_between_layers_far_apart_operations_are_counted():
    found = trace(seeded(Blocks).eval(), (3, 32, 32))
    assert found.crossings(["head", "input"]) == {"input": ("head", "11 operations, stride 8")}


@pytest.mark.parametrize("toy", TOYS)
def test_above_is_what_all_relevance_crosses(toy):
    """Without the layer above, nothing of the output is left below: its relevance is all there is."""
    found = graph(toy)
    for name, (above, words) in found.crossings(found.layers).items():
        assert words
        ways = [node for node in found.between(found.output, name)] if above != found.output else []
        kept = {name}
        for node in reversed(ways):  # from below upwards, not through `above`
            if node.name != above and kept & set(node.inputs):
                kept.add(node.name)
        assert not ways or found.output not in kept


def test_results_say_it_where_the_network_knows():
    found = graph("small vgg")
    data = frame(found, get_method("lrp-zplus"), ["logits"], ["input", "3", "11"], {})
    assert list(data["layer"].values) == ["11", "3", "input"]
    assert list(data[ABOVE].values) == ["", "11", "3"]
    assert list(data[CROSSING].values) == ["", "5 operations, stride 4", "convolution 3 x 3"]
