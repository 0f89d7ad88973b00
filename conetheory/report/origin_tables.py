"""What the theory of origins says of each layer beside its prediction, as a table with its legend."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from rich.table import Table

from conetheory import schema
from conetheory.report import formats
from conetheory.report.comparison_tables import STYLE
from conetheory.results.comparison import Comparison
from conetheory.schema.labels import broken, short_label

COLUMNS = tuple(said for said in schema.ORIGIN if said.side != "text")


def origin_tables(comparison: Comparison) -> Iterator[Table]:
    """One for each method and start layer of which origins are known: a row for each layer."""
    for (method, start), records in groupby(comparison.rows(), lambda r: (r["method"], r["start"])):
        rows = [r for r in records if any(r.get(said.name) is not None for said in COLUMNS)]
        if not rows:
            continue
        cut = comparison.dataset[schema.CUT].sel({"method": method, "start": start}).item()
        table = Table(title=f"{method} from {start}: where relevance comes from, on {cut}", **STYLE)
        table.add_column("layer", overflow="fold", min_width=6)
        for said in COLUMNS:
            table.add_column(broken(said.label), justify="right", no_wrap=True)
        for row in rows:
            table.add_row(
                short_label(row["label"]), *(_cell(row.get(said.name), said.unit) for said in COLUMNS)
            )
        yield table


def origin_legend(comparison: Comparison) -> Iterator[str]:
    """What the columns mean, in one line; none where there are no such tables."""
    if any(True for _ in origin_tables(comparison)):
        yield "origins: " + "; ".join(f"{said.label}: {said.meaning}" for said in COLUMNS)


def _cell(value: float | None, unit: str) -> str:
    if unit == schema.SHARE:
        return formats.percent(value) or "-"
    return "-" if value is None else f"{value:.2f}"
