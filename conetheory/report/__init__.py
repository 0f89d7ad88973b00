"""Reports from the results of a folder: a page for the browser, Markdown with figures, or a PDF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from conetheory.errors import InputError
from conetheory.report.findings import Findings, load_findings

FORMATS = {"html": "page", "md": "markdown", "pdf": "pages"}
__all__ = ["FORMATS", "Findings", "load_findings", "write_report"]


def write_report(folder: str | Path, out: str | Path | None = None, format: str = "html") -> Path:
    """Report everything in `folder` and give the path of what was written (default: `folder/report.FORMAT`).

    Raises `InputError` where the folder holds no results or the format is unknown.
    """
    if format not in FORMATS:
        raise InputError(f"unknown format {format!r}; known: {', '.join(FORMATS)}")
    networks = load_findings(folder)
    path = Path(folder) / f"report.{format}" if out is None else Path(out)
    write: Callable[[Sequence[Findings], Path], None] = import_module(
        f"conetheory.report.{FORMATS[format]}"
    ).write
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(networks, path)
    except OSError as error:
        raise InputError(f"the report can't be written to {path}: {error.strerror or error}") from error
    return path
