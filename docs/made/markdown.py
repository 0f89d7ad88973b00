"""Markdown of tables and text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

BOLD, CODE = re.compile(r"\*\*([^*\n]+)\*\*"), re.compile(r"`([^`\n]+)`")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table. Cells are Markdown: text that is none goes through `plain`."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: str) -> str:
    """Text as it is, also in a cell: nothing in it is Markdown."""
    escaped = re.sub(r"([\\`*_\[\]{}|~#])", r"\\\1", " ".join(text.split()))
    return escaped.replace("<", "&lt;").replace(">", "&gt;")


def prose(text: str) -> str:
    """Text of a docstring with its lines as they are; `**bold**` and `code` are set as such."""
    safe = html.escape(text, quote=False)
    safe = CODE.sub(r"<code>\1</code>", BOLD.sub(r"<strong>\1</strong>", safe))
    return f'<div class="prose">{safe}</div>'


def code(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def sections(*parts: str) -> str:
    """Parts of a page, with a blank line between them; empty ones left out."""
    return "\n\n".join(part for part in parts if part) + "\n"
