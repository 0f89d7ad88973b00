"""The report as Markdown: tables in the text, figures as PNG files beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from conetheory.report.comparison_tables import summary_lines
from conetheory.report.facts import number_tables, provenance_rows
from conetheory.report.figures import figures
from conetheory.report.findings import Findings
from conetheory.report.origin_tables import origin_legend
from conetheory.report.verdict_tables import MARKS, cells, notes, used_columns


def write(networks: Sequence[Findings], path: Path) -> None:
    """`path`, and `STEM-NUMBER-FIGURE.png` for each figure."""
    lines = [
        line for number, findings in enumerate(networks, 1) for line in _findings(findings, path, number)
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def _findings(findings: Findings, path: Path, number: int) -> Iterator[str]:
    yield from (f"# {findings.headline}", "")
    columns = used_columns(findings.verdicts)
    rows = [
        [v.method, f"{MARKS[v.outcome]} {v.text}", *(cells(v)[c] for c in columns)] for v in findings.verdicts
    ]
    yield from table(["method", "verdict", *columns], rows)
    yield from (f"- {v.method}: {note}" for v in findings.verdicts for note in notes(v))
    yield from ("", *(f"- {name}: {text}." for name, text in columns.items()), "")
    yield from _in_words(findings)
    if findings.comparison is not None:
        known = findings.comparison
        yield from (f"- {line}" for line in (*summary_lines(known), *origin_legend(known)))
    for name, title, figure in figures(findings):
        picture = path.with_name(f"{path.stem}-{number}-{name}.png")
        figure.savefig(picture, dpi=130)
        yield from ("", f"## {title}", "", f"![{title}]({picture.name})")
    tables = number_tables(findings)
    yield from ("", "## All numbers", "") if tables else ("",)
    for found in tables:
        yield from (f"### {found['title']}", "", *table(found["head"], found["rows"]), "")
    paths, values = provenance_rows(findings)
    yield from ("## Where the numbers come from", "", *table(["", *paths], values), "")


def _in_words(findings: Findings) -> Iterator[str]:
    if findings.explanations:
        yield from ("## In words", "")
    for said in findings.explanations:
        yield from (f"**{said.method} from {said.start}.** {said.text}", "")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; the bars in `|cos|` are escaped."""
    row = lambda parts: "| " + " | ".join(str(p).replace("|", r"\|") for p in parts) + " |"  # noqa: E731
    return [row(head), row(["---"] * len(head)), *(row(r) for r in rows)]
