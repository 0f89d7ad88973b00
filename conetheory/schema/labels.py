"""How layers are called where there is little room: in tables, on axes and on the page."""

from __future__ import annotations


def short_label(label: str) -> str:
    """A layer's name without what all of its kind share."""
    return label.replace("features.", "f.").removesuffix("_activation")


def broken(label: str) -> str:
    """A name for a narrow heading: a line for each word and each part of a path."""
    return label.replace(".", ".\n").replace("-", "-\n").replace(" ", "\n")
