"""Rates of contraction as tables, a legend of their columns, and one sentence. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

Record = Mapping[str, Any]
Column = tuple[str, str, Callable[[Record], str]]
STYLE = {"title_justify": "left", "title_style": "bold", "box": SIMPLE_HEAD, "padding": (0, 1, 0, 0)}


def _number(record: Record, *keys: str, digits: int = 3) -> str:
    """A value of a record by its path: blank where it is absent, marked where it is a bound."""
    found: Any = record
    for key in keys:
        found = found.get(key) or {}
    value, side = found.get("value"), found.get("side", "absent")
    if value is None:
        return ""
    text = (
        "inf"
        if value == "inf"
        else ("yes" if value is True else "no" if value is False else f"{value:.{digits}g}")
    )
    return {"upper": "<= ", "lower": ">= "}.get(side, "") + text


def _percent(record: Record) -> str:
    value = record["density"]["value"]
    return "" if value is None else f"{100 * value:.2g}%"


def _decades(source: str) -> Callable[[Record], str]:
    def cell(record: Record) -> str:
        value = record["decades_lost"].get(source, {}).get("value")
        return "" if value is None else f"{value:+.2f}"

    return cell


def _top(record: Record) -> str:
    block = record["birkhoff"]["block"]
    return str(block.get("top") or ("none" if "top" in block else ""))


# heading, what the legend says of it, how a cell is read
MATRIX: tuple[Column, ...] = (
    ("operation", "", lambda r: r["layer"]),
    ("rows", "units below", lambda r: f"{r['rows']:,}"),
    ("columns", "units above", lambda r: f"{r['columns']:,}"),
    ("filled", "entries that are not zero by structure, exact", _percent),
    (
        "meet",
        "whether every two columns share a row (theorem scrambling): exact; blank where not all were tried",
        lambda r: _number(r, "scrambling"),
    ),
    (
        "tau_1",
        "Dobrushin's coefficient (theorem tau1): exact, or an upper bound",
        lambda r: _number(r, "tau_1"),
    ),
    (
        "tau_B",
        "Birkhoff's coefficient of the operation (theorem birkhoff-hopf): exact",
        lambda r: _number(r, "birkhoff", "coefficient"),
    ),
    (
        "bounded\nfrom",
        "the lowest cut from which the cone at one location below has a finite diameter: exact",
        _top,
    ),
    (
        "tau_B\nthere",
        "Birkhoff's coefficient of that block: exact, at one location",
        lambda r: _number(r, "birkhoff", "block", "coefficient"),
    ),
    (
        "s2/s1",
        "second over first singular value by power iteration: an estimate; enclosed in the record",
        lambda r: _number(r, "sigma", "layer"),
    ),
)
CHAIN: tuple[Column, ...] = (
    ("operation", "", lambda r: r["layer"]),
    (
        "s2/s1 at\na location",
        "of the chain so far, at one location below: an estimate by power iteration",
        lambda r: _number(r, "sigma", "location"),
    ),
    (
        "s2/s1\nwhole",
        "of the chain so far, of whole maps: an estimate",
        lambda r: _number(r, "sigma", "whole"),
    ),
    (
        "gap",
        "what the operation adds to the gap of the two leading Lyapunov exponents, in nats: an estimate",
        lambda r: _number(r, "lyapunov", digits=2),
    ),
    (
        "mixing",
        "second singular value of the chain of its locations (1: they don't mix): a lower bound",
        lambda r: _number(r, "mixing", "chain"),
    ),
    (
        "by a\nwalk",
        "the same of a walk that steps as far: an estimate",
        lambda r: _number(r, "mixing", "walk"),
    ),
    (
        "+Sigma",
        "variance added to the origin of relevance, in pixels^2 of the first map: measured",
        lambda r: _number(r, "origin", "variance_added", digits=2),
    ),
    (
        "+G",
        "of it between the channels' mean origins: measured",
        lambda r: _number(r, "origin", "between_added", digits=2),
    ),
)


def rate_tables(records: Sequence[Record], title: str) -> list[Table]:
    """Three tables, a row an operation: its matrix, the chain down to it, and what is lost there."""
    parts = {"each operation": MATRIX, "the chain so far": CHAIN, "decades lost": _lost(records)}
    return [_table(records, columns, f"{title}: {name}") for name, columns in parts.items()]


def rate_legend(records: Sequence[Record]) -> list[str]:
    """One line for each column that is there."""
    columns = [*MATRIX, *CHAIN, *_lost(records)]
    return [
        f"{name.replace(chr(10), ' ')}: {text}"
        for name, text, cell in columns
        if text and any(map(cell, records))
    ]


def rate_sentence(records: Sequence[Record]) -> str:
    """Where the decision is forgotten: the operations that take most of the decades away."""
    lost = {r["layer"]: r["decades_lost"].get("measured", {}).get("value") for r in records}
    known = {name: value for name, value in lost.items() if value is not None and not isinstance(value, str)}
    total = sum(known.values())
    if not known or total < 0.5:
        return f"The deficit loses {total:.1f} decades down to the input: the decision is not forgotten."
    order = sorted(known, key=known.__getitem__, reverse=True)
    most, share = [], 0.0
    while share < total / 2:
        most.append(order[len(most)])
        share += known[most[-1]]
    each = ", ".join(f"{name} ({known[name]:.1f})" for name in most)
    return f"Of {total:.1f} decades of the deficit, measured, {share:.1f} are lost at {each}."


def _lost(records: Sequence[Record]) -> tuple[Column, ...]:
    """Decades of the median deficit that an operation takes away, measured and by each theory."""
    sources = [s for s in dict.fromkeys(s for r in records for s in r["decades_lost"]) if s != "measured"]
    lost = "decades of the median deficit that the operation takes away: measured"
    theories = [
        (s.replace("-", "\n"), f"the same by the theory {s}: an estimate", _decades(s)) for s in sources
    ]
    return (MATRIX[0], ("measured", lost, _decades("measured")), *theories)


def _table(records: Sequence[Record], columns: Sequence[Column], title: str) -> Table:
    table = Table(title=title, **STYLE)
    shown = [(name, cell) for name, _, cell in columns if any(map(cell, records))]
    for number, (name, _) in enumerate(shown):
        left = number == 0 or name.startswith("bounded")
        table.add_column(name, justify="left" if left else "right", no_wrap=not left, overflow="fold")
    for record in records:
        table.add_row(*(cell(record) or "-" for _, cell in shown))
    return table


def left_out_line(left_out: Mapping[str, float], spent: float) -> str:
    """What was left out for its cost, in one line; empty where nothing was."""
    if not left_out:
        return ""
    parts = ", ".join(f"{name} ({math.ceil(cost):,})" for name, cost in left_out.items())
    return f"Left out, with its cost in vectors beside the {math.ceil(spent):,} spent: {parts}; --everything"
