"""A verdict whose threshold lies inside the 95% band of its measurement is borderline, and says its band."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from conetheory import networks
from conetheory.report import html_of, write
from conetheory.report.findings import Findings
from conetheory.report.verdict_tables import MARKS, notes, verdict_tables
from conetheory.results.comparison import Comparison
from conetheory.results.evidence import CHANGED, FORGOTTEN, SIMILAR, STILL
from conetheory.results.verdict import Outcome, Verdict, decide, to_json, verdicts
from conetheory.runs import audit
from tests.report import folders

BAND = (0.0068, 0.41)  # of the gradient on one image with four vectors


def gradient(value: float, band: tuple[float, float] | None) -> xr.Dataset:
    """A comparison whose lowest layer holds this measurement, and nothing else decides."""
    data = folders.comparison(("gradient",)).copy(deep=True)
    data = data.drop_vars([n for n in data if str(n).startswith(("predicted", "certified", "measured_flat"))])
    data["measured_deficit_median"].loc[{"layer": "input"}] = value
    if band is None:
        return data.drop_vars("measured_band")
    data["measured_band"].loc[{"layer": "input"}] = np.array(band)
    return data


def judged(value: float, band: tuple[float, float] | None) -> Verdict:
    (verdict,) = verdicts(gradient(value, band))
    return verdict


def test_a_band_that_holds_the_threshold_makes_the_verdict_borderline():
    verdict = judged(0.053, BAND)
    assert verdict.outcome is Outcome.BORDERLINE
    assert verdict.leans is Outcome.DEPENDS
    assert verdict.text == "borderline: 95% band [0.0068, 0.41] holds 0.01"
    assert [e.name for e in verdict.borderline] == ["measured_deficit_median"]
    assert verdict.blind_above is None


@pytest.mark.parametrize(
    ("value", "band", "outcome"),
    [
        (0.053, None, Outcome.DEPENDS),
        (0.005, None, Outcome.SPATIAL),
        (0.053, (np.nan, np.nan), Outcome.DEPENDS),
        (0.053, (np.nextafter(FORGOTTEN, 1), 0.41), Outcome.DEPENDS),
        (0.053, (FORGOTTEN, 0.41), Outcome.BORDERLINE),  # channels forget at the threshold itself
        (0.005, (0.001, FORGOTTEN), Outcome.SPATIAL),
        (0.005, (0.001, np.nextafter(FORGOTTEN, 1)), Outcome.BORDERLINE),
        (FORGOTTEN, (FORGOTTEN, FORGOTTEN), Outcome.SPATIAL),
    ],
)
def test_a_threshold_at_an_end_of_the_band_is_inside_where_the_end_says_otherwise(value, band, outcome):
    assert judged(value, band).outcome is outcome


def test_a_band_on_which_nothing_hangs_is_not_borderline():
    """The map stands still, whatever the channels at a location do."""
    classes = folders.classes().sel({"method": "guided-backprop"}).copy(deep=True)
    classes["movable_share"] = classes["movable_share"] * 0 + STILL**2 / 2
    one = gradient(0.053, BAND).sel({"method": "gradient"})
    verdict = decide("toy", "gradient", one, classes=classes)
    assert verdict.outcome is Outcome.BLIND
    assert verdict.borderline == ()


def test_a_band_of_whole_maps_counts_as_well():
    data = gradient(1e-3, (5e-4, 2e-3))
    limit = STILL**2 / 2
    data["measured_flattened_deficit_median"] = data["measured_deficit_median"] * 0 + limit / 2
    assert verdicts(data)[0].outcome is Outcome.BLIND
    ends = np.stack([data["measured_deficit_median"] * 0 + limit * f for f in (0.1, 3.0)], -1)
    data["measured_flattened_band"] = (data["measured_band"].dims, ends)
    (verdict,) = verdicts(data)
    assert (verdict.outcome, verdict.leans) == (Outcome.BORDERLINE, Outcome.BLIND)
    assert verdict.borderline[0].threshold == limit


@pytest.mark.parametrize(
    ("value", "ends", "outcome"),
    [
        (0.4, (0.3, CHANGED), Outcome.DEPENDS),
        (0.4, (0.3, 0.51), Outcome.BORDERLINE),
        (0.6, (0.4, 0.7), Outcome.BORDERLINE),
        (0.9, (SIMILAR - 0.1, 0.95), Outcome.OPEN),  # similar or not, it decides nothing
    ],
)
def test_randomisation_has_bands_too(value, ends, outcome):
    sanity = folders.sanity().sel({"method": "gradient"}).copy(deep=True)
    sanity["similarity_median"][:] = value
    sanity["similarity_band"][:] = np.array(ends)
    assert decide("toy", "gradient", sanity=sanity).outcome is outcome


def test_layers_are_forgotten_where_all_of_the_band_is():
    data = folders.comparison(("lrp-alpha1beta0",)).copy(deep=True)
    (before,) = verdicts(data)
    data["measured_band"].loc[{"layer": before.collapsed_by, "start": "logits", "side": "upper"}] = 0.02
    (after,) = verdicts(data)
    labels = [str(label) for label in data["label"].values]
    assert labels.index(after.collapsed_by) == labels.index(before.collapsed_by) + 1


@pytest.mark.slow
def test_it_is_said_in_every_form(tmp_path):
    findings = Findings.of(Comparison(gradient(0.053, BAND)))
    (verdict,) = findings.verdicts
    assert "gradient is borderline" in findings.headline
    (record,) = json.loads(to_json([verdict]))
    assert (record["outcome"], record["leans"]) == ("borderline", "depends")
    assert record["borderline"][0]["band"] == list(BAND)
    assert [e["band"] for e in record["evidence"]] == [list(BAND)]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(*verdict_tables([verdict]), sep="\n")
    shown = " ".join(console.export_text().split())
    for part in (MARKS[Outcome.BORDERLINE], "borderline: 95% band", "[0.0068, 0.41]"):
        assert part in shown
    assert any("0.0068 to 0.41 holds the threshold 0.01" in note for note in notes(verdict))
    assert "borderline: 95% band [0.0068, 0.41] holds 0.01" in html_of(findings)
    for suffix in ("html", "md", "pdf"):
        write([findings], tmp_path / f"report.{suffix}")
    for suffix in ("html", "md"):
        text = (tmp_path / f"report.{suffix}").read_text("utf-8")
        assert "borderline: 95% band [0.0068, 0.41] holds 0.01" in text
        assert "by the value alone: depends on the decision" in text


def test_four_vectors_on_one_image_do_not_tell_whether_the_gradient_depends():
    network = networks.load("cifar10_cnn")
    photographs = networks.bundled_images(network, limit=1)
    found = audit(network, photographs, "gradient", vectors=4, theories=(), certify=0)
    verdict = found.verdict["gradient"]
    lower, upper = verdict.find("measured_deficit_median").band
    assert lower < FORGOTTEN < upper
    assert verdict.outcome is Outcome.BORDERLINE
    assert f"borderline: 95% band [{lower:.2g}, {upper:.2g}] holds 0.01" in str(found)
    assert "borderline" in found._repr_html_()
