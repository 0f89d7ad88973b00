"""The results that the site shows, as they lie in `experiments/results`."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "experiments" / "results"


@cache
def read(name: str) -> dict[str, Any]:
    """A result by its file's name."""
    return json.loads((RESULTS / name).read_text())


def named(pattern: str) -> list[str]:
    """The names of the files that fit, in order."""
    return sorted(path.name for path in RESULTS.glob(pattern))


def number(value: float | None, form: str = ".3f") -> str:
    """A number, a dash where there is none."""
    return "–" if value is None else format(value, form)


def deficit(value: float | None) -> str:
    """`3.6e-6`: a deficit in two digits."""
    if value is None:
        return "–"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"
