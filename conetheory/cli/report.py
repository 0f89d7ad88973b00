"""`conetheory report`: the verdicts of a folder of results on the terminal, and the report as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from conetheory.cli import console

Folder = Annotated[Path, Parameter(name="DIR", help="A folder with results of any commands.")]
Out = Annotated[Path | None, Parameter(metavar="FILE", help="The report. (default: DIR/report.FORMAT)")]
Format = Annotated[str, Parameter(metavar="FORMAT", help="html, md (with PNG figures beside it) or pdf.")]
Json = Annotated[bool, Parameter(help="Print the verdicts as JSON, and nothing else.")]


def run_report(folder: Folder, /, *, out: Out = None, format: Format = "html", json: Json = False) -> None:
    """Verdicts, curves, cones, sanity checks and maps of a folder of results, as one page."""
    from conetheory.report import load_findings, write_report
    from conetheory.results.verdict import to_json

    path = write_report(folder, out, format)
    networks = load_findings(folder)
    if json:
        print(to_json([v for findings in networks for v in findings.verdicts]))
        return
    stdout = console.out()
    for findings in networks:
        console.show_verdicts(stdout, findings.verdicts, findings.network)
        console.say(stdout, findings.headline)
    console.say(stdout, f"Written: {path}")
