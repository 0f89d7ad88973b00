"""The plan: what a budget affords, what is run whatever it costs, what is said of what is left out."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import conetheory as ct
from conetheory import networks
from conetheory.chain.cost import Cost, held, passes, swept, work
from conetheory.chain.explained import open_chain
from conetheory.chain.relevance import RelevanceChain
from conetheory.cli import main
from conetheory.errors import InputError
from conetheory.networks.graph import INPUT
from conetheory.predict.registry import applies, find, theories, usual
from conetheory.results.comparison import Comparison
from conetheory.results.plan import CERTIFY, MEASURE, plans, stages_in
from conetheory.rules.registry import entries, get_method
from conetheory.runs.method import run
from conetheory.runs.plan import planned
from conetheory.runs.settings import Settings
from conetheory.runs.stages import certifiable
from tests.cli.commands import QUICK, complaint
from tests.networks.toys import random_images, seeded
from tests.toys import chain

# what wants images, or concepts, before; or attention
FITTED = {"pattern-net", "pattern-attribution", "tcav", "attention-rollout"}


def body() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1)),
        *(nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5)),
    )


@pytest.fixture(scope="module")
def network():
    return networks.load(seeded(body), input_shape=(3, 12, 12))


def pictures(count: int = 2) -> torch.Tensor:
    return random_images(count, 3, 12, 12, seed=3)


def plan_of(network, method: str = "lrp-alpha1beta0", **settings):
    asked = Settings(**settings)
    found = open_chain(network, pictures(1), get_method(method))
    return planned(found, asked, certifiable=certifiable(found, asked))


@pytest.fixture(scope="module")
def tight(network) -> float:
    """Passes: measuring three vectors, the first theory, and half of the second."""
    first, second, third, *_ = plan_of(network, vectors=3).steps
    return first.passes + second.passes + third.passes / 2


def test_a_pass_is_a_vector_from_the_start_to_the_input(network):
    graph = network.graph
    assert passes(graph, "logits", "logits") == 1
    cut = graph.cuts[3]
    parts = work(graph, graph.output, cut) + work(graph, cut, INPUT)
    assert parts == pytest.approx(work(graph, graph.output, INPUT))
    found = RelevanceChain(network, pictures(1))
    assert swept(found, "logits", 7).passes == pytest.approx(7)
    assert swept(found, "logits", 7, cut, cut) == Cost()
    widest = max(np.prod(node.shape) for node in graph.nodes.values())
    assert held(found, 7, "logits") >= 7 * 4 * widest


def test_costs_add_up_and_memory_is_that_of_the_worst():
    assert Cost(2, 5) + Cost(3, 4) == Cost(5, 5)
    assert Cost(2, 5).times(3) == Cost(6, 5)


@pytest.mark.parametrize("name", list(theories()))
def test_every_theory_has_a_cost_in_memory_too(name):
    found = find(name)("logits").cost(chain("small vgg"))
    assert found.passes > 0
    assert found.bytes > 0


def many_locations():
    """More locations at the start than there is a K of, and fewer below."""
    body = [nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 1), nn.AvgPool2d(2), nn.Conv2d(2, 2, 3)]
    return networks.load(seeded(lambda: nn.Sequential(*body)), input_shape=(2, 60, 60))


@pytest.mark.parametrize("start", ["0", "1", "3"])
@pytest.mark.parametrize("name", list(theories()))
def test_every_theory_has_a_cost_from_maps_of_many_locations(name, start):
    found = RelevanceChain(many_locations(), random_images(1, 2, 60, 60))
    assert find(name)(start, positions=4).cost(found).passes >= 0


def test_second_moments_hold_no_square_of_many_locations():
    network, images = many_locations(), random_images(1, 2, 60, 60)
    names = ("second-moment", "sampled-spectrum")
    found = ct.audit(network, images, "lrp-alpha1beta0", start="1", theories=names, vectors=30, certify=0)
    (plan,) = found.comparison.plans.values()
    assert {step.stage: step.bytes for step in plan.steps}["second-moment"] < 60**4 * 8
    data = found.comparison.dataset.isel(method=0, start=0).sel(layer="input")
    for theory in ("second_moment", "sampled_spectrum"):
        assert abs(np.log10(data[f"predicted_{theory}"] / data["measured_deficit_median"])) < 0.1


def test_stages_come_in_order_and_certificates_before_the_exact_spectrum(network):
    plan = plan_of(network)
    names = [step.stage for step in plan.steps]
    wanted = ["sampled-spectrum", "second-moment", "origin", "location-columns", CERTIFY, "local-spectrum"]
    assert names == [MEASURE, *wanted]
    assert plan.left_out == ()
    assert plan.passes == pytest.approx(sum(step.passes for step in plan.steps))


@pytest.mark.parametrize("method", sorted(set(entries()) - FITTED))
def test_what_says_something_of_a_method_is_planned(network, method):
    names = {step.stage for step in plan_of(network, method).steps} - {MEASURE, CERTIFY}
    assert names == {name for name in usual() if applies(name, get_method(method)) is None}


def test_a_budget_leaves_out_what_it_does_not_afford(network, tight):
    plan = plan_of(network, budget=tight, vectors=3)
    assert {MEASURE, "sampled-spectrum"} <= set(plan.stages)
    assert sum(step.passes for step in plan.steps if step.runs and step.stage != CERTIFY) <= tight
    assert plan.left_out
    assert plan_of(network, budget=0.0).stages == (MEASURE, CERTIFY)  # a certificate of seconds is kept
    everything = plan_of(network, budget=float("inf"))
    assert everything.left_out == ()


def test_a_certificate_of_more_than_a_minute_is_subject_to_the_budget(network, monkeypatch, tight):
    monkeypatch.setattr("conetheory.runs.plan.certificate_cost", lambda *_, **__: Cost(1e9, 5e9))
    plan = plan_of(network, budget=tight, vectors=3)
    assert CERTIFY in [step.stage for step in plan.left_out]
    assert CERTIFY in plan_of(network, budget=tight, vectors=3, certify=1).stages


def test_what_is_asked_for_by_name_is_run_whatever_it_costs(network):
    plan = plan_of(network, budget=0.0, theories=("two-scale", "local-spectrum"), certify=0)
    assert plan.stages == (MEASURE, "two-scale", "local-spectrum")
    assert plan.left_out == ()


def test_the_plan_is_that_of_any_image_and_any_number_of_them(network, tight):
    settings = Settings(vectors=3, budget=tight, bootstrap=0)
    one = run(network, pictures(1), "lrp-alpha1beta0", settings).plans
    two = run(network, pictures(2).flip(0), "lrp-alpha1beta0", settings).plans
    assert one == two
    assert one["lrp-alpha1beta0"].left_out


def test_several_starts_are_counted_in_vectors_from_the_highest(network):
    one, other = (plan_of(network, starts=(start,)).steps[0].passes for start in ("logits", "3"))
    both = plan_of(network, starts=("logits", "3")).steps[0].passes
    assert one < both < one + other


def test_what_was_left_out_is_said_with_its_cost_and_is_no_violation_counted(network, monkeypatch, tight):
    monkeypatch.setattr("conetheory.runs.plan.certificate_cost", lambda *_, **__: Cost(1e9, 5e9))
    lines: list[str] = []
    settings = Settings(vectors=3, budget=tight, bootstrap=0)
    found = run(network, pictures(1), "lrp-alpha1beta0", settings, told=lines.append)
    (line,) = lines
    assert line.startswith("lrp-alpha1beta0: left out for want of a budget: ")
    assert "certify: 1,000,000,000 passes" in line
    assert "5.0 GB (--certify-images 1)" in line
    assert "--theory second-moment" in line
    assert "about" in line  # seconds, of this machine
    assert "violations" not in found.summary
    content = json.loads(found.to_json())
    assert {"missing": "not_applicable", "method": "lrp-alpha1beta0", "start": "logits"}.items() <= (
        content["not_applicable"][0].items()
    )
    assert "left out: certify: " in content["not_applicable"][0]["reason"]
    steps = {step["stage"]: step for step in content["plan"]["lrp-alpha1beta0"]}
    assert steps["measure"]["runs"]
    assert not steps["certify"]["runs"]
    assert "predicted_second_moment" not in found.dataset


def test_nothing_affordable_is_an_error(network):
    settings = Settings(measure=False, certify=0, budget=0.0)
    with pytest.raises(InputError, match="the budget affords nothing"):
        run(network, pictures(1), "lrp-alpha1beta0", settings)
    with pytest.raises(InputError, match="budget must be at least 0"):
        Settings(budget=-1.0)


@pytest.mark.slow
def test_the_plan_survives_files_and_joins(tmp_path, network, tight):
    methods = ["lrp-alpha1beta0", "gradient", "guided-backprop"]
    options = {"vectors": 3, "bootstrap": 0, "budget": tight}
    found = ct.audit(network, pictures(1), methods, out=tmp_path, **options).comparison
    again = Comparison.load(tmp_path / "gradient.nc")
    assert again.plans["gradient"] == found.plans["gradient"]
    assert set(found.plans) == set(methods)
    assert "mean-field" in [step.stage for step in found.plans["guided-backprop"].steps]
    assert "mean-field" not in [step.stage for step in found.plans["gradient"].steps]
    assert plans(found.dataset.drop_vars([v for v in found.dataset if str(v).startswith("plan")])) == {}


FILES = {
    "names": ('["measure", "second-moment"]', ("measure", "second-moment")),
    "a result": (
        '{"plan": {"a": [{"stage": "measure", "runs": true}, {"stage": "certify", "runs": false}]}}',
        ("measure",),
    ),
    "a plan": ('{"a": [{"stage": "x", "runs": true}], "b": [{"stage": "y", "runs": true}]}', ("x", "y")),
}


@pytest.mark.parametrize("kind", FILES)
def test_plans_are_read_from_files(tmp_path, kind):
    content, wanted = FILES[kind]
    path = tmp_path / "plan.json"
    path.write_text(content)
    assert stages_in(path) == wanted


@pytest.mark.parametrize("content", ["{", "3", "[3]", '{"a": 3}', '[{"stage": "measure"}]', "[]"])
def test_no_plan_is_one_line(tmp_path, content):
    path = tmp_path / "plan.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"no plan can be read|holds no plan"):
        stages_in(path)
    with pytest.raises(InputError, match="no plan can be read"):
        stages_in(tmp_path / "nowhere.json")


@pytest.mark.slow
def test_the_command_runs_a_plan_by_hand(capsys, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text('["measure", "sampled-spectrum"]')
    request = ["compare", "cifar10_cnn", *QUICK, "--plan", str(path)]
    assert main([*request, "--out", str(tmp_path / "out"), "--json"]) == 0
    found = Comparison.load(tmp_path / "out" / "comparison.nc")
    assert found.plans["lrp-alpha1beta0"].stages == ("measure", "sampled-spectrum")
    capsys.readouterr()
    assert "leave --theory" in complaint(capsys, *request, "--budget", "3")
    path.write_text('["nonsense"]')
    assert "unknown theory 'nonsense'" in complaint(capsys, *request)
