"""The site's pages as text, and the code in them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from textwrap import dedent

from docs.made import site

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCED = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@cache
def written() -> dict[str, str]:
    """Pages that are written by hand, and the README, without the tables that they name."""
    own = {path.relative_to(DOCS).as_posix(): path.read_text() for path in sorted(DOCS.rglob("*.md"))}
    return {"README.md": (ROOT / "README.md").read_text(), **own}


@cache
def made() -> dict[str, str]:
    """Takes seconds, as tables do: asked for in a test, not where tests are collected."""
    return site.pages()


@cache
def everything() -> dict[str, str]:
    """Every page of the site, with its tables, and the README."""
    own = {path: text if path == "README.md" else site.filled(text) for path, text in written().items()}
    return {**own, **made()}


def blocks(text: str, *languages: str) -> list[tuple[str, str]]:
    """(language, code) of fenced blocks, but for those that are marked `notest`."""
    found = FENCED.findall(text)
    return [
        (kind, dedent(code)) for _, kind, said, code in found if kind in languages and "notest" not in said
    ]
