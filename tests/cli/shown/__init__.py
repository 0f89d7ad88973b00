"""What commands print of made-up results, as text: kept in `80.txt`, `120.txt` and `pipe.txt`.

`python -m tests.cli.shown` writes the files anew; what has changed is then to be looked at.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from unittest import mock

from conetheory.cli import compare, sanity
from conetheory.cli.job import COMPARE
from conetheory.report.map_tables import class_rows, sanity_rows
from conetheory.results.class_distances import Classes
from conetheory.results.comparison import compare as laid_over
from conetheory.results.dataset import Result, Sanity
from tests.report import folders

PLACES = {"80": 80, "120": 120, "pipe": None}  # columns of a terminal
ESCAPES = re.compile(r"\x1b\[[\d;]*m")


@contextmanager
def place(columns: int | None) -> Iterator[io.StringIO]:
    """Standard output of so many columns, or a pipe; what is printed is there afterwards, without styles."""
    terminal = {"COLUMNS": str(columns), "TTY_COMPATIBLE": "1", "TERM": "xterm", "NO_COLOR": "1"}
    held = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", *terminal)}
    with mock.patch.dict(os.environ, held | (terminal if columns else {}), clear=True):
        shown = io.StringIO()
        with redirect_stdout(shown):
            yield shown


def plain(shown: io.StringIO) -> str:
    """Without escapes, and without blanks at the ends of lines."""
    lines = ESCAPES.sub("", shown.getvalue()).splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def made_up() -> None:
    """Print what `compare`, `sanity` and `classes` print of made-up results with long names."""
    data = folders.comparison(("gradient", "lrp-alpha1beta0"))
    names = [f"features.{n}.expand3x3_activation" if n.startswith("conv") else n for n in folders.LAYERS]
    data = data.assign_coords(label=("layer", names))
    compare.present(COMPARE, laid_over(Result(data)), [Path("out/a/comparison.nc")], False)
    one, two = folders.sanity(), folders.classes()
    one = one.assign(
        random_logit_median=one["random_logit"].median("image"), efficient_mprt_median=("method", [0.1] * 3)
    ).assign_coords(layer=[f"features.{n}.expand3x3_activation" for n in one["layer"].values])
    sanity._report(sanity_rows(Sanity(one)), [Path("out/sanity.nc")], "ssim")
    two = two.assign(class_distance_sampled=two["class_distance_median"])
    sanity._report(class_rows(Classes(two)), [Path("out/classes.nc")])


def text(columns: int | None) -> str:
    with place(columns) as shown:
        made_up()
    return plain(shown)


def kept(name: str) -> Path:
    return Path(__file__).parent / f"{name}.txt"
