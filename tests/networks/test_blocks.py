"""Blocks that are taken apart once, numbers of places that are moved once, weights that are there already."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from conetheory.networks import blocks, moves, sources, trace
from tests.networks.toys import random_images, seeded


class Layers(nn.Module):
    """Attention among the locations of a map, three times: the last with twice as many heads."""

    def __init__(self) -> None:
        super().__init__()
        heads = (1, 1, 2)
        self.layers = nn.ModuleList(nn.MultiheadAttention(4, n, batch_first=True) for n in heads)

    def forward(self, x: Tensor) -> Tensor:
        t = x.flatten(2).transpose(1, 2)
        for layer in self.layers:
            t = t + layer(t, t, t, need_weights=False)[0]
        return t.mean(1)


def test_blocks_that_differ_in_their_parameters_alone_are_taken_apart_once(monkeypatch):
    calls = []
    made = blocks.make_fx

    def counted(*args, **kwargs):
        calls.append(args)
        return made(*args, **kwargs)

    monkeypatch.setattr(blocks, "make_fx", counted)
    model, x = seeded(Layers), random_images(3, 4, 2, 3)
    graph = trace(model, (4, 2, 3))
    assert len(calls) == 2
    torch.testing.assert_close(graph.forward(x), model(x).detach(), rtol=1e-12, atol=1e-13)
    weights = {id(v) for n in graph.nodes.values() for v in vars(n.op).values() if isinstance(v, Tensor)}
    assert len(weights) > 3 * 2  # of each layer its own


def test_equal_calls_move_equal_places_once():
    """The second block's numbers of places are the first one's, and what follows from them."""
    a, b = (moves.Held(name, (4, 2, 3), torch.zeros(())) for name in ("a", "b"))
    kept = a.places
    first, second = (moves.move(x, "transpose", (1, 2), {}, "t")[0] for x in (a, b))
    assert second.index is first.index
    assert kept is b.places
    assert first.index is not moves.move(a, "transpose", (1, 3), {}, "t")[0].index
    index = torch.tensor([1, 0])  # by another tensor nothing is kept
    found = [moves.move(a, "index_select", (1, i), {}, "t")[0] for i in (index, index.flip(0))]
    assert not torch.equal(*(one.places.t for one in found))


@pytest.mark.parametrize("there", [False, True])
def test_a_network_is_traced_twice_only_where_its_weights_are_still_to_come(there, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(sources, "trace", lambda model, shape: seen.append(shape))
    monkeypatch.setattr(sources, "_download", lambda found: models.squeezenet1_1().state_dict())
    name = Path(models.SqueezeNet1_1_Weights.IMAGENET1K_V1.url).name
    if there:
        (tmp_path / "checkpoints").mkdir()
        (tmp_path / "checkpoints" / name).touch()
    sources.named("squeezenet1_1", None, None, (3, 64, 64))
    assert seen == [(3, 64, 64)] * (not there)
