"""The verdict table: one set of columns for the page, Markdown, PDF and the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from conetheory import schema
from conetheory.report import formats
from conetheory.report.comparison_tables import STYLE
from conetheory.results.evidence import Evidence
from conetheory.results.verdict import Outcome, Verdict
from conetheory.schema.labels import short_label

MARKS = {
    Outcome.DEPENDS: "●",
    Outcome.SPATIAL: "◐",
    Outcome.BLIND: "○",
    Outcome.BORDERLINE: "~",
    Outcome.OPEN: "?",
}
COLUMNS = {
    "measured": f"Median of {schema.FORMULA} of the maps of two starts, over the channels at a location of "
    "the input, of that of random vectors, which have forgotten nothing",
    "predicted": "What theory gives for the measured column, and by how many decades it is off",
    "certified": "Lower bound of the cosine of two nonnegative starts that arrive, at the worst certified "
    "location",
    "forgotten by": "From this layer down the channels have forgotten the start, by all of the 95% band",
    "blind above": "The lowest start layer that the input knows nothing of",
    "variance moved": "Share of a map's variance over the pixels that the class can move",
    "whole maps": f"{schema.FORMULA} of the whole maps of two starts",
    "class distance": "Median distance of the maps of two classes",
    "randomised": "Similarity to the map after the last layers were randomised",
}

CHANNELS = ("measured", "predicted", "certified", "forgotten by", "blind above")
NAMES = ("forgotten by", "blind above")  # columns of layers' names, which may fold; numbers never do


def cells(verdict: Verdict) -> dict[str, str]:
    """The text of every column, empty where there is no evidence."""
    measured, certified = verdict.find(schema.MEASURED), verdict.find(schema.WORST)
    predicted = next((e for e in verdict.evidence if e.kind == "predicted"), None)
    moves = verdict.find("movable_share")
    return {
        "measured": f"{_number(measured)} of {measured.reference:.2f}" if measured else "",
        "predicted": _number(predicted) + _off(predicted, measured),
        "certified": formats.cosine_lower(certified.value) if certified else "",
        "forgotten by": short_label(verdict.collapsed_by or ""),
        "blind above": short_label(verdict.blind_above or ""),
        "variance moved": f"{100 * moves.value:.2g}%" if moves else "",
        "whole maps": _number(verdict.find(schema.WHOLE_MAPS)),
        "class distance": _number(verdict.find(schema.DISTANCE)),
        "randomised": next((f"{e.value:.2f}" for e in verdict.evidence if e.about == "check"), ""),
    }


def used_columns(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """The columns with something in them, and what they mean."""
    rows = [cells(v) for v in verdicts]
    return {name: text for name, text in COLUMNS.items() if any(row[name] for row in rows)}


def notes(verdict: Verdict) -> list[str]:
    """What makes a verdict borderline, what speaks against it, and which evidence there was not."""
    held = [f"the {e.label} is {_number(e)}, but its {_band(e)}" for e in verdict.borderline]
    held += [f"by the value alone: {verdict.leans}"] if verdict.borderline else []
    against = [
        f"against it: {e.label} {formats.scientific(e.value, 1) if e.value < 0.01 else f'{e.value:.2f}'}"
        for e in verdict.against
    ]
    return [*held, *against, *([f"without {', '.join(verdict.missing)}"] if verdict.missing else [])]


def verdict_tables(
    verdicts: Sequence[Verdict], title: str | None = None, *, stacked: bool = True
) -> list[Table | Padding]:
    """The tables for the terminal, each with what its columns mean: the verdicts with what is said of the
    channels at a location; where there is anything, what is said of whole maps. They fit 80 columns.

    Not `stacked` is one table with a line for each method, for a file or a pipe.
    """
    columns = used_columns(verdicts)
    if not stacked:
        return [_flat(verdicts, columns, title), _meanings(columns)]
    channels = {name: text for name, text in columns.items() if name in CHANNELS}
    whole = {name: text for name, text in columns.items() if name not in CHANNELS}
    parts = [_table(verdicts, channels, title, verdict=True), _meanings(channels)]
    return [*parts, *([_table(verdicts, whole), _meanings(whole)] if whole else [])]


def _flat(verdicts: Sequence[Verdict], columns: Iterable[str], title: str | None) -> Table:
    table = Table("method", "verdict", title=title, **STYLE)
    for name in columns:
        table.add_column(name, justify="right")
    for v in verdicts:
        table.add_row(v.method, f"{MARKS[v.outcome]} {v.text}", *(cells(v)[name] or "-" for name in columns))
    return table


def _table(
    verdicts: Sequence[Verdict], columns: Iterable[str], title: str | None = None, verdict: bool = False
) -> Table:
    """A row a method, of two lines or more: the verdict stands under its method, a note under its number."""
    table = Table(title=title, **STYLE)
    table.add_column("method\nverdict" if verdict else "method", overflow="fold", min_width=26)
    for name in columns:
        folds = name in NAMES
        table.add_column(name.replace(" ", "\n"), justify="right", no_wrap=not folds, overflow="fold")
    for v in verdicts:
        row = [(cells(v)[name] or "-").replace(" of ", "\nof ").replace(" (", "\n(") for name in columns]
        table.add_row(f"{v.method}\n{MARKS[v.outcome]} {v.text}" if verdict else v.method, *row)
    return table


def _meanings(columns: Mapping[str, str]) -> Padding:
    text = "; ".join(f"{name}: {text[0].lower()}{text[1:]}" for name, text in columns.items())
    return Padding(Text(text, style="dim"), (0, 0, 1, 1))


def _number(evidence: Evidence | None) -> str:
    if evidence is None:
        return ""
    return formats.scientific(evidence.value, 1) if evidence.value < 0.01 else f"{evidence.value:.3f}"


def _band(evidence: Evidence) -> str:
    lower, upper = evidence.band or (evidence.value, evidence.value)
    return f"95% band {lower:.2g} to {upper:.2g} holds the threshold {evidence.threshold:.2g}"


def _off(predicted: Evidence | None, measured: Evidence | None) -> str:
    if predicted is None or measured is None or predicted.value <= 0 or measured.value <= 0:
        return ""
    return f" ({formats.decades(math.log10(predicted.value / measured.value))})"
