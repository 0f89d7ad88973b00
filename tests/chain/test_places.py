"""Locations that are places, and those that are not: maps, patches, class tokens, windows, pairs."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from conetheory.chain.places import CLASS_TOKEN, OTHER_ORDER, PAIRS, places, without_attention
from conetheory.chain.relevance import RelevanceChain
from conetheory.contraction.curves import applicable
from conetheory.networks import trace
from conetheory.networks.graph import INPUT
from conetheory.predict import predict_csc, states
from conetheory.predict.registry import speaks
from conetheory.predict.walk_steps import first_map, walk_steps
from tests.networks.toys import random_images, seeded
from tests.toys import chain, graph


def test_a_map_keeps_its_places_through_what_computes_on_it():
    found = places(graph("small vgg"))
    known = graph("small vgg")
    for name, size in found.items():
        shape = known.shape(name)
        assert size == (tuple(shape[1:]) if len(shape) == 3 else (1, 1))


def test_tokens_of_a_transformer_stand_nowhere():
    """Patches have the places of their map; the class token has none, and pairs of tokens neither."""
    known, found = graph("transformer"), places(graph("transformer"))
    assert found["patches"] == (3, 3)
    assert CLASS_TOKEN in {found[n] for n in known.nodes if known.shape(n)[-1:] == (10,)}
    assert {found[n] for n in known.weights} == {PAIRS}
    assert found[known.output] == (1, 1)
    crossed = set(known.nodes) - without_attention(known, known.output)
    assert "patches" in crossed
    assert INPUT not in without_attention(known, known.output)


class Patches(nn.Module):
    """Patches in a row, mixed channel by channel; then, where wanted, among each other."""

    def __init__(self, attention: bool) -> None:
        super().__init__()
        self.patches, self.mix, self.attention = nn.Conv2d(2, 4, 2, 2), nn.Linear(4, 5), attention
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        t = self.mix(self.patches(x).relu().flatten(2).transpose(1, 2)).relu()
        if self.attention:
            t = torch.nn.functional.scaled_dot_product_attention(t, t, t)
        return self.head(t.mean(1))


def patches(attention: bool) -> RelevanceChain:
    model = seeded(lambda: Patches(attention))
    return RelevanceChain(trace(model, (2, 6, 8)), random_images(1, 2, 6, 8), "lrp-zplus")


def as_maps() -> RelevanceChain:
    """The same network without attention whose patches stay a map."""
    model = seeded(lambda: Patches(False))
    mix = nn.Conv2d(4, 5, 1)
    mix.weight, mix.bias = nn.Parameter(model.mix.weight[:, :, None, None]), model.mix.bias
    parts = {"patches": model.patches, "a": nn.ReLU(), "mix": mix, "b": nn.ReLU()}
    parts |= {"mean": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "head": model.head}
    own = nn.Sequential(OrderedDict(parts)).double().eval()
    return RelevanceChain(trace(own, (2, 6, 8)), random_images(1, 2, 6, 8), "lrp-zplus")


@pytest.mark.parametrize("theory", ["origin", "two-scale", "local-spectrum"])
def test_patches_in_a_row_have_the_places_of_their_map(theory):
    """From tokens as from the same layer as a map: a token is a location."""
    tokens = patches(False)
    assert places(tokens.graph)["mix"] == (3, 4)
    assert speaks(theory, tokens, ["mix"]) is None
    found = [predict_csc(c, "mix", theory=theory, seed=1).dataset for c in (tokens, as_maps())]
    for name in (f"predicted_{theory.replace('-', '_')}", *(["origin_width"] if theory == "origin" else [])):
        ours, theirs = (float(d[name].sel(layer="input").item()) for d in found)
        assert ours == pytest.approx(theirs, rel=1e-9)
    if theory == "origin":
        assert [str(d["origin_cut"].item()) for d in found] == ["mix (3 x 4)"] * 2


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ("logits", f"the locations of 'add_3' are no places on a grid: {CLASS_TOKEN}"),
        ("down", f"the locations of 'down' are no places on a grid: {CLASS_TOKEN}"),
    ],
)
def test_origins_say_nothing_where_tokens_have_no_places(start, reason):
    found = chain("transformer")
    assert str(speaks("origin", found, [start]).reason) == reason
    assert "origin" not in applicable(found, start)
    assert speaks("local-spectrum", found, [start]) is None
    assert speaks("two-scale", found, [start]) is None
    assert speaks("origin", found, [start, "patches"]) is None  # from one of them it does
    prediction = predict_csc(found, start, theory=["origin", "local-spectrum"]).dataset
    assert "predicted_origin" not in prediction
    assert bool(prediction["predicted_local_spectrum"].notnull().any())
    assert [step.layer for step in walk_steps(found, start)] == ["patches"]


def test_what_came_through_attention_has_no_origin(monkeypatch):
    found = patches(True)
    assert first_map(found, "logits") == "mix"
    reason = speaks("origin", found, ["logits"])
    assert reason is not None
    assert "hear it through attention: by content, not place" in reason.reason
    above, below = [n for n in found.graph.nodes if n.startswith("scaled")][-1], "patches"
    reason = speaks("origin", found, [above])
    assert reason is not None
    assert "through attention" in reason.reason
    monkeypatch.setattr(states, "ENUMERABLE", 2)  # of three classes no columns are sent
    reason = speaks("origin", found, ["logits"])
    assert reason is not None
    assert reason.reason == "attention mixes the tokens below 'head', above any map of places"
    assert speaks("origin", found, [below]) is None


def test_windows_have_another_order():
    def turned(m: nn.Module, x: Tensor) -> Tensor:
        t = x.unflatten(2, (2, 2)).unflatten(4, (2, 2)).permute(0, 2, 4, 3, 5, 1).flatten(1, 2).flatten(2, 3)
        return m.norm(t).mean((1, 2))

    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(2, 3, 1), nn.LayerNorm(3)

        def forward(self, x: Tensor) -> Tensor:
            return turned(self, self.conv(x))

    found = places(trace(seeded(Windows), (2, 4, 4)))
    assert OTHER_ORDER in found.values()
    assert found["conv"] == (4, 4)
