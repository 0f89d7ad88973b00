"""The tables of scores, from `experiments/results/score-*.json` and `methods-*.json` as they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from conetheory.predict.registry import theories
from conetheory.report.verdict_tables import MARKS
from conetheory.results.verdict import Outcome
from docs.made.markdown import plain, table
from docs.made.methods import MEASURED, TODAY
from docs.made.results import deficit, named, number, read

# what a file's network is called where its own name does not say it, by the beginning of the file's name
TITLES = {
    "resnet50v2-": "ResNet-50 v2 trunk (ONNX zoo)",
    "vgg16hed-": "VGG-16 trunk (HED)",
    "cifar10_cnn": "CIFAR-10 network (bundled)",
    "squeezenet1_1": "SqueezeNet 1.1 (ONNX zoo)",
    "resnet50-random": "ResNet-50, random weights",
    "vgg16-random": "VGG-16, random weights",
}
STARTS = {
    "vgg16hed-walk-conv4_3": "conv4_3",
    "vgg16hed-walk-conv3_3": "conv3_3",
    "vgg16hed-walk-conv2_2": "conv2_2",
    "vgg16hed-": "conv5_3",
    "resnet50v2-": "stage 3",
}
SHORT = {
    "depends on the decision": "depends",
    "only through a spatial weighting": "spatial weighting",
    "does not depend on the decision": "does not depend",
}


@dataclass(frozen=True)
class Score:
    """What one file says of one method."""

    file: str
    method: str
    made_by: dict[str, Any]
    found: dict[str, Any]

    @property
    def network(self) -> str:
        title = _by_beginning(TITLES, self.file) or str(self.made_by["network"])
        side = str(self.made_by.get("input_shape", "")).strip("()").split(", ")[-1]
        usual = "32" if "cifar10" in self.file else "224"
        text = title if side == usual else f"{title}, {side} x {side}"
        return text if self.made_by.get("dtype") == "float32" else f"{text}, {self.made_by['dtype']}"

    @property
    def start(self) -> str:
        return _by_beginning(STARTS, self.file) or str(self.made_by.get("start", "logits"))

    @property
    def drawn(self) -> str:
        return f"{self.made_by['seeds']} x {self.made_by['vectors']}"

    @property
    def place(self) -> tuple[str, ...]:
        """The first columns of every table."""
        rule = self.method.removeprefix("lrp-")
        images = str(self.found.get("images_scored", self.made_by["images"]))
        return (
            plain(self.network),
            plain(self.start),
            rule,
            images,
            self.drawn,
            str(len(self.found["by_layer"])),
        )

    def known(self, theory: str) -> bool:
        return self.found.get(f"{theory}_median_abs_error_decades") is not None

    def value(self, theory: str, what: str) -> float | None:
        return self.found.get(f"{theory}_{what}")


HEADINGS = ("network", "start", "rule", "images", "seeds x vectors", "layers")


def scores() -> list[Score]:
    """All that was scored: trained networks first."""
    found = [
        Score(name.removeprefix("score-").removesuffix(".json"), method, data["provenance"], one)
        for name in named("score-*.json")
        for data in [read(name)]
        for method, one in data.items()
        if method != "provenance"
    ]
    return sorted(found, key=lambda one: ("random" in one.file, one.network, one.start, one.method))


def errors() -> str:
    """|error| in decades at the median layer and the 90th percentile of layers, of each theory."""

    def cell(one: Score, theory: str) -> str:
        middle, high = (one.value(theory, f"{q}_abs_error_decades") for q in ("median", "p90"))
        return f"{number(middle)} / {number(high)}"

    return _by_theory(cell)


def biases() -> str:
    """The median error with its sign, where it was kept."""
    return _by_theory(lambda one, theory: number(one.value(theory, "median_error_decades"), "+.3f"))


def seconds() -> str:
    """Seconds an image took, where they were kept."""
    return _by_theory(lambda one, theory: number(one.found.get("seconds_an_image", {}).get(theory), ".1f"))


def bands() -> str:
    """How often the band of a measurement holds the local spectrum's median."""
    rows = [
        (*one.place, f"{100 * one.found['local_spectrum_inside_band']:.0f}%")
        for one in scores()
        if one.found.get("local_spectrum_inside_band") is not None
    ]
    return table((*HEADINGS, "inside the band"), rows)


def every_method() -> str:
    """Measured deficit, error of the prediction and verdict of every method on two networks, and the talk."""
    of = {name: read(f"methods-{name}.json")["methods"] for name in MEASURED}
    headings = ["method"]
    for title in MEASURED.values():
        headings += [title, "error", "verdict"]
    rows = []
    for method in dict.fromkeys(name for found in of.values() for name in found):
        cells = [cell for found in of.values() for cell in _judged(found.get(method, {}))]
        talk = next((row["talk"] for found in of.values() if (row := found.get(method, {})).get("talk")), "–")
        rows.append((f"[{method}](methods/{method}.md)", *cells, talk))
    return table((*headings, "talk"), rows)


def today() -> str:
    """Deficit, decades lost a layer and verdict of every method on a transformer and a ConvNeXt."""
    of = {name: read(f"methods-{name}.json")["methods"] for name in TODAY}
    headings = ["method"]
    for title in TODAY.values():
        headings += [title, "a layer", "error", "verdict"]
    rows = []
    for method in dict.fromkeys(name for found in of.values() for name in found):
        cells = []
        for found in of.values():
            row = found.get(method, {})
            measured, error, said = _judged(row)
            cells += [measured, number(row.get("a layer"), ".3f"), error, said]
        rows.append((f"[{method}](methods/{method}.md)", *cells))
    return table(headings, rows)


def verdicts() -> str:
    """The methods of each verdict on two networks: the answer of one command."""
    of = {title: read(f"methods-{name}.json")["methods"] for name, title in MEASURED.items()}
    rows = []
    for outcome in (Outcome.DEPENDS, Outcome.SPATIAL, Outcome.BLIND):
        cells = [
            ", ".join(name for name, row in found.items() if row.get("verdict", "").startswith(outcome))
            for found in of.values()
        ]
        rows.append((f"{MARKS[outcome]} **{outcome}**", *(cell or "none" for cell in cells)))
    return table(("the map", *of), rows)


def _judged(row: dict[str, Any]) -> tuple[str, str, str]:
    if not row or "left out" in row:
        return ("–", "–", "left out" if row else "–")
    local, whole = (None if row[key] != row[key] else row[key] for key in ("measured", "whole map"))
    measured = deficit(local) if local is not None else f"({deficit(whole)})"
    error = None if row["error"] is None or row["error"] != row["error"] else row["error"]
    return measured, number(error, "+.2f"), plain(SHORT.get(row["verdict"], row["verdict"]))


def _by_theory(cell: Callable[[Score, str], str]) -> str:
    """A row for each score with a number in it, a column for each theory that has one."""
    keys = [name.replace("-", "_") for name in theories()]
    rows = [(one, [cell(one, key) if one.known(key) else "" for key in keys]) for one in scores()]
    rows = [(one, cells) for one, cells in rows if any(re.search(r"\d", text) for text in cells)]
    used = [k for k in range(len(keys)) if any(re.search(r"\d", cells[k]) for _, cells in rows)]
    titles = [f"[{name}](theories.md#{name})" for name in theories()]
    body = [(*one.place, *(cells[k] for k in used)) for one, cells in rows]
    return table((*HEADINGS, *(titles[k] for k in used)), body)


def _by_beginning(texts: dict[str, str], name: str) -> str | None:
    return next((text for start, text in texts.items() if name.startswith(start)), None)
