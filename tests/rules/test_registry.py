"""What the registry says of a method is true of it, for every method that is registered.

A new method is tested here by being registered. Those that are fitted to data get it in `DATA`, those that
explain without a map are in `WITHOUT_A_MAP`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint

import pytest
import torch
from torch import Tensor

from conetheory.chain.explained import ExplainerChain, open_chain
from conetheory.chain.relevance import RelevanceChain
from conetheory.cli import main
from conetheory.errors import InputError, UnsupportedLayerError
from conetheory.networks.graph import INPUT
from conetheory.rules import registry
from conetheory.rules.registry import entries, find, get_method, methods
from tests.networks.toys import random_images
from tests.toys import graph, images

TOYS = (
    "small vgg",
    "nested branches",
    "dense block",
    "residual of signed branches",
    "concatenation, one input twice",
    "conv groups with stride",
    "batch norm of its own",
    "linear alone, signed input",
    "attention of rectified tokens",
    "transformer",
)
BACKPROPAGATED = [m.name for m in methods() if m.backpropagated]
LINEAR = [m.name for m in methods() if m.backpropagated and m.linear]
NONLINEAR = [m.name for m in methods() if m.backpropagated and not m.linear]
NONNEGATIVE = [m.name for m in methods() if m.backpropagated and m.nonnegative]
SUM_PRESERVING = [m.name for m in methods() if m.backpropagated and m.sum_preserving]
EXPLAINERS = [m.name for m in methods() if not m.backpropagated]
FOR_SOME = ("attention-rollout",)  # of one kind of network
WITHOUT_A_MAP = {"tcav": "a score for each concept, no map"}


def fitted(toy: str) -> dict[str, object]:
    from conetheory.rules.fitted_patterns import fit_patterns

    return {"patterns": fit_patterns(graph(toy), images(8, seed=5))}


DATA: dict[str, Callable[[str], dict[str, object]]] = {"pattern-net": fitted, "pattern-attribution": fitted}
toys = pytest.mark.parametrize("toy", TOYS)


@cache
def parameters(name: str, toy: str) -> dict[str, object]:
    return DATA.get(name, lambda toy: {})(toy)


def opened(name: str, toy: str, x: Tensor | None = None) -> RelevanceChain | ExplainerChain:
    """The chain; a method that can't have one here says so in one line, and the test is skipped with it."""
    if name in WITHOUT_A_MAP:
        pytest.skip(f"{name}: {WITHOUT_A_MAP[name]}")
    try:
        return open_chain(graph(toy), images() if x is None else x, name, parameters=parameters(name, toy))
    except (InputError, UnsupportedLayerError) as error:
        reason = str(error)
    assert len(reason.splitlines()) == 1
    pytest.skip(f"{name} on {toy}: {reason}")


def vectors(chain: RelevanceChain | ExplainerChain, layer: str, count: int = 3, seed: int = 4) -> Tensor:
    return random_images(len(chain), count, *chain.shape(layer), seed=seed)


def hidden(chain: RelevanceChain) -> str:
    """A start layer in the middle of the network."""
    return chain.graph.cuts[len(chain.graph.cuts) // 2]


def assert_close(a: Tensor, b: Tensor, tolerance: float = 1e-11) -> None:
    """Equal to `tolerance` of the largest entry."""
    assert a.shape == b.shape
    assert float((a - b).abs().max()) <= tolerance * float(torch.maximum(a.abs().max(), b.abs().max()))


# ---------------------------------------------------------------- entries


@pytest.mark.parametrize("name", entries())
def test_an_entry_is_complete(name):
    entry = find(name)
    assert entry.name == name
    assert entry.family
    assert entry.description
    assert entry.source
    assert all(find(alias) is entry for alias in entry.aliases)
    rule = get_method(name).rule
    assert type(rule) is type(get_method(name, **entry.parameters).rule)  # all parameters have defaults
    assert {"is_linear", "is_nonnegative", "is_sum_preserving", "rectifies", "reduce"} <= set(dir(rule))
    assert rule.reduce in ("sum", "absmax")


def test_names_and_aliases_are_all_different():
    names = [n for entry in entries().values() for n in (entry.name, *entry.aliases)]
    assert len(names) == len(set(names))


def test_no_list_above_is_empty():
    """Else the tests parametrised over it would be idle."""
    assert min(map(len, (LINEAR, NONLINEAR, NONNEGATIVE, SUM_PRESERVING))) >= 3
    assert set(DATA) | set(WITHOUT_A_MAP) <= set(entries())


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("lrp-gamma", {"gamma": "abc"}, "a finite number, not 'abc'"),
        ("lrp-gamma", {"gamma": None}, "a finite number, not None"),
        ("lrp-gamma", {"gamma": True}, "a finite number, not True"),
        ("lrp-gamma", {"gamma": float("inf")}, "a finite number, not inf"),
        ("lrp-gamma", {"gamma": 10**400}, "a finite number, not 1000"),
        ("lrp-gamma", {"bias": ["signed"]}, "gamma, signed or none, not"),
        ("rectgrad", {"percentile": [1]}, "a finite number, not"),
        ("z-box", {"low": [1.0, [2.0]]}, "a finite number or a list of finite numbers, not"),
        ("z-box", {"high": [1.0, float("nan")]}, "a finite number or a list of finite numbers, not"),
        ("occlusion", {"window": 1.5}, "a whole number below 2^63, not 1.5"),
        ("occlusion", {"per_channel": 1}, "true or false, not 1"),
        ("smoothgrad", {"seed": 2**70}, "a whole number below 2^63, not"),
        ("pattern-net", {"patterns": 3}, "Patterns, text or Path, not 3"),
    ],
)
def test_a_parameter_of_the_wrong_type_is_named(name, given, words):
    with pytest.raises(InputError) as caught:
        get_method(name, **given)
    (parameter,) = given
    assert f"{parameter} of {name} must be {words}" in str(caught.value)


