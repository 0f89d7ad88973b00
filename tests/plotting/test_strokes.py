"""The figure of all methods: every method has a stroke of its own, and its name at its end."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg

from conetheory.plotting.ends import spread
from conetheory.plotting.methods import method_styles, methods_figure
from conetheory.rules.registry import methods
from tests.report import folders


def test_no_two_methods_have_the_same_stroke():
    families = {m.name: m.family for m in methods()} | {f"plugin {n}": "plugins" for n in range(20)}
    styles = method_styles(families)
    assert list(styles) == list(families)
    assert len({(s["color"], s["ls"], s["lw"]) for s in styles.values()}) == len(families)


def test_methods_of_a_family_share_a_colour():
    styles = method_styles({"a": "one", "b": "two", "c": "one"})
    assert styles["a"]["color"] == styles["c"]["color"] != styles["b"]["color"]


@given(st.lists(st.floats(0, 1), max_size=30), st.sampled_from([0.0, 0.01, 0.03]))
def test_labels_keep_their_order_their_distance_and_the_figure(heights, gap):
    placed = spread(heights, gap, 0.0, 1.0)
    order = sorted(range(len(heights)), key=heights.__getitem__)
    steps = [placed[b] - placed[a] for a, b in pairwise(order)]
    assert all(step >= gap - 1e-9 for step in steps)
    assert all(-1e-9 <= height <= 1 + 1e-9 for height in placed)


@pytest.mark.parametrize("gap", [0.1, 0.25])
def test_labels_that_are_apart_stay_where_they_are(gap):
    assert spread([0.9, 0.1, 0.5], gap, 0.0, 1.0) == [0.9, 0.1, 0.5]


def test_every_method_is_named_once_at_the_end_of_its_line_within_the_figure():
    figure = methods_figure(folders.comparison())
    width, height = figure.canvas.get_width_height()
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes in figure.axes:
        named = [text for text in axes.texts if text.get_text() in folders.METHODS]
        assert sorted(text.get_text() for text in named) == sorted(folders.METHODS)
        boxes = [text.get_window_extent(renderer) for text in named]
        assert all(0 <= box.x0 < box.x1 <= width and 0 <= box.y0 < box.y1 <= height for box in boxes)
        colours = {line.get_color() for line in axes.lines}
        assert {text.get_color() for text in named} <= colours
