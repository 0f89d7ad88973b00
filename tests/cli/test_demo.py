"""The demo: what it prints and leaves; its parts have quick tests of their own."""

from __future__ import annotations

import json
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from conetheory.cli import main
from conetheory.results.comparison import Comparison
from tests.cli.commands import SMOKE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[Path, str]:
    """The demo in its smallest setting: the folder and what it printed."""
    out = tmp_path_factory.mktemp("demo")
    with redirect_stdout(StringIO()) as printed:
        assert main(["demo", *SMOKE, "--out", str(out)]) == 0
    return out, printed.getvalue()


def test_demo_prints_a_table_the_errors_and_a_sentence(demo):
    out, printed = demo
    for heading in ("measured", "spectrum", "moments", "second moments:", "worst", "dead"):
        assert heading in printed
    table = printed.split("lrp-alpha2beta1 from logits")[0]
    layers = re.findall(r"^ *(\S+) +\d\.\d", table, re.MULTILINE)
    assert layers == ["fc6", "fc5", "pool2", "conv4", "conv3", "pool1", "conv2", "conv1", "input"]
    assert "certificates: 0 violations in" in printed
    assert "down, z+ maps of any two classes agree to at least cos" in printed
    assert str(out / "comparison.png") in printed


def test_demo_leaves_the_comparison_as_json(demo):
    content = json.loads((demo[0] / "comparison.json").read_text())
    names = {
        "layer",
        "start",
        "method",
        "measured_deficit_median",
        "predicted",
        "error_decades",
        "certified_cos_lower",
    }
    theories = {"local_spectrum", "second_moment", "sampled_spectrum", "origin", "location_columns"}
    assert len(content["layers"]) == 27
    for record in content["layers"]:
        assert names <= set(record)
        assert set(record["predicted"]) == set(record["error_decades"]) == theories
    bound = content["layers"][8]
    assert (bound["layer"], bound["start"], bound["method"]) == ("input", "logits", "lrp-alpha1beta0")
    assert 0 < bound["certified_cos_lower"] <= 1
    summary = content["summary"]
    assert set(summary["median_abs_error_decades"]) == set(summary["p90_abs_error_decades"]) == theories
    assert summary["violations"] == 0
    assert summary["bounds_checked"] > 0
    assert content["not_applicable"][0]["method"] == "lrp-alpha2beta1"
    assert {"conetheory", "network_weights_sha256", "vectors", "seed", "settings"} <= set(
        content["provenance"]
    )


def test_demo_leaves_netcdf_that_reads_back_to_the_same(demo):
    out, _ = demo
    whole = Comparison.load(out / "comparison.nc")
    assert json.loads(whole.to_json()) == json.loads((out / "comparison.json").read_text())
    assert list(whole.dataset["method"].values) == ["lrp-alpha1beta0", "lrp-alpha2beta1", "gradient"]
    one = Comparison.load(out / "lrp-alpha2beta1.nc").dataset
    both = whole.dataset["measured_deficit_median"].sel({"method": "lrp-alpha2beta1"})
    np.testing.assert_array_equal(one["measured_deficit_median"].values[0], both.values)
    assert (out / "comparison.png").stat().st_size > 10_000


def test_demo_ends_with_the_report(demo):
    """Of the main job, the maps, class sensitivity and randomisation together."""
    out, printed = demo
    page = (out / "report.html").read_text()
    assert str(out / "report.html") in printed
    assert "Does the map depend on the decision?" in printed
    for name in ("maps", "classes", "sanity", "comparison"):
        assert (out / f"{name}.nc").is_file()
    for method in ("lrp-alpha1beta0", "lrp-alpha2beta1", "gradient"):
        assert method in page
