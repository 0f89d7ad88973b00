"""The page at the widths of a phone and of screens, light and dark: nothing is cut, nothing complains."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from conetheory.report import write_report
from tests.report import folders
from tests.report.browser import CHROMIUM, browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium (Debian: apt-get install chromium)")

CUT = """[...document.querySelectorAll(
  '.verdicts, .verdicts th, .verdicts td, .verdicts span, .contents, .provenance, .provenance td, h1, .say'
)].filter((n) => n.getClientRects().length)
  .filter((n) => n.scrollWidth > n.clientWidth + (getComputedStyle(n).display === 'inline' ? 1e9 : 0))
  .map((n) => n.className + ' ' + n.textContent.slice(0, 40))"""
SCROLLED = """[...document.querySelectorAll('.scroll')]
  .filter((n) => n.querySelector('.verdicts, .provenance') && n.scrollWidth > n.clientWidth).length"""
WIDER = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def chromium():
    with browser() as page:
        yield page


def opened(page, report, width, scheme="light"):
    page.events.clear()
    page.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
    )
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.open(report)
    return page


@pytest.mark.parametrize("width", [390, 1024, 1280, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut(chromium, report, width, scheme):
    page = opened(chromium, report, width, scheme)
    assert page.run(CUT) == []
    assert page.run(SCROLLED) == 0
    assert page.run(WIDER) is False
    assert page.complaints == []
    assert page.requests == []


LONG = ("contrastive-excitation-bp", "epsilon-alpha2-beta1-flat", "pattern-attribution")


@pytest.mark.exhaustive  # a page of its own
@pytest.mark.parametrize("width", [390, 1279, 1280])
def test_nothing_is_cut_where_names_are_long(chromium, tmp_path, width):
    for kind in ("comparison", "sanity", "classes"):
        data = getattr(folders, kind)().assign_coords({"method": list(LONG)})
        if kind == "comparison":
            names = [f"stages.3.blocks.{n}.expand3x3" for n in folders.LAYERS]
            data = data.assign_coords(label=("layer", names))
        data.to_netcdf(tmp_path / f"{kind}.nc", engine="h5netcdf")
    page = opened(chromium, write_report(tmp_path), width)
    assert page.run(CUT) == []
    assert page.run(SCROLLED) == 0
    assert page.run(WIDER) is False


@pytest.mark.slow
def test_every_section_is_in_the_contents_and_every_entry_leads_to_one(chromium, report):
    page = opened(chromium, report, 1280)
    links = page.run("[...document.querySelectorAll('.contents a')].map((a) => a.getAttribute('href'))")
    heads = page.run("[...document.querySelectorAll('h2')].map((h) => '#' + h.id)")
    assert links == heads


@pytest.mark.slow
def test_bands_have_a_legend_and_numbers_a_file(chromium, report):
    page = opened(chromium, report, 1280)
    assert page.run("document.querySelectorAll('.legend .measured-band').length") == 1
    link = page.run("document.querySelector('a[download]').href")
    lines = unquote(link.partition(",")[2]).splitlines()
    assert lines[0].startswith("method,start,layer,label,")
    assert len(lines) > 10
