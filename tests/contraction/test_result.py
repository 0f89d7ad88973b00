"""A result of rates: records, budget, legend, and the command."""

from __future__ import annotations

import json
import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from conetheory import schema
from conetheory.chain.cost import passes
from conetheory.chain.layers import state_cuts
from conetheory.cli import main
from conetheory.contraction import Rates, rates
from conetheory.contraction.curves import THEORIES
from conetheory.errors import InputError
from conetheory.networks import Images, load
from conetheory.report.rate_tables import (
    SAID,
    file_legend,
    left_out_line,
    rate_legend,
    rate_sentence,
    rate_tables,
    said,
)
from conetheory.schema.rates import RATES, lost
from conetheory.theory.theorems import THEOREMS
from tests.contraction.cases import chain
from tests.networks.toys import seeded
from tests.toys import SHAPE, TOYS, images
from tests.toys import chain as toy_chain

KEYS = {"birkhoff", "tau_1", "sigma", "lyapunov", "origin", "walk"}
SIDES = {"exact", "upper", "lower", "estimate", "measured", "absent"}
SOURCES = ("measured", *THEORIES)
# counts: nothing is proved of them
DEFINITIONS = {"rate_rows", "rate_columns", "rate_density", "rate_passes"}


def everything(network: str = "small vgg", method: str = "lrp-alpha1beta0") -> Rates:
    return _everything(network, method)


@cache
def _everything(network: str, method: str) -> Rates:
    return rates(chain(network, method), passes=math.inf)


def numbers(record):
    """All that has a value, at any depth, by its path."""
    if isinstance(record, dict):
        if "value" in record or "side" in record:
            yield record
        for part in record.values():
            yield from numbers(part)


def test_a_result_holds_a_record_for_each_operation(tmp_path):
    found = everything()
    again = Rates.load(found.save(tmp_path / "rates.nc"))
    records = again.records
    assert [r["layer"] for r in records] == [str(n) for n in found.dataset["layer"].values]
    for record in records:
        assert set(record) >= KEYS
        json.dumps(record, allow_nan=False)
        for number in numbers(record):
            assert number["side"] in SIDES
            assert (number["value"] is None) == (number["side"] == "absent")
            assert number["value"] is not None or number["why"]
    assert again.left_out == {}


@pytest.mark.parametrize(
    ("network", "method"),
    [
        ("small vgg", "lrp-alpha1beta0"),
        ("residual with a signed branch", "lrp-alpha2beta1"),
        ("linear alone, signed input", "lrp-alpha1beta0"),
    ],
)
def test_what_has_no_number_has_a_reason(network, method):
    data = everything(network, method).dataset.isel(method=0, start=0)
    for number, layer in enumerate(data["layer"].values):
        reasons = json.loads(str(data["rate_absent"].values[number]))
        missing = {
            str(name)
            for name, values in data.data_vars.items()
            if values.dtype.kind == "f" and values.dims == ("layer",) and np.isnan(values.values[number])
        }
        assert missing == set(reasons), layer
        assert all(reasons.values())
        assert "unknown" not in reasons.values()


def test_every_variable_has_a_definition_a_side_and_a_theorem():
    """In the schema and, where a column is of it, in the legend."""
    found = everything("residual with a signed branch", "lrp-alpha2beta1")
    names = {str(name) for name in found.dataset.data_vars}
    assert {v.name for v in RATES} <= names
    for name in names:
        v = schema.variable(name)
        assert v is not None, name
        assert len(v.meaning) > 5
        assert v.side == "text" or v.theorem in THEOREMS or name in DEFINITIONS, name
        assert name.endswith(f"_{v.side}") or v.side not in ("upper", "lower")
        attributes = found.dataset[name].attrs
        assert (attributes["side"], attributes["long_name"]) == (v.side, v.meaning)
        assert attributes.get("theorem", "") == v.theorem


def test_the_legend_says_it_of_every_column():
    records = everything().records
    legend = rate_legend(records)
    shown = [column for table in rate_tables(records, "x") for column in table.columns[1:]]
    assert len(legend) == len(shown) >= 20
    numbers = [v for v in RATES if v.side != "text" and v.dims == schema.DIMS]
    assert {said(v) for v in numbers} == {*legend, *file_legend()} - {said(lost(s)) for s in SOURCES}
    for line, column in zip(legend, shown, strict=True):
        label, _, rest = line.partition(": ")
        assert label == " ".join(str(column.header).split())
        definition, side, basis = rest.rsplit("; ", 2)
        assert definition
        assert side in SAID.values()
        assert basis.startswith("theorem ") or basis == "by definition"
    assert rate_sentence(records)


def test_a_budget_leaves_out_what_it_can_not_pay_and_names_it():
    found = rates(chain("small vgg"), passes=80)
    assert found.left_out
    assert all(cost > 0 for cost in found.left_out.values())
    assert found.spent <= 80
    line = left_out_line(found.left_out, found.spent)
    assert all(name in line for name in found.left_out)
    assert "--everything" in line
    assert not everything().left_out
    assert left_out_line({}, 1.0) == ""


def test_what_a_budget_pays_for_is_what_everything_gives():
    """The same numbers, whatever else was left out."""
    some, all_of_it = rates(chain("small vgg"), passes=150).dataset, everything().dataset
    for name, values in some.data_vars.items():
        if values.dtype.kind == "f" and name != "rate_passes":
            known = ~np.isnan(values.values)
            np.testing.assert_allclose(values.values[known], all_of_it[name].values[known], rtol=1e-9)


def test_passes_add_up_along_a_chain():
    found = chain("small vgg")
    cuts = state_cuts(found, "logits")
    assert passes(found.graph, "logits", cuts[0], cuts[-1]) == pytest.approx(1)
    parts = [passes(found.graph, "logits", a, b) for a, b in pairwise(cuts)]
    assert sum(parts) == pytest.approx(1)


@pytest.mark.slow
def test_the_command_says_and_writes_all_of_it(tmp_path, capsys, monkeypatch):
    """On a toy network: tables, legend, sentence, and three kinds of files; and --json."""
    toy, pictures = load(seeded(TOYS["small vgg"]), input_shape=SHAPE), Images(images(1), ("one",))
    monkeypatch.setattr("conetheory.networks.load", lambda *_, **__: toy)
    monkeypatch.setattr("conetheory.cli.request.read_images", lambda *_, **__: pictures)
    asked = ["rates", "toy", "--everything", "--out", str(tmp_path)]
    assert main(asked) == 0
    printed = capsys.readouterr().out
    found = Rates.load(tmp_path / "rates.nc")
    for line in [*rate_legend(found.records), *file_legend(), rate_sentence(found.records)]:
        assert line in printed
    assert "Left out" not in printed
    assert set(json.loads((tmp_path / "rates.json").read_text())["lrp-alpha1beta0"][0]) >= KEYS
    assert (tmp_path / "rates-lrp-alpha1beta0.png").stat().st_size > 1000
    assert main([*asked, "--resume", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)["lrp-alpha1beta0"]
    assert records == json.loads(json.dumps(found.records))
    assert main([*asked[:2], "--budget", "1", "--out", str(tmp_path / "less")]) == 0
    assert "Left out, with its cost in vectors" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["rectgrad", "deeplift-ablation"])
def test_methods_without_a_matrix_are_refused_in_one_line(method):
    with pytest.raises(InputError, match=r"^no rates: "):
        rates(toy_chain("small vgg", method, count=1))
