"""All pages that are made, all tables that pages of ours name, and the files beside them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from docs.made import (
    api,
    commands,
    gallery,
    library,
    methods,
    networks,
    notebook,
    operations,
    paper,
    scores,
    theorems,
    theories,
)
from docs.made.results import RESULTS

MAKERS = (methods, theorems, commands, theories, gallery, library, notebook, api)
TABLES: dict[str, Callable[[], str]] = {
    "theorems": theorems.summary,
    "errors": scores.errors,
    "biases": scores.biases,
    "seconds": scores.seconds,
    "bands": scores.bands,
    "every-method": scores.every_method,
    "todays-networks": scores.today,
    "verdicts": scores.verdicts,
    "networks": networks.tested,
    "operations": operations.by_rule,
    "paper-deficits": paper.deficits,
    "paper-predictions": paper.predictions,
    "paper-random-weights": paper.random_weights,
    "paper-two-classes": paper.two_classes,
    "paper-randomised": paper.randomised,
    "paper-classes": paper.classes,
}
MARK = re.compile(r"^<!-- made: ([\w-]+) -->$", re.MULTILINE)


def pages() -> dict[str, str]:
    """`{path: Markdown}` of every page that is made."""
    return {path: text for maker in MAKERS for path, text in maker.pages().items()}


def filled(text: str) -> str:
    """A page of ours with the tables that it names. Raises `KeyError` for one that there is not."""
    return MARK.sub(lambda mark: TABLES[mark[1]](), text)


def files() -> dict[str, Path]:
    """Figures and numbers that pages link to: `{path in the site: file}`."""
    found = [path for kind in ("*.png", "*.json") for path in sorted(RESULTS.glob(kind))]
    return {f"results/{path.name}": path for path in found}
