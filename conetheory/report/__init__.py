"""Reports from the results of a folder: a page for the browser, Markdown with figures, or a PDF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from conetheory.errors import InputError
from conetheory.report.studies import Study, load_studies

FORMATS = {"html": "page", "md": "markdown", "pdf": "pages"}
__all__ = ["FORMATS", "Study", "load_studies", "write_report"]


def write_report(folder: str | Path, out: str | Path | None = None, format: str = "html") -> Path:
    """Report everything in `folder` and give the path of what was written (default: `folder/report.FORMAT`).

    Raises `InputError` where the folder holds no results or the format is unknown.
    """
    if format not in FORMATS:
        raise InputError(f"unknown format {format!r}; known: {', '.join(FORMATS)}")
    studies = load_studies(folder)
    path = Path(folder) / f"report.{format}" if out is None else Path(out)
    write: Callable[[Sequence[Study], Path], None] = import_module(
        f"conetheory.report.{FORMATS[format]}"
    ).write
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(studies, path)
    except OSError as error:
        raise InputError(f"the report can't be written to {path}: {error.strerror or error}") from error
    return path
