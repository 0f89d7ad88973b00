"""The verdict table: one set of columns for the page, Markdown, PDF and the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table

from conetheory import formats
from conetheory.evidence import Evidence
from conetheory.table import STYLE
from conetheory.verdict import Outcome, Verdict

MARKS = {Outcome.DEPENDS: "●", Outcome.SPATIAL: "◐", Outcome.BLIND: "○", Outcome.OPEN: "?"}
COLUMNS = {
    "measured": "Median of 1 − |cos| of the maps of two starts, over the channels at a location of "
    "the input, of that of random vectors, which have forgotten nothing",
    "predicted": "What theory gives for the measured column, and by how many decades it is off",
    "certified": "Lower bound of the cosine of any two nonnegative starts, at the worst location",
    "forgotten by": "From this layer down the channels have forgotten the start",
    "blind above": "The lowest start layer that the input knows nothing of",
    "map moves": "Share of a map's variance that the class can move; without it, 1 − |cos| of whole maps",
    "class distance": "Median distance of the maps of two classes",
    "randomised": "Similarity to the map after the last layers were randomised",
}


def cells(verdict: Verdict) -> dict[str, str]:
    """The text of every column, empty where there is no evidence."""
    measured = verdict.find("measured deficit")
    certified = verdict.find("certified deficit")
    predicted = next((e for e in verdict.evidence if e.name.startswith("predicted")), None)
    moves = verdict.find("movable share")
    whole = verdict.find("deficit of whole maps")
    return {
        "measured": f"{_number(measured)} of {measured.reference:.2f}" if measured else "",
        "predicted": _number(predicted) + _off(predicted, measured),
        "certified": formats.cosine_lower(certified.value) if certified else "",
        "forgotten by": verdict.collapsed_by or "",
        "blind above": verdict.blind_above or "",
        "map moves": _share(moves.value) if moves else f"1 − cos {_number(whole)}" if whole else "",
        "class distance": _number(verdict.find("class distance")),
        "randomised": next((f"{e.value:.2f}" for e in verdict.evidence if e.about == "check"), ""),
    }


def used_columns(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """The columns with something in them, and what they mean."""
    rows = [cells(v) for v in verdicts]
    return {name: text for name, text in COLUMNS.items() if any(row[name] for row in rows)}


def notes(verdict: Verdict) -> list[str]:
    """What speaks against the verdict, and which evidence there was not."""
    against = [
        f"against it: {e.name} {formats.scientific(e.value, 1) if e.value < 0.01 else f'{e.value:.2f}'}"
        for e in verdict.against
    ]
    return [*against, *([f"without {', '.join(verdict.missing)}"] if verdict.missing else [])]


def verdict_table(verdicts: Sequence[Verdict], title: str | None = None) -> Table:
    """The table for the terminal."""
    table = Table(title=title, **STYLE)
    columns = used_columns(verdicts)
    table.add_column("method", no_wrap=True)
    table.add_column("verdict", overflow="fold", min_width=24)
    for name in columns:
        table.add_column(name.replace(" ", "\n"), justify="right", overflow="fold")
    for verdict in verdicts:
        row = cells(verdict)
        mark = MARKS[verdict.outcome]
        table.add_row(verdict.method, f"{mark} {verdict.text}", *(row[name] or "-" for name in columns))
    return table


def _number(evidence: Evidence | None) -> str:
    if evidence is None:
        return ""
    return formats.scientific(evidence.value, 1) if evidence.value < 0.01 else f"{evidence.value:.3f}"


def _off(predicted: Evidence | None, measured: Evidence | None) -> str:
    if predicted is None or measured is None or predicted.value <= 0 or measured.value <= 0:
        return ""
    return f" ({formats.decades(math.log10(predicted.value / measured.value))})"


def _share(value: float) -> str:
    return f"{100 * value:.2g}%"
