"""Every function that takes a network and a method: of any kind, with parameters of any name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import conetheory as ct
from conetheory.adapters import Attribution, VjpChain
from conetheory.chain import ExplainerChain, RelevanceChain, open_chain
from conetheory.errors import InputError, UnsupportedLayerError
from conetheory.networks import Images, Network, load
from conetheory.networks.randomise import default_layers
from conetheory.predict.origin_maps import origin_maps
from conetheory.rules import fit_patterns, get_method, registry
from conetheory.rules.explainers.tcav import tcav_scores
from conetheory.rules.gradient import Gradient
from conetheory.rules.repro import reproduced
from conetheory.runs import Settings, Study, audit, run
from conetheory.saliency import ClassSettings, class_sensitivity, explain, explain_maps
from conetheory.saliency.pictures import attributions, predicted_classes, saliency, target_classes
from conetheory.sanity import SanitySettings, sanity_check
from conetheory.sanity.successors import smooth_maps
from tests.networks.toys import seeded
from tests.toys import SHAPE, TOYS, graph, images

TOY = "small vgg"
X = images(2)
FIRST = torch.tensor([[0], [1]])
QUICK = {"vectors": 2, "bootstrap": 0, "certify": 0, "theories": ()}
SANITY = SanitySettings(layers=("9",), measures=("cosine",), modes=("cascading",))
Z_PLUS = get_method("lrp-zplus")


@cache
def kinds() -> dict[str, Any]:
    """One network, as each of the three kinds."""
    model = seeded(TOYS[TOY])
    return {"network": load(model, input_shape=SHAPE), "graph": graph(TOY), "module": model}


def measured(found: Any) -> np.ndarray:
    return found.dataset["measured_deficit_median"].values


def pattern_of(network: Any) -> Tensor:
    return torch.cat([a.flatten() for a in fit_patterns(network, images(4)).patterns.values()])


def concepts(network: Any) -> np.ndarray:
    pytest.importorskip("captum", reason="captum is not installed")
    given = {"layer": "3", "targets": [0], "random": images(8, 4), "runs": 1}
    return tcav_scores(network, X, {"one": images(4, 3)}, **given)["derivative"].values


def origins(network: Any) -> str:
    """Why there are none of the gradient; of methods that have some the chain is the same."""
    return origin_maps(network, X, "gradient", FIRST, "3", names=["0", "1"], targets=["0"]).reason


ENTRIES: dict[str, Callable[[Any], Any]] = {
    "RelevanceChain": lambda n: RelevanceChain(n, X).as_matrix("logits"),
    "ExplainerChain": lambda n: ExplainerChain(n, X, get_method("integrated-gradients", steps=2)).logits,
    "open_chain": lambda n: open_chain(n, X, "gradient").as_matrix("logits"),
    "explain": lambda n: explain(n, X, "gradient"),
    "explain_maps": lambda n: explain_maps(n, X, "gradient", [0]).dataset["map"].values,
    "attributions": lambda n: attributions(n, X, Z_PLUS, FIRST),
    "saliency": lambda n: saliency(n, X, Z_PLUS, FIRST),
    "predicted_classes": lambda n: predicted_classes(n, X, 2),
    "target_classes": lambda n: target_classes(n, X, ["predicted", 1]),
    "class_sensitivity": lambda n: class_sensitivity(n, X, "gradient").dataset["class_distance_worst"].values,
    "sanity_check": lambda n: sanity_check(n, X, "gradient", SANITY).dataset["similarity"].values,
    "smooth_maps": lambda n: smooth_maps(n, X, Z_PLUS, FIRST, samples=2),
    "fit_patterns": pattern_of,
    "tcav_scores": concepts,
    "origin_maps": origins,
    "Attribution": lambda n: Attribution(n, "gradient").attribute(X, 1),
    "audit": lambda n: measured(audit(n, X, ["gradient"], **QUICK).comparison),
    "Study": lambda n: measured(
        Study(n, Images(X, ("a", "b")), {"gradient": {}}, settings=Settings(**QUICK)).run()
    ),
    "run": lambda n: measured(run(n, X, "gradient", Settings(**QUICK))),
}
entry = pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)


@entry
def test_a_network_a_graph_and_a_module_give_the_same(entry):
    found = {kind: np.asarray(entry(given)) for kind, given in kinds().items()}
    assert found["network"].size
    assert found["network"].dtype.kind == "U" or np.isfinite(found["network"]).any()
    for kind in ("graph", "module"):
        np.testing.assert_array_equal(found[kind], found["network"])


@entry
@pytest.mark.parametrize("given", [None, 3.5, X], ids=["nothing", "number", "images"])
def test_what_is_no_network_gets_one_line(entry, given):
    with pytest.raises(InputError, match=r"a network is a Network, a Graph or an nn\.Module, not") as caught:
        entry(given)
    assert "\n" not in str(caught.value)


@entry
def test_a_module_that_cannot_be_traced_gets_the_usual_line(entry):
    class Branching(nn.Module):
        def forward(self, x):
            return x.flatten(1) if x.sum() > 0 else -x.flatten(1)

    with pytest.raises(UnsupportedLayerError, match="Branching can't be traced") as caught:
        entry(Branching())
    assert "\n" not in str(caught.value)


def test_default_layers_needs_no_images():
    network, given, module = kinds().values()
    assert default_layers(network) == default_layers(given)
    with pytest.raises(InputError, match=r"give networks\.load"):
        default_layers(module)


def test_the_network_of_a_chain_is_a_network():
    for given in kinds().values():
        for method in ("gradient", get_method("integrated-gradients", steps=2)):
            chain = open_chain(given, X, method)
            assert isinstance(chain.network, Network)
            assert isinstance(chain.double().network, Network)


def test_results_name_the_network():
    names = {kind: measured_of(given).attrs["network"] for kind, given in kinds().items()}
    assert names == {"network": "Sequential", "graph": "unnamed", "module": "Sequential"}
    hashes = [measured_of(given).attrs.get("network_weights_sha256") for given in kinds().values()]
    assert hashes[0] == hashes[2] != hashes[1] is None
    made = [fit_patterns(given, X).made for given in kinds().values()]
    assert [m["network"] for m in made] == ["Sequential", "a graph", "Sequential"]
    assert [m["weights_sha256"] for m in made] == [hashes[0], "unknown", hashes[0]]


def measured_of(given: Any) -> Any:
    return ct.measure_csc(RelevanceChain(given, X), vectors=2, bootstrap=0).dataset


def test_a_vjp_chain_names_what_it_is_given():
    shapes = {"input": SHAPE, "out": (2,)}
    named = [VjpChain({}, shapes, 1, network=given).network.name for given in kinds().values()]
    assert named == ["Sequential", "unnamed", "Sequential"]
    assert VjpChain({}, shapes, 1).network is None
    with pytest.raises(InputError, match="a network is a Network"):
        VjpChain({}, shapes, 1, network="vgg16")


def test_files_are_not_told_apart_by_a_graph(tmp_path):
    with pytest.raises(InputError, match="the sha256 of the weights, which a Graph doesn't say"):
        audit(graph(TOY), X, ["gradient"], out=tmp_path, **QUICK)


# ---------------------------------------------------------------- parameters of any name


@dataclass(frozen=True)
class Odd(Gradient):
    """The gradient, with parameters that are called as arguments of the chain and of others are."""

    dtype: float = 1.0
    network: str = ""
    images: int = 0
    seed: int = 0
    name: str = ""
    method: str = ""
    parameters: bool = False
    start: str = ""


ODD = {"dtype": 2.0, "network": "n", "images": 3, "seed": 4, "name": "m", "method": "o", "start": "s"}
ODD |= {"parameters": True}


@pytest.fixture
def odd(monkeypatch):
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry.entries()))
    registry.register("odd", family="gradient", description="the gradient", source="no one")(Odd)


WITH_PARAMETERS: dict[str, Callable[[Any], Any]] = {
    "RelevanceChain": lambda p: RelevanceChain(graph(TOY), X, "odd", parameters=p).method,
    "open_chain": lambda p: open_chain(graph(TOY), X, "odd", parameters=p).method,
    "Attribution": lambda p: Attribution(graph(TOY), "odd", parameters=p).method,
    "reproduced": lambda p: reproduced("odd", parameters=p),
    "get_method": lambda p: get_method("odd", **p),
}


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize("entry", WITH_PARAMETERS.values(), ids=WITH_PARAMETERS)
def test_a_parameter_may_have_any_name(entry):
    assert vars(entry(ODD).rule) == ODD
    assert entry({}).rule == Odd()


@pytest.mark.usefixtures("odd")
def test_parameters_of_any_name_go_with_every_call():
    """And are said by what results say of the rule."""
    audited = audit(graph(TOY), X, ["odd"], parameters=ODD, **QUICK).comparison
    found = [
        audited,
        explain_maps(graph(TOY), X, "odd", [0], parameters=ODD),
        class_sensitivity(graph(TOY), X, "odd", ClassSettings(parameters=ODD)),
        sanity_check(graph(TOY), X, "odd", SanitySettings(**vars(SANITY) | {"parameters": ODD})),
    ]
    assert {str(one.dataset["rule"].values[0]) for one in found} == {get_method("odd", **ODD).described}
    assert "dtype=2.0" in get_method("odd", **ODD).described
    assert torch.equal(explain(graph(TOY), X, "odd", parameters=ODD), explain(graph(TOY), X, "gradient"))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("RelevanceChain", lambda **k: RelevanceChain(graph(TOY), X, "lrp-zplus", **k)),
        ("open_chain", lambda **k: open_chain(graph(TOY), X, "lrp-zplus", **k)),
        ("explain", lambda **k: explain(graph(TOY), X, "lrp-zplus", **k)),
        ("explain_maps", lambda **k: explain_maps(graph(TOY), X, "lrp-zplus", **k)),
        ("Attribution", lambda **k: Attribution(graph(TOY), "lrp-zplus", **k)),
        ("reproduced", lambda **k: reproduced("lrp-zplus", **k)),
        ("explain", lambda **k: saliency(graph(TOY), X, Z_PLUS, FIRST, **k)),
        ("audit", lambda **k: audit(graph(TOY), X, "lrp-zplus", **k)),
    ],
)
def test_an_unknown_keyword_is_told_where_parameters_go(name, call):
    with pytest.raises(
        TypeError, match=rf"^{name} takes no argument 'bias'; .* parameters={{'bias': \.\.\.}}$"
    ):
        call(bias="none")


def test_a_keyword_that_is_nearly_one_is_understood():
    with pytest.raises(TypeError, match=r"^audit takes no argument 'method'; did you mean 'methods'\?"):
        audit(graph(TOY), X, method="gradient")


@pytest.mark.parametrize("model", ["network", "graph", "module"])
def test_an_array_of_numpy_is_told_what_it_should_be(model):
    for call in (RelevanceChain, open_chain, explain, audit):
        with pytest.raises(InputError, match=r"not an array of numpy: torch\.from_numpy\(images\)"):
            call(kinds()[model], X.numpy(), "gradient")


@pytest.mark.parametrize(
    ("method", "parameters", "words"),
    [
        (Z_PLUS, {"bias": "none"}, "lrp-alpha1beta0 is given as a Method, whose rule has its parameters"),
        ("lrp-zplus", ["bias"], "parameters= maps their names to values, and is no list"),
        ("lrp-zplus", {"bogus": 1}, "method 'lrp-zplus' has no parameter 'bogus'"),
        (Gradient(), None, "a method is a name or a Method .*, not Gradient"),
        (3, None, "a method is a name or a Method .*, not int"),
    ],
    ids=["a method's own", "no mapping", "unknown", "a rule", "a number"],
)
def test_wrong_methods_and_parameters_get_one_line(method, parameters, words):
    for call in (RelevanceChain, open_chain, explain, explain_maps):
        with pytest.raises(InputError, match=words) as caught:
            call(graph(TOY), X, method, parameters=parameters)
        assert "\n" not in str(caught.value)