def test_a_bound_is_a_number_or_one_for_each_channel():
    for low in (None, 0, -1.5, [0.0, 1.0], (0, 1), torch.zeros(3)):
        assert get_method("z-box", low=low).rule.low is low


# ---------------------------------------------------------------- running


@pytest.mark.covering
@toys
@pytest.mark.parametrize("name", BACKPROPAGATED)
def test_it_runs_from_every_layer_to_every_layer(name, toy):
    chain = opened(name, toy)
    starts = {"logits": vectors(chain, "logits", 2), hidden(chain): vectors(chain, hidden(chain), 1)}
    assert_close(chain.logits, graph(toy).forward(images()))
    seen = {}
    for layer, parts in chain.sweep(starts):
        for start, r in parts.items():
            assert r.shape == (2, starts[start].shape[1], *chain.shape(layer))
            assert bool(torch.isfinite(r).all())
            seen[start] = layer
    assert seen == dict.fromkeys(starts, INPUT)


@pytest.mark.parametrize("toy", TOYS[:3])
@pytest.mark.parametrize("name", EXPLAINERS)
def test_an_explainer_runs_from_the_logits_to_the_input(name, toy):
    chain = opened(name, toy)
    found = chain.down(vectors(chain, "logits", 2))
    channels, *space = graph(toy).input_shape
    assert found.shape in [(2, 2, c, *space) for c in (1, channels)]
    assert bool(torch.isfinite(found).all())
    with pytest.raises(InputError, match="not backpropagated"):
        chain.down(vectors(chain, hidden(chain)), hidden(chain))


def test_most_methods_run_at_every_toy():
    """Skips are for methods that refuse a structure, not for all of it."""
    for name in set(entries()) - {*WITHOUT_A_MAP, *FOR_SOME}:
        refused = []
        for toy in TOYS:
            try:
                open_chain(graph(toy), images(), name, parameters=parameters(name, toy))
            except (InputError, UnsupportedLayerError) as error:
                refused.append(f"{toy}: {error}")
        assert len(refused) <= len(TOYS) // 2, (name, refused)


# ---------------------------------------------------------------- what is said of the matrices


@pytest.mark.covering
@toys
@pytest.mark.parametrize("name", LINEAR)
def test_linear_methods_are_linear_and_have_an_adjoint(name, toy):
    chain = opened(name, toy)
    for start in ("logits", hidden(chain)):
        a, b = vectors(chain, start), vectors(chain, start, seed=5)
        down = chain.down(a, start)
        assert_close(chain.down(2 * a - 3 * b, start), 2 * down - 3 * chain.down(b, start))
        h = vectors(chain, INPUT, seed=6)
        up = chain.up(h, INPUT, start)
        left, right = (h * down).flatten(2).sum(2), (up * a).flatten(2).sum(2)
        size = h.flatten(2).norm(dim=2) * down.flatten(2).norm(dim=2)
        size = torch.maximum(size, up.flatten(2).norm(dim=2) * a.flatten(2).norm(dim=2))
        assert bool(((left - right).abs() <= 1e-12 * size).all())


@pytest.mark.parametrize("name", [m.name for m in methods() if not m.backpropagated and m.linear])
def test_linear_explainers_are_linear(name):
    chain = opened(name, "small vgg")
    a, b = vectors(chain, "logits"), vectors(chain, "logits", seed=5)
    tolerance = 1e-6 if name == "occlusion" else 1e-11  # captum averages occlusions in float32
    assert_close(chain.down(2 * a - 3 * b), 2 * chain.down(a) - 3 * chain.down(b), tolerance)


@toys
@pytest.mark.parametrize("name", NONLINEAR)
def test_nonlinear_methods_refuse_an_adjoint(name, toy):
    chain = opened(name, toy)
    h = vectors(chain, INPUT)
    with pytest.raises(InputError, match="not linear"):
        chain.up(h, INPUT, "logits")
    with pytest.raises(InputError, match="not linear"):
        chain.as_matrix("logits")


