"""The notebook as a page: its text, its code, and what it printed when it was last run."""

from __future__ import annotations

import json
from typing import Any

from docs.made.markdown import code, sections
from docs.made.results import ROOT

NAME = "ten-minutes"
PATH = ROOT / "docs" / "tutorials" / f"{NAME}.ipynb"


def pages() -> dict[str, str]:
    parts = [part for cell in cells() for part in _shown(cell)]
    there = f"[The notebook]({NAME}.ipynb){{download}} has the same cells."
    return {f"tutorials/{NAME}.md": sections(*parts, there)}


def cells() -> list[dict[str, Any]]:
    return json.loads(PATH.read_text())["cells"]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def _shown(cell: dict[str, Any]) -> list[str]:
    if cell["cell_type"] == "markdown":
        return [source(cell)]
    outputs = [_text(output) for output in cell.get("outputs", [])]
    return [code(source(cell), "python"), *(code(text) for text in outputs if text)]


def _text(output: dict[str, Any]) -> str:
    lines = output.get("text") or output.get("data", {}).get("text/plain", [])
    return "".join(lines)
