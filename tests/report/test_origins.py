"""Origins, fields and words in every form of the report, and as a figure."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from conetheory.cli import main
from conetheory.plotting.origins import drawn_methods, origins_figure
from conetheory.report import load_findings, write_report
from conetheory.report.pictures import origins
from conetheory.results.dataset import Maps
from tests.report import folders


def with_origins() -> xr.Dataset:
    """Of one method of three: two channels at a location, whose origins lie apart; fields of two classes."""
    data = folders.maps()
    methods = [str(m) for m in data["method"].values]
    y, x = np.mgrid[:6, :8].astype(float)
    bumps = [np.exp(-((x - at) ** 2 + (y - 3) ** 2) / 3) for at in (2, 5)]
    density = np.full((3, 2, 4, 6, 8), np.nan)
    density[1, :, :2] = [bump / bump.sum() for bump in bumps]
    channel = np.full((3, 2, 4), np.nan)
    channel[1, :, :2] = 7, 11
    field = np.full((3, 2, 2, 6, 8), np.nan)
    field[1] = 1 + 0.1 * (x - 3.5)
    lead = ("method", "image")
    of = {"method": methods}
    return data.assign(
        origin_density=((*lead, "channel", "v", "u"), density),
        origin_channel=((*lead, "channel"), channel),
        origin_place=((*lead, "axis"), np.full((3, 2, 2), 0.5)),
        location_field=((*lead, "target", "v", "u"), field),
        origin_cut=("method", np.array(["", "conv4 (6 x 8)", ""], object)),
        origin_layer=("method", np.array(["", "conv1", ""], object)),
    ).assign_coords(of)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = folders.write(tmp_path_factory.mktemp("results"), "comparison")
    with_origins().to_netcdf(path / "maps.nc", engine="h5netcdf")
    return path


def test_the_figure_has_a_row_for_each_method_that_has_origins():
    data = with_origins()
    assert drawn_methods(data) == ["lrp-alpha1beta0"]
    assert drawn_methods(folders.maps()) == []
    figure = origins_figure(data, "one")
    assert len(figure.axes) == 1 + 2 * 2
    panel = figure.axes[0]
    assert panel.get_title() == "lrp-alpha1beta0\norigins at conv1"
    assert panel.get_legend_handles_labels()[1] == ["7", "11"]
    means = [line.get_xydata()[0] for line in panel.lines if line.get_marker() == "o"]
    xs = [(mean[0] + 0.5) * 8 / 32 - 0.5 for mean in means]  # in locations of the cut
    assert xs == pytest.approx([2, 5], abs=0.1)


def test_arrows_point_up_the_gradient_of_the_field():
    panel = origins_figure(with_origins(), "one").axes[1]
    (arrows,) = (c for c in panel.collections if type(c).__name__ == "Quiver")
    assert (np.asarray(arrows.U) > 0).all()
    np.testing.assert_allclose(arrows.V, 0, atol=1e-12)


@pytest.mark.slow
def test_the_page_has_words_and_origins(folder):
    page = write_report(folder).read_text("utf-8")
    assert "In words" in page
    assert "The decision is lost from" in page
    assert "Where relevance comes from" in page
    assert "at conv1, from conv4 (6 x 8)" in page
    (findings,) = load_findings(folder)
    found = list(origins(findings))
    assert [(o["method"], o["image"], o["channels"]) for o in found] == [
        ("lrp-alpha1beta0", image, [7, 11]) for image in ("one", "two")
    ]
    assert all(len(o["targets"]) == 2 for o in found)
    assert page.count("<small>(measured)</small>") > 6


@pytest.mark.exhaustive
def test_markdown_has_them_too(folder, tmp_path):
    text = write_report(folder, tmp_path / "r.md", "md").read_text("utf-8")
    assert "## In words" in text
    assert "**lrp-alpha1beta0 from logits.** The decision is lost from" in text
    for number in (1, 2):
        with Image.open(tmp_path / f"r-1-origins-{number}.png") as picture:
            assert min(picture.size) > 200


@pytest.mark.exhaustive
def test_pdf_has_them_too(folder, tmp_path):
    assert write_report(folder, tmp_path / "r.pdf", "pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.exhaustive  # a theory, a map and a figure
def test_explain_draws_origins_where_there_are_some(tmp_path, capsys):
    asked = ["explain", "cifar10_cnn", "--limit", "1", "--out", str(tmp_path), "--origin"]
    assert main([*asked, "conv2", "--method", "lrp-zplus", "--method", "gradient"]) == 0
    printed = capsys.readouterr()
    assert "no origins: gradient keeps neither the cone nor the sum" in printed.err
    assert "origins-chelsea.png" in printed.out
    data = Maps.load(tmp_path / "maps.nc").dataset
    assert drawn_methods(data) == ["lrp-alpha1beta0"]
    density = data["origin_density"].sel({"method": "lrp-alpha1beta0"})
    np.testing.assert_allclose(density.sum(["v", "u"]), 1, rtol=1e-5)
    assert main([*asked, "fc5"]) == 2
    assert "is not below 'pool2'" in capsys.readouterr().err
