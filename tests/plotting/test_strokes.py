"""The figure of all methods: every method has a stroke of its own."""

from __future__ import annotations

from conetheory.plotting.methods import method_styles
from conetheory.rules.registry import methods


def test_no_two_methods_have_the_same_stroke():
    families = {m.name: m.family for m in methods()} | {f"plugin {n}": "plugins" for n in range(20)}
    styles = method_styles(families)
    assert list(styles) == list(families)
    assert len({(s["color"], s["ls"], s["lw"]) for s in styles.values()}) == len(families)


def test_methods_of_a_family_share_a_colour():
    styles = method_styles({"a": "one", "b": "two", "c": "one"})
    assert styles["a"]["color"] == styles["c"]["color"] != styles["b"]["color"]
