"""What every form of a report says of its results: their provenance and their numbers."""

from __future__ import annotations

from typing import Any

from conetheory.report.comparison_tables import comparison_tables
from conetheory.report.findings import Findings
from conetheory.report.origin_tables import origin_tables

FIRST = (
    "conetheory",
    "network",
    "network_weights",
    "network_weights_sha256",
    "images",
    "vectors",
    "seed",
    "created",
)


def provenance_rows(findings: Findings) -> tuple[list[str], list[list[str]]]:
    """(files, rows of a name and a value for each file): what made the results, as far as it can be read."""
    names = list(dict.fromkeys(k for _, attributes in findings.sources for k in attributes))
    kept = [
        n for n in (*FIRST, *sorted(set(names) - set(FIRST))) if n in names and n not in ("kind", "settings")
    ]
    values = [[n, *(str(attributes.get(n, "")) for _, attributes in findings.sources)] for n in kept]
    return [path for path, _ in findings.sources], values


def number_tables(findings: Findings) -> list[dict[str, Any]]:
    """The comparison's tables as plain cells."""
    known = findings.comparison
    found = (*comparison_tables(known), *origin_tables(known)) if known else ()
    return [
        {
            "title": table.title,
            "head": [str(c.header).replace("\n", " ") for c in table.columns],
            "rows": list(zip(*(c.cells for c in table.columns), strict=True)),
        }
        for table in found
    ]
