"""Pictures for the repository: line drawings in 256 colours, a third of the size."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

COLOURS = 256


def save_small(figure: Figure, path: Path, dpi: float) -> None:
    """Write a figure as PNG, its colours rounded to the `COLOURS` that cover it best."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    with Image.open(buffer) as picture:
        few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, format="PNG", optimize=True)
