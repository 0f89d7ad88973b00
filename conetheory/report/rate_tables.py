"""Rates of contraction as tables, a legend of their columns, and one sentence. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from textwrap import fill
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table

from conetheory.schema import DIMS, Variable, declared_as
from conetheory.schema.rates import RATES, lost

Record = Mapping[str, Any]
STYLE = {"title_justify": "left", "title_style": "bold", "box": SIMPLE_HEAD, "padding": (0, 1, 0, 0)}
HEADING = 9  # letters in a line of a heading
SAID = {
    "exact": "exact",
    "upper": "an upper bound",
    "lower": "a lower bound",
    "estimate": "an estimate",
    "measured": "measured",
}


class Column(NamedTuple):
    """The variable that a column is of, and how a cell is read from a record."""

    variable: Variable
    cell: Callable[[Record], str]


def said(v: Variable) -> str:
    """Definition, side and theorem of a variable, as the schema has them."""
    basis = f"theorem {v.theorem}" if v.theorem else "by definition"
    return f"{v.label}: {v.meaning}; {SAID[v.side]}; {basis}"


def _number(record: Record, *keys: str, digits: int = 3) -> str:
    """A value of a record by its path: blank where it is absent, marked where it is a bound."""
    found: Any = record
    for key in keys:
        found = found.get(key) or {}
    value, side = found.get("value"), found.get("side", "absent")
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else f"{value:.{digits}g}"
    return {"upper": "<= ", "lower": ">= "}.get(side, "") + text


def _percent(record: Record) -> str:
    value = record["density"]["value"]
    return "" if value is None else f"{100 * value:.2g}%"


def _top(record: Record) -> str:
    block = record["birkhoff"]["block"]
    if "top" not in block:
        return ""
    return "none" if block["top"] is None else f"{block['top']}{'' if block['certain'] else '?'}"


def _decades(source: str) -> Callable[[Record], str]:
    return lambda record: _signed(record["decades_lost"].get(source, {}).get("value"))


def _signed(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else f"{value:+.2f}"


def _at(*keys: str, digits: int = 3) -> Callable[[Record], str]:
    return lambda record: _number(record, *keys, digits=digits)


def _columns(**cells: Callable[[Record], str]) -> tuple[Column, ...]:
    return tuple(Column(declared_as(f"rate_{name}"), cell) for name, cell in cells.items())


MATRIX = _columns(
    rows=lambda r: f"{r['rows']:,}",
    columns=lambda r: f"{r['columns']:,}",
    density=_percent,
    scrambling=_at("scrambling"),
    tau_1_upper=_at("tau_1"),
    birkhoff=_at("birkhoff", "coefficient"),
    sigma=_at("sigma", "layer"),
)
CHAIN = _columns(
    block_operations_lower=_top,
    block_birkhoff=_at("birkhoff", "block", "coefficient"),
    sigma_location=_at("sigma", "location"),
    sigma_whole=_at("sigma", "whole"),
    lyapunov=lambda r: _signed(r["lyapunov"].get("value")),
)
WALK = _columns(
    mixing_lower=lambda r: _number(r, "mixing", "chain").removeprefix(">= "),
    mixing_walk=_at("mixing", "walk"),
    variance=_at("origin", "variance_added", digits=2),
    injected=_at("origin", "variance_injected", digits=2),
    walk_variance=_at("walk", "variance_added", digits=2),
    walk_injected=_at("walk", "variance_injected", digits=2),
)


def rate_tables(records: Sequence[Record], title: str) -> list[Table]:
    """Four tables, a row an operation: its matrix, the chain down to it, its locations, and what is lost."""
    return [_table(records, part, f"{title}: {name}") for name, part in _parts(records).items()]


def _parts(records: Sequence[Record]) -> dict[str, tuple[Column, ...]]:
    return {
        "each operation": MATRIX,
        "the chain so far": CHAIN,
        "where relevance comes from": WALK,
        "decades lost": _lost(records),
    }


def rate_legend(records: Sequence[Record]) -> list[str]:
    """What each column that is there holds, on which side it is, and by which theorem."""
    columns = [column for part in _parts(records).values() for column in part]
    return [said(column.variable) for column in columns if any(map(column.cell, records))]


def file_legend() -> list[str]:
    """The same of the numbers that files have and tables don't."""
    shown = {column.variable.name for column in (*MATRIX, *CHAIN, *WALK)}
    return [said(v) for v in RATES if v.name not in shown and v.side != "text" and v.dims == DIMS]


def rate_sentence(records: Sequence[Record]) -> str:
    """Where the decision is forgotten: the operations that take most of the decades away."""
    lost_at = {r["layer"]: r["decades_lost"].get("measured", {}).get("value") for r in records}
    known = {
        name: value for name, value in lost_at.items() if value is not None and not isinstance(value, str)
    }
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
    sources = dict.fromkeys(["measured", *(s for r in records for s in r["decades_lost"])])
    return tuple(Column(lost(source), _decades(source)) for source in sources)


def _table(records: Sequence[Record], columns: Sequence[Column], title: str) -> Table:
    table = Table(title=title, **STYLE)
    shown = [column for column in columns if any(map(column.cell, records))]
    table.add_column("operation", overflow="fold")
    for column in shown:
        left = column.variable.label.startswith("bounded")
        heading = fill(column.variable.label, HEADING, break_long_words=False)
        table.add_column(heading, justify="left" if left else "right", no_wrap=not left, overflow="fold")
    for record in records:
        table.add_row(record["layer"], *(column.cell(record) or "-" for column in shown))
    return table


def left_out_line(left_out: Mapping[str, float], spent: float) -> str:
    """What was left out for its cost, in one line; empty where nothing was."""
    if not left_out:
        return ""
    parts = ", ".join(f"{name} ({math.ceil(cost):,})" for name, cost in left_out.items())
    return f"Left out, with its cost in vectors beside the {math.ceil(spent):,} spent: {parts}; --everything"
