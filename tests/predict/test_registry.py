"""Theories register: one file is an option, a column, a curve and a piece of evidence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from conetheory import schema
from conetheory.chain import supply
from conetheory.cli import main
from conetheory.errors import InputError
from conetheory.plotting.csc import csc_figure
from conetheory.predict import Theory, applies, find, predict_csc, registry, theories
from conetheory.results.comparison import Comparison
from conetheory.rules.registry import get_method
from conetheory.theory.records import NotApplicable
from tests.toys import chain

FILE = Path(__file__).with_name("toy_theory.py")
TOY = FILE.read_text()
REQUEST = ["--limit", "1", "--vectors", "3", "--positions", "3", "--certify-images", "0"]


@pytest.fixture
def toys(monkeypatch):
    """Two theories that want the same columns, known while the test runs."""
    for name in ("toy", "twin"):
        exec(
            compile(
                TOY.replace('"toy"', f'"{name}"').replace('"toy theory"', f'"{name} theory"'), name, "exec"
            ),
            {},
        )
    yield
    for name in ("toy", "twin"):
        registry.unregister(name)


def test_a_theory_is_one_file_of_30_lines():
    assert len(TOY.splitlines()) <= 30


@pytest.mark.slow
def test_a_registered_theory_is_in_every_table_figure_and_report(toys, capsys, tmp_path):
    out = ["--out", str(tmp_path / "out")]
    asked = ["--theory", "toy", "--theory", "local-spectrum", "--method", "gradient", "--start", "conv2"]
    assert main(["compare", "cifar10_cnn", *REQUEST, *asked, *out]) == 0
    printed = capsys.readouterr().out
    assert "toy theory: |error|" in printed
    found = Comparison.load(tmp_path / "out" / "comparison.nc")
    assert [t.name for t in found.theories] == ["local-spectrum", "toy"]
    assert np.isfinite(found.dataset["predicted_toy"]).any()
    assert np.isfinite(found.dataset["error_decades_toy"]).any()
    said = found.dataset["predicted_toy"].attrs
    assert (said["label"], said["units"], said["theory"]) == ("toy theory", schema.DEFICIT, "toy")
    labels = csc_figure(found.dataset).axes[0].get_legend_handles_labels()[1]
    assert "predicted: toy theory" in labels
    rows = json.loads((tmp_path / "out" / "comparison.json").read_text())["layers"]
    assert {"toy", "local_spectrum"} == set(rows[-1]["predicted"])
    assert main(["report", *out[1:]]) == 0
    assert '"name": "toy theory"' in (tmp_path / "out" / "report.html").read_text()
    gradient = next(m for m in json.loads(_methods(capsys)) if m["name"] == "gradient")
    assert "toy" in gradient["theories"]


def _methods(capsys) -> str:
    capsys.readouterr()
    assert main(["methods", "--json"]) == 0
    return capsys.readouterr().out


def test_a_file_speaks_of_a_theory_that_is_not_known_any_more(tmp_path):
    exec(compile(TOY, "toy", "exec"), {})
    predict_csc(chain("linear alone, signed input"), theory="toy").save(tmp_path / "p.nc")
    registry.unregister("toy")
    from conetheory.results.dataset import Result

    (theory,) = schema.theories(Result.load(tmp_path / "p.nc").dataset)
    assert (theory.name, theory.label) == ("toy", "toy theory")


def test_what_two_theories_want_is_computed_once(toys, monkeypatch):
    made = []
    real = supply.location_columns
    monkeypatch.setattr(supply, "location_columns", lambda *a, **k: made.append(a[1]) or real(*a, **k))
    data = predict_csc(chain("small vgg"), theory=["toy", "twin"]).dataset
    assert made == ["logits"]
    np.testing.assert_array_equal(data["predicted_toy"], data["predicted_twin"])


def test_location_columns_are_the_dense_ones():
    found = chain("small vgg", count=1)
    start = found.layers[2]
    C = found.as_matrix(start, "input")
    h = C.sum(0).reshape(found.shape(start)[0], -1)
    blocks = supply.Supply(found, start, ["input"])[supply.LOCATIONS]["input"]
    columns = np.einsum("ick,ck->ik", C.reshape(len(C), *h.shape), h)
    (block,) = blocks
    dense = columns.reshape(found.shape("input")[0], -1, h.shape[1])[:, block.positions].transpose(1, 0, 2)
    np.testing.assert_allclose(block.matrices.numpy(), dense, rtol=1e-10, atol=1e-14)


def test_moments_are_sums_over_location_columns():
    found = chain("small vgg", count=1)
    start = found.layers[2]
    given = supply.Supply(found, start, ["input"])
    (D,), (six,) = (given[need]["input"] for need in (supply.LOCATIONS, supply.MOMENTS))
    _, height, width = found.shape(start)
    y, x = (c.ravel() for c in np.mgrid[:height, :width])
    factors = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], 1)
    np.testing.assert_allclose(six.matrices.numpy(), D.matrices.numpy() @ factors, rtol=1e-9, atol=1e-12)


def test_nothing_supplies_what_is_not_known():
    with pytest.raises(InputError, match="nothing supplies 'colums'; known: unit-columns"):
        supply.Supply(chain("small vgg"), "logits")["colums"]


@pytest.mark.parametrize("name", ["twoscale", "two_scale", "spectrum"])
def test_a_misspelt_theory_raises(name):
    with pytest.raises(InputError, match=f"unknown theory '{name}'"):
        applies(name, get_method("gradient"))
    with pytest.raises(InputError, match="unknown theory"):
        predict_csc(chain("small vgg"), theory=name)


def test_near_misses_are_understood():
    with pytest.raises(InputError, match="did you mean 'two-scale'"):
        find("twoscale")


def test_what_needs_columns_says_nothing_of_a_method_that_has_none(toys):
    """Whether its class says so, as those here do, or not."""
    for name in ("toy", "twin", *(name for name, theory in theories().items() if theory.needs)):
        assert "not linear" in applies(name, get_method("guided-backprop")).reason
    assert Theory.applies(get_method("guided-backprop")) is None
    assert applies("toy", get_method("gradient")) is None
    found = predict_csc(chain("small vgg", "guided-backprop"), theory="toy").dataset
    assert not any(np.isfinite(found[name]).any() for name in found if str(name).startswith("predicted"))


@pytest.mark.parametrize("name", list(theories()))
def test_every_theory_says_what_it_is_and_what_it_costs(name):
    theory = find(name)
    assert issubclass(theory, Theory)
    assert theory.label
    assert theory.__doc__
    assert set(theory.needs) <= set(supply.NEEDS)
    assert theory("logits").cost(chain("small vgg")).passes > 0
    said = applies(name, get_method("occlusion"))
    assert isinstance(said, NotApplicable)
    assert schema.variable(registry.described(theory).predicted).label == theory.label


def test_names_are_taken_once():
    exec(compile(TOY, "toy", "exec"), {})
    with pytest.raises(ValueError, match="registered already"):
        exec(compile(TOY, "toy", "exec"), {})
    registry.unregister("toy")
