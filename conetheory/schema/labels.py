"""How layers are called where there is little room: in tables, on axes and on the page."""

from __future__ import annotations

import re


def short_label(label: str) -> str:
    """A layer's name without what all of its kind share."""
    return label.replace("features.", "f.").removesuffix("_activation")


def broken(label: str) -> str:
    """A name for a narrow heading: a line for each word and each part of a path; no number is broken."""
    return re.sub(r"(?<!\d)([.-])|([.-])(?!\d)", r"\1\2\n", label).replace(" ", "\n")
