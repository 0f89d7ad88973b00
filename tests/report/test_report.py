"""The report: what it holds, in every format, from whatever results there are."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from conetheory.cli import main
from conetheory.errors import InputError
from conetheory.report import load_findings, write_report
from conetheory.report.drawings import Cone, angle, cone_svg, cones
from conetheory.report.payload import payload
from conetheory.report.pictures import map_uri
from conetheory.report.verdict_tables import cells, used_columns, verdict_tables
from conetheory.results.verdict import verdicts
from tests.report import folders

KINDS = ("comparison", "sanity", "classes", "maps")
VOID = {"meta", "link", "img", "input", "br"}


class Structure(HTMLParser):
    """Text and attributes of a page; complains of tags that are not closed in their order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.stack):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def folder(results) -> Path:
    return results


@pytest.fixture(scope="module")
def page(report) -> str:
    return report.read_text("utf-8")


PAPER = "https://arxiv.org/abs/1912.09818"


def test_the_page_is_whole_and_needs_nothing_else(page):
    page = page.replace(f'<a href="{PAPER}">', "<a>")  # a link, which asks for nothing by itself
    found = Structure(page).attributes
    addresses = [attrs[name] for _, attrs in found for name in ("src", "href") if name in attrs]
    assert addresses
    assert all(a.startswith(("data:", "#")) for a in addresses)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(", page)
    ids = [attrs["id"] for _, attrs in found if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert all(attrs["aria-labelledby"] in ids for _, attrs in found if "aria-labelledby" in attrs)
    assert all(attrs.get("alt") for tag, attrs in found if tag == "img")


def test_the_verdict_comes_first_and_everything_is_there(page):
    text = Structure(page).text.replace("‑", "-")
    headline = (
        "On toy_cnn, gradient depends on the decision; lrp-alpha1beta0 keeps only a spatial weighting of it; "
        "guided-backprop does not depend on it."
    )
    order = [headline, "Verdict", "Predicted over measured", "The cone closes", "Randomising the network"]
    order[2:2] = ["In words", "lrp-alpha1beta0 from logits", "The decision is lost from"]
    order += ["Another class, another map?", "Maps, side by side", "Where the numbers come from"]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert folders.SHA in text
    assert "only through a spatial weighting of rank 3" in text
    assert page.count("data:image/png;base64,") == 3 * 3 + 2 * (1 + 2 * 3)  # directions; pictures and maps


def test_at_80_columns_of_a_terminal_no_number_is_broken():
    found = verdicts(folders.comparison(), folders.sanity(), folders.classes())
    console = Console(width=80, file=io.StringIO())
    console.print(*verdict_tables(found, "verdicts"), sep="\n")
    printed = console.file.getvalue()
    assert max(map(len, printed.splitlines())) <= 80
    assert "…" not in printed
    words = printed.split()
    for verdict in found:
        assert {word for text in cells(verdict).values() for word in text.split()} <= set(words)
    for name in used_columns(found):
        assert f"{name}:" in " ".join(words)


def test_what_a_class_moves_and_how_far_whole_maps_are_apart_are_two_columns():
    rows = [cells(v) for v in verdicts(folders.comparison(), classes=folders.classes())]
    assert all(row["variance moved"].endswith("%") and float(row["whole maps"]) > 0 for row in rows)


def test_the_curves_are_the_numbers_of_the_results(folder):
    (study,) = load_findings(folder)
    data = json.loads(json.dumps(payload(study)))
    panel = next(p for p in data["csc"] if (p["method"], p["start"]) == ("lrp-alpha1beta0", "conv4"))
    one = folders.comparison().sel({"method": "lrp-alpha1beta0", "start": "conv4"}).isel(layer=slice(3, None))
    assert panel["labels"] == list(one["layer"].values)
    np.testing.assert_allclose(panel["curves"]["measured"], one["measured_deficit_median"], rtol=1e-5)
    np.testing.assert_allclose(panel["curves"]["certified"], one["certified_deficit_upper"], rtol=1e-5)
    np.testing.assert_allclose(panel["bands"]["measured-band"], one["measured_band"].T, rtol=1e-5)
    smallest = np.nanmin(folders.comparison()["measured_deficit_median"])
    assert 10.0 ** -data["exponent"] < smallest < 10.0 ** (1.1 - data["exponent"])
    sanity = next(p for p in data["sanity"] if p["method"] == "gradient")
    assert sanity["curves"]["cascading|ssim"]["median"][0] == pytest.approx(0.25)
    assert sanity["logit"]["ssim"] == pytest.approx(0.3)


def test_cones_have_the_angles_of_the_cosines(folder):
    picture = cone_svg(Cone("conv1", 60.0, None, None), 100, 100)
    (sides,) = re.findall(r'class="worst" d="M50.00,99.00L(\S+?),(\S+?)A', picture)
    x, y = 50 - float(sides[0]), 99 - float(sides[1])
    assert np.degrees(np.arctan2(x, y)) == pytest.approx(30, abs=0.1)
    (study,) = load_findings(folder)
    found = {(m, s): c for m, s, c in cones(study)}
    last = found["lrp-alpha1beta0", "logits"][-1]
    deficit = float(folders.comparison()["measured_deficit_median"].sel({"method": "lrp-alpha1beta0"})[0, -1])
    assert np.cos(np.radians(last.median)) == pytest.approx(1 - deficit, abs=1e-12)
    assert last.median == pytest.approx(np.degrees(np.sqrt(2 * deficit)), rel=1e-3)
    assert found["gradient", "logits"][0].worst is None


@pytest.mark.parametrize(
    ("degrees", "text"),
    [(75.6, "76°"), (1.234, "1.2°"), (0.5, "30′"), (1e-3, "3.6″"), (1e-5, "0.0″"), (None, "")],
)
def test_angles_are_written_in_units_that_fit(degrees, text):
    assert angle(degrees) == text


def test_maps_are_blue_under_zero_white_at_zero_and_red_above():
    uri = map_uri(np.array([[-2.0, 0.0, 2.0]]))
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    blue, white, red = pixels[0, 5].astype(int), pixels[0, 64].astype(int), pixels[0, -5].astype(int)
    assert blue[2] > blue[0] + 50
    assert min(white) > 240
    assert red[0] > red[2] + 50
    assert map_uri(np.zeros((2, 2)))  # nothing to scale by


def pages(path: Path) -> int:
    content = path.read_bytes()
    assert content.startswith(b"%PDF")
    return len(re.findall(rb"/Type /Page\b", content))


@pytest.mark.parametrize(
    ("kind", "format"), [*((kind, "html") for kind in KINDS), ("maps", "md"), ("classes", "pdf")]
)
@pytest.mark.slow
def test_each_kind_of_result_alone_makes_a_report(tmp_path, kind, format):
    path = write_report(folders.write(tmp_path / "some", kind), format=format)
    assert path == tmp_path / "some" / f"report.{format}"
    if format == "pdf":
        assert pages(path) == 4  # the verdict, what its columns say, the figure, the provenance
    if format == "html":
        assert "toy_cnn" in Structure(path.read_text("utf-8")).text


@pytest.mark.exhaustive
def test_markdown_links_to_figures_that_are_there(folder, tmp_path):
    path = write_report(folder, tmp_path / "deep" / "notes.md", "md")
    text = path.read_text("utf-8")
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", text)
    assert pictures == [f"notes-1-{name}.png" for name in ("csc", "sanity", "classes", "maps")]
    for name in pictures:
        with Image.open(path.parent / name) as picture:
            assert min(picture.size) > 200
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1
    assert folders.SHA in text


@pytest.mark.exhaustive
def test_the_pdf_has_a_page_for_verdict_columns_words_each_figure_and_the_provenance(folder, tmp_path):
    written = write_report(folder, tmp_path / "report.pdf", "pdf")
    assert pages(written) == 8
    assert len(set(re.findall(rb"/MediaBox \[([^\]]*)\]", written.read_bytes()))) == 1  # of one format


@pytest.mark.exhaustive
def test_networks_have_sections_of_their_own_and_methods_are_taken_once(tmp_path):
    folders.write(tmp_path, "comparison")
    one = folders.comparison(("gradient",))
    one["measured_deficit_median"] = one["measured_deficit_median"] * 0 + 1e-9
    for name, data in (("gradient.nc", one), ("a/other.nc", folders.comparison(("gradient",), "other_cnn"))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        data.to_netcdf(tmp_path / name, engine="h5netcdf")
    more = folders.comparison(("gradient",)).assign_coords({"method": ["deconvnet"]})
    more.attrs["seed"] = 4
    more.to_netcdf(tmp_path / "a" / "deconvnet.nc", engine="h5netcdf")
    other, toy = load_findings(tmp_path)
    assert (other.network, toy.network) == ("other_cnn", "toy_cnn")
    assert toy.methods == [*folders.METHODS, "deconvnet"]
    assert [path for path, _ in toy.sources] == ["comparison.nc", "a/deconvnet.nc"]
    gradient = next(v for v in toy.verdicts if v.method == "gradient")
    assert gradient.find("measured_deficit_median").value > 0.1  # the joined file's
    assert "seed" not in toy.comparison.dataset.attrs  # they don't agree in it
    text = Structure(write_report(tmp_path).read_text("utf-8")).text
    assert text.index("On other_cnn") < text.index("On toy_cnn")


@pytest.mark.exhaustive
def test_runs_of_other_layers_and_sizes_are_reported_together(tmp_path):
    """Layers stay in their order from the output, so that the last ones are those that come first."""
    whole = folders.sanity()
    whole = whole.assign_coords(depth=("layer", range(whole.sizes["layer"])))
    parts = {"gradient": ["fc6", "conv4"], "lrp-alpha1beta0": ["fc5", "pool2", "conv1"]}
    for number, (method, layers) in enumerate(parts.items()):
        one = whole.sel({"method": [method], "layer": layers})
        one.to_netcdf(tmp_path / f"sanity-{number}.nc", engine="h5netcdf")
        few = folders.classes().sel({"method": [method]}).isel(rank=slice(2 + number))
        few.to_netcdf(tmp_path / f"classes-{number}.nc", engine="h5netcdf")
    (study,) = load_findings(tmp_path)
    assert list(study.sanity["layer"].values) == ["fc6", "fc5", "pool2", "conv4", "conv1"]
    name = "similarity_median"
    for verdict in study.verdicts:
        (alone,) = verdicts(None, whole.sel({"method": [verdict.method], "layer": parts[verdict.method]}))
        assert verdict.find(name).value == alone.find(name).value
    assert study.classes.sizes["rank"] == 3
    write_report(tmp_path)
    wide = folders.classes().assign_coords({"method": ["a", "b", "c"]}).isel(x=slice(8))
    wide.to_netcdf(tmp_path / "wide.nc", engine="h5netcdf")
    with pytest.raises(InputError, match=r"different sizes along 'x' \(8, 16\)"):
        load_findings(tmp_path)


def test_names_are_text_and_nothing_else(tmp_path):
    evil = '</script><img src=x onerror="alert(1)">'
    for kind in ("comparison", "classes", "maps"):
        data = getattr(folders, kind)()
        data = data.assign_coords({"method": [evil, *data["method"].values[1:]]})
        data.attrs["network"] = evil
        data.to_netcdf(tmp_path / f"{kind}.nc", engine="h5netcdf")
    page = write_report(tmp_path).read_text("utf-8")
    assert [a for tag, a in Structure(page).attributes if tag == "img" and a["src"] == "x"] == []
    assert "<img src=x" not in page


def test_folders_without_results_are_refused(tmp_path):
    with pytest.raises(InputError, match="no folder of results"):
        load_findings(tmp_path / "absent")
    with pytest.raises(InputError, match="holds no results"):
        load_findings(tmp_path)
    folders.comparison().assign_attrs(kind="weather").to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    with pytest.raises(InputError, match="holds no results"):
        load_findings(tmp_path)
    (tmp_path / "broken.nc").write_bytes(b"no netCDF")
    with pytest.raises(InputError, match=r"broken\.nc is no result"):
        load_findings(tmp_path)


def test_the_command_prints_the_verdicts_and_says_where_the_report_is(folder, tmp_path, capsys, monkeypatch):
    out = tmp_path / "page.html"
    monkeypatch.setattr("conetheory.report.write_report", lambda folder, out, format: out)
    assert main(["report", str(folder), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "only through a spatial weighting of rank 3" in printed
    assert f"Written: {out}" in printed
    assert main(["report", str(folder), "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [r["method"] for r in records] == list(folders.METHODS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent"], "no folder of results"),
        ([".", "--format", "docx"], "unknown format 'docx'"),
        (["."], "holds no results"),
        ([], "DIR"),
    ],
)
def test_bad_requests_get_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_a_report_that_cannot_be_written(folder, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["report", str(folder), "--out", str(tmp_path / "file" / "page.html")]) == 2
    assert "can't be written" in capsys.readouterr().err


def test_measurement_prediction_and_certificate_of_different_commands_are_laid_over_each_other(tmp_path):
    whole = folders.comparison(("lrp-alpha1beta0",))
    for number, part in enumerate(("measured_", "predicted_", "certified_")):
        kept = [n for n in whole if n.startswith(part)]
        data = whole[[*kept, "baseline_deficit"]]
        data.attrs["created"] = f"2026-01-0{number + 1}T00:00:00"  # the measurement is the oldest
        (tmp_path / part).mkdir()
        data.to_netcdf(tmp_path / part / "comparison.nc", engine="h5netcdf")
    (study,) = load_findings(tmp_path)
    assert set(whole.data_vars) <= set(study.comparison.dataset.data_vars)
    assert len(study.sources) == 3
    (verdict,) = study.verdicts
    assert {"measured_deficit_median", "certified_deficit_upper"} <= {e.name for e in verdict.evidence}


def test_a_method_whose_maps_are_all_zero_has_no_panel(tmp_path):
    data = folders.sanity()
    for name in ("similarity_median", "similarity_band", "random_logit", "rank_one_bound"):
        data[name] = data[name] * np.nan
    data.to_netcdf(tmp_path / "sanity.nc", engine="h5netcdf")
    assert "Randomising the network" not in write_report(tmp_path).read_text("utf-8")
