"""Markdown of tables and text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

HEADING = re.compile(r"[A-Z][A-Za-z ]+\n-{3,}(?:\n|$)")
NAMED = re.compile(r"^([a-z_]+(?:, [a-z_]+)*)$")
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
    """Text of a docstring; `**bold**` and `code` are set as such.

    What is indented as a whole stays as it is. Of other paragraphs lines are joined; where some are indented,
    as below the names of parameters, each that is not begins an item. A heading is a line over dashes.
    """
    paragraphs = re.split(r"\n\s*\n", html.escape(text, quote=False).rstrip())
    return f'<div class="prose">{"".join(map(_paragraph, paragraphs))}</div>'


def _paragraph(text: str) -> str:
    if HEADING.match(text):
        title, _, *rest = text.split("\n")
        return f"<p><strong>{title}</strong></p>" + (_paragraph("\n".join(rest)) if rest else "")
    lines = text.split("\n")
    if all(line.startswith(" ") for line in lines):
        return f"<pre>{text}</pre>"
    items: list[str] = []
    hanging = any(line.startswith(" ") for line in lines)
    for line in lines:
        if not items or (hanging and not line.startswith(" ")):
            items.append(NAMED.sub(r"<code>\1</code>", line))
        else:
            items[-1] += f" {line.strip()}"
    return f"<p>{_marked('<br>'.join(items))}</p>"


def _marked(text: str) -> str:
    return CODE.sub(r"<code>\1</code>", BOLD.sub(r"<strong>\1</strong>", text))


def code(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def sections(*parts: str) -> str:
    """Parts of a page, with a blank line between them; empty ones left out."""
    return "\n\n".join(part for part in parts if part) + "\n"
