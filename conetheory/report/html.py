"""The report as one HTML page that needs nothing else: no network, no fonts, no files beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from conetheory.report import drawings, pictures
from conetheory.report import verdict_tables as rows
from conetheory.report.comparison_tables import summary_lines
from conetheory.report.facts import number_tables, provenance_rows
from conetheory.report.findings import Findings
from conetheory.report.origin_tables import origin_legend
from conetheory.report.payload import payload
from conetheory.results.evidence import FORGOTTEN, SIMILAR, STILL
from conetheory.results.verdict import Outcome

FEW = 4  # chains whose cones are shown unfolded
BANDS = {  # the key of a band's legend: what it is
    "measured-band": "95% bootstrap band of the measured median",
    "spread": "from the 5th to the 95th percentile of pairs, locations and images",
}
EXPLAINED = {
    Outcome.DEPENDS: "another decision gives another map",
    Outcome.SPATIAL: "another decision only brightens and darkens regions of the same map",
    Outcome.BLIND: "another decision gives the same map",
    Outcome.BORDERLINE: "the threshold lies inside the 95% band of the measurement",
    Outcome.OPEN: "more evidence is needed",
}


def write(networks: Sequence[Findings], path: Path) -> None:
    path.write_text(render(networks), "utf-8")


def render(networks: Sequence[Findings]) -> str:
    """The page of these networks, one section for each network."""
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
        networks=[_context(findings, f"s{number}") for number, findings in enumerate(networks, 1)],
        outcomes=[(o.name.lower(), rows.MARKS[o], str(o), EXPLAINED[o]) for o in Outcome],
        thresholds={"forgotten": FORGOTTEN, "still": STILL, "similar": SIMILAR},
        few=FEW,
        svg=Markup,
        angle=drawings.angle,
    )


def _context(findings: Findings, identity: str) -> dict[str, Any]:
    data = payload(findings)
    columns = rows.used_columns(findings.verdicts)
    memory = partial(drawings.memory_svg, exponent=data["exponent"])
    panels = data["csc"]
    known = findings.comparison
    lines = [*summary_lines(known), *origin_legend(known)] if known else []
    return {
        "id": identity,
        "findings": findings,
        "data": data,
        "columns": columns,
        "verdicts": [
            {
                "verdict": v,
                "kind": v.outcome.name.lower(),
                "mark": rows.MARKS[v.outcome],
                "parts": {name: _parts(text) for name, text in rows.cells(v).items()},
                "notes": rows.notes(v),
                "memory": memory(v),
            }
            for v in findings.verdicts
        ],
        "styles": {curve["key"]: curve.get("style", curve["key"]) for curve in data["curves"]},
        "options": {
            "method": _pairs(findings.methods),
            "curve": [(curve["key"], curve["name"]) for curve in data["curves"]],
            "start": _pairs(p["start"] for p in panels),
            "layer": _pairs(label for p in panels for label in p["labels"]),
            "mode": _pairs(key.split("|")[0] for p in data["sanity"] for key in p["curves"]),
            "measure": _pairs(key.split("|")[1] for p in data["sanity"] for key in p["curves"]),
        },
        "explanations": findings.explanations,
        "bands": [(key, text) for key, text in BANDS.items() if any(key in p["bands"] for p in panels)],
        "csv": _csv(findings),
        "contents": _contents(findings, data),
        "lead": next((line for line in lines if line.startswith("measured")), ""),
        "facts": [line for line in lines if not line.startswith("measured")],
        "structure": any("structure" in c for p in data["sanity"] for c in p["curves"].values()),
        "tables": list(number_tables(findings)),
        "cones": [
            (m, s, [(c, drawings.cone_svg(c)) for c in found]) for m, s, found in drawings.cones(findings)
        ],
        "distances": ""
        if findings.classes is None or not _has(findings.classes, "class_distance_median")
        else drawings.distance_svg(findings.classes),
        "directions": list(pictures.directions(findings)),
        "origins": list(pictures.origins(findings)),
        "gallery": list(pictures.gallery(findings)),
        "provenance": provenance_rows(findings),
    }


def _parts(cell: str) -> list[str]:
    """A cell's lines: a number, and what is said of it beside it."""
    return [part for part in cell.replace(" of ", "\nof ").replace(" (", "\n(").split("\n") if part]


def _csv(findings: Findings) -> str:
    """The numbers of the comparison as a link that holds them."""
    known = findings.comparison
    return (
        ""
        if known is None
        else "data:text/csv;charset=utf-8," + quote(known.to_dataframe().to_csv(index=False))
    )


def _contents(findings: Findings, data: dict[str, Any]) -> list[tuple[str, str]]:
    """(identity, title) of the sections that there are."""
    there = {
        ("verdict", "verdict"): findings.verdicts,
        ("words", "in words"): findings.explanations,
        ("csc", "predicted over measured"): data["csc"],
        ("cones", "cones"): any(True for _ in drawings.cones(findings)),
        ("sanity", "randomised"): data["sanity"],
        ("classes", "classes"): _has(findings.classes, "class_distance_median"),
        ("origins", "origins"): any(True for _ in pictures.origins(findings)),
        ("maps", "maps"): any(True for _ in pictures.gallery(findings)),
        ("provenance", "where the numbers come from"): True,
    }
    return [section for section, found in there.items() if found]


def _pairs(values: Iterable[str]) -> list[tuple[str, str]]:
    """(value, text) of a group of switches, each once."""
    return [(value, value.replace("_", " ")) for value in dict.fromkeys(values)]


def _has(data: Any, name: str) -> bool:
    return data is not None and name in data and bool(data[name].notnull().any())
