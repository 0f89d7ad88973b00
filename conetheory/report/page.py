"""The report as one HTML page that needs nothing else: no network, no fonts, no files beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from conetheory.evidence import FORGOTTEN, SIMILAR, STILL
from conetheory.report import drawings, pictures, rows
from conetheory.report.payload import payload
from conetheory.report.studies import Study
from conetheory.table import comparison_tables, summary_lines
from conetheory.verdict import Outcome

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
EXPLAINED = {
    Outcome.DEPENDS: "another decision gives another map",
    Outcome.SPATIAL: "another decision only brightens and darkens regions of the same map",
    Outcome.BLIND: "another decision gives the same map",
    Outcome.OPEN: "more evidence is needed",
}


def write(studies: Sequence[Study], path: Path) -> None:
    path.write_text(render(studies), "utf-8")


def render(studies: Sequence[Study]) -> str:
    """The page of these studies, one section for each network."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("conetheory.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    source = lambda name: Markup(files("conetheory.report").joinpath(name).read_text("utf-8"))  # noqa: E731
    return environment.get_template("report.html.j2").render(
        css=source("report.css"),
        script=source("report.js"),
        studies=[_context(study, f"s{number}") for number, study in enumerate(studies, 1)],
        outcomes=[(o.name.lower(), rows.MARKS[o], str(o), EXPLAINED[o]) for o in Outcome],
        thresholds={"forgotten": FORGOTTEN, "still": STILL, "similar": SIMILAR},
        svg=Markup,
        angle=drawings.angle,
    )


def _context(study: Study, identity: str) -> dict[str, Any]:
    data = payload(study)
    columns = rows.used_columns(study.verdicts)
    memory = partial(drawings.memory_svg, exponent=data["exponent"])
    panels = data["csc"]
    lines = summary_lines(study.comparison) if study.comparison else []
    return {
        "id": identity,
        "study": study,
        "data": data,
        "columns": columns,
        "verdicts": [
            {
                "verdict": v,
                "kind": v.outcome.name.lower(),
                "mark": rows.MARKS[v.outcome],
                "cells": rows.cells(v),
                "notes": rows.notes(v),
                "memory": memory(v),
            }
            for v in study.verdicts
        ],
        "options": {
            "method": _pairs(study.methods),
            "curve": [(curve["key"], curve["name"]) for curve in data["curves"]],
            "start": _pairs(p["start"] for p in panels),
            "layer": _pairs(label for p in panels for label in p["labels"]),
            "mode": _pairs(key.split("|")[0] for p in data["sanity"] for key in p["curves"]),
            "measure": _pairs(key.split("|")[1] for p in data["sanity"] for key in p["curves"]),
        },
        "lead": next((line for line in lines if line.startswith("measured")), ""),
        "facts": [line for line in lines if not line.startswith("measured")],
        "structure": any("structure" in c for p in data["sanity"] for c in p["curves"].values()),
        "tables": list(number_tables(study)),
        "cones": [
            (m, s, [(c, drawings.cone_svg(c)) for c in found]) for m, s, found in drawings.cones(study)
        ],
        "distances": drawings.distance_svg(study.classes)
        if _has(study.classes, "class_distance_median")
        else "",
        "directions": list(pictures.directions(study)),
        "gallery": list(pictures.gallery(study)),
        "provenance": provenance_rows(study),
    }


def provenance_rows(study: Study) -> tuple[list[str], list[list[str]]]:
    """(files, rows of a name and a value for each file): what made the results, as far as it can be read."""
    names = list(dict.fromkeys(k for _, attributes in study.sources for k in attributes))
    kept = [
        n for n in (*FIRST, *sorted(set(names) - set(FIRST))) if n in names and n not in ("kind", "settings")
    ]
    values = [[n, *(str(attributes.get(n, "")) for _, attributes in study.sources)] for n in kept]
    return [path for path, _ in study.sources], values


def number_tables(study: Study) -> list[dict[str, Any]]:
    """The comparison's tables as plain cells."""
    found = comparison_tables(study.comparison) if study.comparison else ()
    return [
        {
            "title": table.title,
            "head": [str(c.header).replace("\n", " ") for c in table.columns],
            "rows": list(zip(*(c.cells for c in table.columns), strict=True)),
        }
        for table in found
    ]


def _pairs(values: Iterable[str]) -> list[tuple[str, str]]:
    """(value, text) of a group of switches, each once."""
    return [(value, value.replace("_", " ")) for value in dict.fromkeys(values)]


def _has(data: Any, name: str) -> bool:
    return data is not None and name in data and bool(data[name].notnull().any())