@pytest.mark.parametrize("name", NONLINEAR)
def test_nonlinear_methods_are_not_linear(name):
    """On some toy, or they would be called what they are not."""
    for toy in TOYS:
        chain = opened(name, toy)
        a, b = vectors(chain, "logits"), vectors(chain, "logits", seed=5)
        found, parts = chain.down(a - b, "logits"), chain.down(a, "logits") - chain.down(b, "logits")
        if float((found - parts).abs().max()) > 1e-6 * float(parts.abs().max()):
            return
    pytest.fail(f"{name} is linear on all toys")


@pytest.mark.covering
@toys
@pytest.mark.parametrize("name", NONNEGATIVE)
def test_nonnegative_methods_keep_the_cone(name, toy):
    """For images of any sign, from any layer to any layer."""
    chain = opened(name, toy)
    assert bool((chain.images < 0).any())
    starts = {start: vectors(chain, start).abs() for start in ("logits", hidden(chain))}
    for _, parts in chain.sweep(starts):
        assert min(float(r.min()) for r in parts.values()) >= 0


@pytest.mark.parametrize("name", SUM_PRESERVING)
def test_sum_preserving_methods_keep_the_sum_where_all_pools_are_filled(name):
    """Through weights that see many inputs, so that no pool is empty."""
    for toy, start, stop in (("linear alone, signed input", "logits", INPUT), ("hidden linear", "2.1", "1")):
        chain = opened(name, toy)
        ones = torch.ones(2, 1, *chain.shape(stop), dtype=torch.float64)
        up = chain.up(ones, stop, start)
        assert_close(up, torch.ones_like(up))


# ---------------------------------------------------------------- sharing


@pytest.mark.covering
@toys
@pytest.mark.parametrize("name", BACKPROPAGATED)
def test_images_do_not_change_each_other(name, toy):
    chain = opened(name, toy)
    r = vectors(chain, "logits")
    together = chain.down(r, "logits")
    for image in range(2):
        alone = opened(name, toy, images()[image : image + 1]).down(r[image : image + 1], "logits")
        assert_close(together[image : image + 1], alone, 1e-10)


@pytest.mark.covering
@toys
@pytest.mark.parametrize("name", BACKPROPAGATED)
def test_start_layers_do_not_change_each_other(name, toy):
    """At every other cut, in one sweep or in one each, at every layer on the way."""
    chain = opened(name, toy)
    starts = {cut: vectors(chain, cut, 1 + i % 2, i) for i, cut in enumerate(chain.graph.cuts[1::2])}
    starts["logits"] = vectors(chain, "logits")
    starts.pop(chain.graph.output, None)
    shared = {(start, layer): r for layer, parts in chain.sweep(starts) for start, r in parts.items()}
    alone = {
        (start, layer): parts[start]
        for start, r in starts.items()
        for layer, parts in chain.sweep({start: r})
    }
    assert shared.keys() == alone.keys()
    for key, r in alone.items():
        assert_close(shared[key], r)


@pytest.mark.parametrize("toy", TOYS[:2])
@pytest.mark.parametrize("name", EXPLAINERS)
def test_outputs_do_not_change_each_other(name, toy):
    chain = opened(name, toy)
    r = vectors(chain, "logits", 2)
    together = chain.down(r)
    for vector in range(2):
        assert_close(together[:, vector : vector + 1], chain.down(r[:, vector : vector + 1]), 1e-9)


# ---------------------------------------------------------------- methods of other packages


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Makes a module whose code is given an entry point of an installed package."""

    def install(code: str) -> None:
        (tmp_path / "their_rules.py").write_text(code)
        point = EntryPoint("theirs", "their_rules", registry.PLUGINS)
        monkeypatch.setattr(registry, "entry_points", lambda group: [point])
        registry._load.cache_clear()

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry.entries()))
    yield install
    sys.modules.pop("their_rules", None)
    monkeypatch.undo()
    registry._load.cache_clear()


def test_a_rule_of_another_package_is_a_method(plugin, capsys):
    plugin(
        "from conetheory.rules.gradient import Gradient\n"
        "from conetheory.rules.registry import register\n"
        "register('theirs', family='gradient', description='the same', source='them')(Gradient)\n"
    )
    assert get_method("theirs").linear
    assert main(["methods", "--json"]) == 0
    assert "theirs" in [entry["name"] for entry in json.loads(capsys.readouterr().out)]


def test_a_package_that_cannot_be_loaded_is_named(plugin, capsys):
    plugin("import no_such_module\n")
    assert main(["methods"]) == 2
    said = capsys.readouterr().err
    assert (
        said == "conetheory: the methods of their_rules can't be loaded: No module named 'no_such_module'\n"
    )
