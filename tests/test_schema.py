"""What results say of their numbers, in memory and in files."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from conetheory import schema
from conetheory.cli import main
from conetheory.results.comparison import Comparison, compare
from conetheory.results.dataset import Measurement, Prediction, Result
from conetheory.results.joining import join_methods
from conetheory.results.verdict import verdicts
from conetheory.schema.registry import _DECLARED
from tests.report import folders

RESULTS = sorted((Path(__file__).parents[1] / "experiments" / "results").glob("*.nc"))
SIDES = {"measured", "estimate", "lower", "upper", "exact", "text"}


def everything(tmp_path):
    """All that commands write, by kind."""
    asked = ["cifar10_cnn", "--limit", "1", "--out", str(tmp_path)]
    for command in (
        ["certify", "--positions", "2", "--start", "conv2"],
        ["classes"],
        ["sanity", "--layer", "fc6"],
        ["explain"],
    ):
        name, *options = command
        assert main([name, *asked, *options]) == 0
    return {path.stem: Result.load(path).dataset for path in tmp_path.glob("*.nc")}


@pytest.mark.exhaustive
def test_every_variable_that_is_written_is_declared(tmp_path):
    found = everything(tmp_path)
    assert {"comparison", "classes", "sanity", "maps"} <= set(found)
    for kind, data in found.items():
        assert data.attrs["schema"] == schema.VERSION
        for name, values in data.data_vars.items():
            said = schema.variable(name)
            assert said is not None, (kind, name)
            assert said.side in SIDES
            assert values.attrs["long_name"] == said.meaning
            assert values.attrs["units"] == said.unit


def test_what_a_deficit_is_has_one_spelling():
    """In what is printed and drawn: the formula is `schema.FORMULA`, the unit in files `schema.DEFICIT`."""
    package = Path(schema.__file__).parents[1]
    spelt = []
    for path in package.rglob("*.py"):
        if "|cos|" not in (text := path.read_text()):
            continue
        tree = ast.parse(text)
        alone = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}  # docstrings
        texts = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        found = [n.value for n in texts if id(n) not in alone and "|cos|" in n.value]
        spelt += [(path.name, value) for value in found if path.name != "theorems.py"]
    assert spelt == [("kinds.py", schema.FORMULA)]
    earlier = {"label": "", "side": "upper", "units": schema.FORMULA, "long_name": "of an earlier file"}
    assert schema.variable("bound_upper", earlier).unit == schema.DEFICIT


def test_bounds_are_named_for_their_side():
    for side, least in (("upper", 8), ("lower", 2)):
        declared = [v for v in _DECLARED.values() if v.side == side]
        assert len(declared) > least
        assert all(f"_{side}" in v.name for v in declared)
        assert not any(f"_{side}" in v.name for v in _DECLARED.values() if v.side != side)


@pytest.mark.parametrize("path", RESULTS, ids=lambda p: p.stem)
def test_files_of_earlier_versions_open_and_join(path):
    found = Result.load(path)
    methods = [str(m) for m in found.dataset["method"].values]
    halves = [Result(found.dataset.sel({"method": part})) for part in (methods[:2], methods[2:])]
    joined = join_methods(halves).dataset
    assert list(joined["method"].values) == methods
    for name, values in found.dataset.data_vars.items():
        np.testing.assert_array_equal(joined[name].values, values.values, err_msg=name)
        assert schema.variable(name, values.attrs), name


def test_a_comparison_of_an_earlier_version_is_read_as_one_of_today(tmp_path):
    folders.write(tmp_path, "comparison")  # says nothing of its variables
    found = Comparison.load(tmp_path / "comparison.nc")
    assert [t.label for t in found.theories] == ["local spectrum"]
    assert all(row["predicted"].keys() == {"local_spectrum"} for row in found.rows())
    (gradient,) = (v for v in verdicts(found.dataset) if v.method == "gradient")
    assert gradient.find(schema.MEASURED).label == "measured deficit"


def test_theories_come_in_rank_whatever_the_order_in_the_file():
    data = folders.comparison()
    data["predicted_mean_field"] = data["predicted_local_spectrum"] * 2
    names = ["predicted_mean_field", "predicted_local_spectrum", schema.MEASURED]
    assert [t.name for t in schema.theories(data[names])] == ["local-spectrum", "mean-field"]


def test_what_another_says_of_its_variable_survives_joining(tmp_path):
    """In whichever method it is."""
    data = folders.comparison()
    own = data.assign(mine=data[schema.MEASURED] * 2)
    said = {"label": "mine", "long_name": "of my own", "units": "1", "side": "measured"}
    own["mine"].attrs = said
    joined = join_methods([Result(data).of("gradient"), Result(own).of("lrp-alpha1beta0")])
    found = Result.load(joined.save(tmp_path / "mine.nc")).dataset["mine"]
    assert schema.variable("mine", found.attrs).meaning == "of my own"
    assert {k: found.attrs[k] for k in said} == said


def test_attributes_survive_comparison_joining_and_files(tmp_path):
    data = folders.comparison()
    measured = Measurement(data.drop_vars("predicted_local_spectrum"))
    joined = compare(measured, Prediction(data[["predicted_local_spectrum"]]))
    path = join_methods([joined.of("gradient"), joined.of("lrp-alpha1beta0")]).save(tmp_path / "c.nc")
    for name, values in Comparison.load(path).dataset.data_vars.items():
        assert values.attrs["long_name"] == schema.variable(name).meaning, name
