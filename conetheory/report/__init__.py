"""Reports: a page for the browser, Markdown with figures, or a PDF, from results. No torch.

Touch `write_report` for a folder of results, `write` for findings. The tables of the terminal are here too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from conetheory.errors import InputError
from conetheory.report.findings import Findings, load_findings

FORMATS = {"html": "html", "md": "markdown", "pdf": "pdf"}
__all__ = ["FORMATS", "Findings", "html_of", "load_findings", "write", "write_report"]


def write_report(folder: str | Path, out: str | Path | None = None, format: str = "html") -> Path:
    """Report everything in a folder of results.

    Parameters
    ----------
    folder
        as commands and `audit` leave it.
    out
        the file (None: `folder/report.FORMAT`).
    format
        `html`, `md` or `pdf`.

    Returns
    -------
    Path
        what was written.

    Raises
    ------
    InputError
        where the folder holds no results or the format is unknown.
    """
    _writer(format)
    return write(
        load_findings(folder), Path(folder) / f"report.{format}" if out is None else Path(out), format
    )


def write(networks: Sequence[Findings], path: Path, format: str | None = None) -> Path:
    """Report findings.

    Parameters
    ----------
    networks
        one for each network with its weights.
    path
        the file.
    format
        `html`, `md` or `pdf` (None: by the path's suffix).

    Returns
    -------
    Path
        what was written.

    Raises
    ------
    InputError
        where the format is unknown or the file can't be written.
    """
    writer = _writer(format or path.suffix.removeprefix("."))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer(networks, path)
    except OSError as error:
        raise InputError(f"the report can't be written to {path}: {error.strerror or error}") from error
    return path


def html_of(findings: Findings) -> str:
    """The headline, the verdicts and the explanations of one network as HTML, for a notebook."""
    from conetheory.report.verdict_tables import MARKS, cells, used_columns

    columns = used_columns(findings.verdicts)
    head = "".join(f"<th>{name}</th>" for name in ("method", "verdict", *columns))
    rows = "".join(
        f"<tr><td>{v.method}</td><td>{MARKS[v.outcome]} {v.text}</td>"
        + "".join(f"<td>{cells(v)[name] or '–'}</td>" for name in columns)
        + "</tr>"
        for v in findings.verdicts
    )
    said = "".join(f"<p><b>{e.method} from {e.start}.</b> {e.text}</p>" for e in findings.explanations)
    return (
        f"<p>{findings.headline}</p><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{said}"
    )


def _writer(format: str) -> Callable[[Sequence[Findings], Path], None]:
    if format not in FORMATS:
        raise InputError(f"unknown format {format!r}; known: {', '.join(FORMATS)}")
    return import_module(f"conetheory.report.{FORMATS[format]}").write
