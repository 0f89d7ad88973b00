"""Few colours, and no point of a line drawing far from its own."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from experiments.small_png import COLOURS, save_small


def test_a_drawing_is_smaller_and_looks_the_same(tmp_path):
    figure = Figure(figsize=(4, 3))
    figure.subplots().plot(np.sin(np.arange(40)), "r-o")
    figure.savefig(tmp_path / "all.png", dpi=100)
    save_small(figure, tmp_path / "few.png", dpi=100)
    with Image.open(tmp_path / "all.png") as one, Image.open(tmp_path / "few.png") as few:
        assert len(few.getcolors(COLOURS)) <= COLOURS
        before, after = (np.asarray(p.convert("RGB"), dtype=float) for p in (one, few))
    assert np.abs(before - after).max() < 40
    assert np.abs(before - after).mean() < 0.1
    assert (tmp_path / "few.png").stat().st_size < 0.8 * (tmp_path / "all.png").stat().st_size
