"""The report as a PDF, page by page through matplotlib: it needs no browser. The HTML page prints as well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from conetheory.report.comparison_tables import summary_lines
from conetheory.report.facts import provenance_rows
from conetheory.report.figures import figures
from conetheory.report.findings import Findings
from conetheory.report.verdict_tables import cells, notes, used_columns

PAPER = (11.69, 8.27)  # A4, inches
ROWS = 16  # of a table on a page
DOTS = 200  # an inch, of figures
WIDTH, LINE = 140, 0.026  # letters of a line of text, and its height in pages


def write(networks: Sequence[Findings], path: Path) -> None:
    with PdfPages(path, metadata={"Title": "conetheory report"}) as pdf:
        for findings in networks:
            for page in _verdicts(findings):
                pdf.savefig(page)
            if findings.verdicts:
                pdf.savefig(_meanings(findings))
            for page in _in_words(findings):
                pdf.savefig(page)
            for _, title, figure in figures(findings):
                pdf.savefig(_framed(title, figure))
            pdf.savefig(_provenance(findings))


def _verdicts(findings: Findings) -> list[Figure]:
    """The headline, and the verdict table on as many pages as it takes."""
    columns = used_columns(findings.verdicts)
    head = ["method", "verdict", *columns]
    rows = [[v.method, fill(v.text, 24), *(cells(v)[c] or "–" for c in columns)] for v in findings.verdicts]
    said = [f"{v.method}: {note}" for v in findings.verdicts for note in notes(v)]
    said += summary_lines(findings.comparison) if findings.comparison is not None else []
    pages = [_table(findings.headline, head, rows[k : k + ROWS]) for k in range(0, max(1, len(rows)), ROWS)]
    pages[-1].text(
        0.06, 0.05, "\n".join(fill(s, 150) for s in said[:14]), size=8, color="#555555", va="bottom"
    )
    return pages


def _meanings(findings: Findings) -> Figure:
    """What the columns of the verdict table mean."""
    rows = [[name, fill(text, 100)] for name, text in used_columns(findings.verdicts).items()]
    return _table("What the columns say", ["column", "meaning"], rows)


def _framed(title: str, figure: Figure) -> Figure:
    """A page of the one format with a figure on it, as large as it can be; it is drawn as a picture."""
    canvas = FigureCanvasAgg(figure)
    own = max(side / paper for side, paper in zip(figure.get_size_inches(), PAPER, strict=True))
    figure.set_dpi(
        DOTS / max(1.0, own / 2)
    )  # a figure of many pages' size is not drawn larger than twice one
    canvas.draw()
    page = Figure(figsize=PAPER)
    page.text(0.06, 0.93, title, size=17, family="serif", va="top")
    axes = page.add_axes((0.06, 0.05, 0.88, 0.8))
    axes.set_axis_off()
    axes.imshow(np.asarray(canvas.buffer_rgba()), interpolation="none")
    return page


def _in_words(findings: Findings) -> Iterator[Figure]:
    """The explanations, some on each page."""
    texts = [fill(f"{one.method} from {one.start}. {one.text}", WIDTH) for one in findings.explanations]
    while texts:
        page, y = Figure(figsize=PAPER), 0.86
        page.text(0.06, 0.93, "In words", size=17, family="serif", va="top")
        while texts and (y == 0.86 or y - LINE * texts[0].count("\n") > 0.08):
            text = texts.pop(0)
            page.text(0.06, y, text, size=10, va="top", linespacing=1.5)
            y -= LINE * (text.count("\n") + 2)
        yield page


def _provenance(findings: Findings) -> Figure:
    """A row for each value, with the files that have it."""
    paths, found = provenance_rows(findings)
    rows = []
    for name, *texts in found:
        for text in dict.fromkeys(t for t in texts if t):
            said = [path for path, other in zip(paths, texts, strict=True) if other == text]
            rows.append([name.replace("_", " "), fill(text, 70), fill(", ".join(said), 50)])
    return _table("Where the numbers come from", ["", "", "files"], rows)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Figure:
    """A page with a title and a table without rules but the one under its head."""
    page = Figure(figsize=PAPER)
    page.text(0.06, 0.93, fill(title, 78), size=17, family="serif", va="top")
    axes = page.add_axes((0.06, 0.06, 0.88, 0.76))
    axes.set_axis_off()
    if not rows:
        return page
    names = [h.replace(" ", "\n") for h in head]
    drawn = axes.table(cellText=rows, colLabels=names, loc="upper left", cellLoc="left", colLoc="left")
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(8)
    drawn.auto_set_column_width(range(len(head)))
    for (row, _), cell in drawn.get_celld().items():
        text = cell.get_text().get_text()
        cell.set_height(
            0.026
            * (1.4 + max(text.count("\n"), *(t.count("\n") for t in (names if row == 0 else rows[row - 1]))))
        )
        cell.visible_edges = "B"
        cell.set_edgecolor("#222222" if row == 0 else "#dddddd")
    return page
