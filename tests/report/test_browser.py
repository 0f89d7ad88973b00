"""The page in a real browser: no complaint, no request; switches, hover, keyboard, dark mode, print."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.report import folders
from tests.report.browser import CHROMIUM, Page, browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium (Debian: apt-get install chromium)")

SHOWN = "[...document.querySelectorAll('{0}')].filter(n => n.getClientRects().length).map(n => n.{1})"
COUNT = "document.querySelectorAll('{0}').length"
CHOOSE = 'document.querySelector(\'input[data-switch="{0}"][value="{1}"]\').click()'
Z_PLUS = 'figure.csc[data-method="lrp-alpha1beta0"][data-start="logits"]'
CONTRAST = """(() => {
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = light(getComputedStyle(document.documentElement).backgroundColor);
  const said = "h1, h2, p, th, td, small, .chip, legend, label, summary, .layer, .worst, .median, text";
  const contrasts = [...document.querySelectorAll(said)]
    .filter((n) => n.textContent.trim() && n.getClientRects().length)
    .map((n) => {
      const style = getComputedStyle(n), ink = light(n.tagName === "text" ? style.fill : style.color);
      return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    });
  return Math.min(...contrasts);
})()"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Page]:
    with browser() as page:
        yield page


@pytest.fixture
def page(chromium, report) -> Page:
    chromium.events.clear()
    chromium.call(
        "Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False
    )
    chromium.call("Emulation.setEmulatedMedia", media="", features=[])
    chromium.open(report)
    return chromium


def shown(page: Page, selector: str, attribute: str = "textContent") -> list[str]:
    return page.run(SHOWN.format(selector, attribute))


def test_it_loads_without_a_complaint_or_a_request_and_draws(page):
    assert page.complaints == []
    assert page.requests == []
    assert len(shown(page, "figure.csc")) == 3
    assert page.run(COUNT.format("figure.csc .curve.measured")) == 3  # of those that are shown
    assert page.run(COUNT.format("figure.sanity .curve.measured")) == 3
    broken = "[...document.images].filter((i) => !i.complete || !i.naturalWidth).length"
    assert page.run(broken) == 0


def test_the_check_of_complaints_can_fail(page):
    page.run("console.error('wrong'); fetch('https://example.org/x').catch(() => 0); 0")
    time.sleep(0.2)
    page.run("0")
    assert any("wrong" in text for text in page.complaints)
    assert any("Content Security Policy" in text for text in page.complaints)


def test_switches_of_methods_starts_curves_and_layers(page):
    page.run(CHOOSE.format("method", "gradient"))
    assert shown(page, "figure.csc", "dataset.method") == ["lrp-alpha1beta0", "guided-backprop"]
    assert shown(page, "figure.sanity", "dataset.method") == ["lrp-alpha1beta0", "guided-backprop"]
    assert "gradient" not in shown(page, ".distances .name")
    assert "gradient" not in shown(page, ".maps th")
    assert len(shown(page, ".verdicts tbody tr")) == 3  # the verdicts stay
    page.run(CHOOSE.format("start", "conv4"))
    assert len(shown(page, "figure.csc")) == 4
    assert len(shown(page, "figure.cones")) == 4
    page.run(CHOOSE.format("curve", "measured"))
    assert page.run(COUNT.format("figure.csc:not([hidden]) .curve.measured")) == 0
    assert page.run(COUNT.format("figure.csc:not([hidden]) .curve.theory-0")) > 0
    page.run(CHOOSE.format("layer", "pool1"))
    columns = page.run(f"[...document.querySelectorAll('{Z_PLUS} .column')].map((n) => n.dataset.layer)")
    assert columns == [layer for layer in folders.LAYERS if layer != "pool1"]
    page.run("document.querySelector('button[data-all=layer][value=off]').click()")
    assert page.run(COUNT.format(Z_PLUS + " .column")) == 0
    page.run("document.querySelector('button[data-all=layer][value=on]').click()")
    assert page.run(COUNT.format(Z_PLUS + " .column")) == len(folders.LAYERS)
    assert page.complaints == []


def test_the_measure_and_the_mode_of_the_sanity_check(page):
    first = "document.querySelector('figure.sanity .column').getAttribute('aria-label')"
    assert page.run(first) == "fc6: ssim 0.250, any relevance 0.200, another class 0.300"
    page.run(CHOOSE.format("measure", "spearman"))
    assert page.run(first) == "fc6: spearman 0.225, any relevance 0.180, another class 0.300"
    page.run(CHOOSE.format("mode", "independent"))
    assert page.run(first) == "fc6: spearman 0.450, another class 0.300"


def test_the_pointer_shows_values(page):
    page.run(f"document.querySelector('{Z_PLUS}').scrollIntoView()")
    box = page.run(
        f"JSON.stringify(document.querySelector('{Z_PLUS} .column:last-child').getBoundingClientRect())"
    )
    place = json.loads(box)
    assert shown(page, Z_PLUS + " .card") == []
    page.point(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    (card,) = shown(page, Z_PLUS + " .card")
    assert card.startswith("input")
    assert "measured1−1.8e-7" in card
    assert "local spectrum1−2.0e-7 (+0.04)" in card
    page.point(5, 5)
    assert shown(page, Z_PLUS + " .card") == []


def test_the_keyboard_goes_everywhere(page):
    page.press("Tab")
    assert page.run("document.activeElement.className") == "skip"
    assert page.run("document.activeElement.getBoundingClientRect().left") >= 0
    page.run(f"document.querySelector('{Z_PLUS} .column[tabindex=\"0\"]').focus()")
    page.press("ArrowRight")
    assert page.run("document.activeElement.dataset.layer") == "fc5"
    assert shown(page, Z_PLUS + " .card")[0].startswith("fc5")
    page.press("Tab")  # one stop for each chart
    assert page.run("document.activeElement.closest('figure').dataset.method") == "guided-backprop"
    page.run("document.querySelector('input[data-switch=method]').focus()")
    page.press(" ")
    assert shown(page, "figure.csc", "dataset.method") == ["lrp-alpha1beta0", "guided-backprop"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_the_paper_in_both_schemes(page, scheme):
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    paper = page.run("getComputedStyle(document.documentElement).backgroundColor")
    assert paper == {"light": "rgb(253, 253, 251)", "dark": "rgb(20, 22, 26)"}[scheme]
    assert page.run(CONTRAST) >= 4.5  # WCAG AA


@pytest.mark.slow
def test_a_narrow_screen_does_not_scroll_sideways(page):
    page.call("Emulation.setDeviceMetricsOverride", width=380, height=800, deviceScaleFactor=1, mobile=False)
    assert page.run("document.documentElement.scrollWidth") <= 380


@pytest.mark.slow
def test_print_leaves_the_controls_out_and_keeps_the_legend(page):
    page.call("Emulation.setEmulatedMedia", media="print")
    assert shown(page, ".controls input") == []
    assert shown(page, "nav.bar") == []
    assert len(shown(page, ".controls label .key")) == 5
    assert page.call("Page.printToPDF", printBackground=True)["data"]
