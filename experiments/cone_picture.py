"""The geometric picture: a cone of nonnegative vectors in three dimensions shrinks layer by layer to a ray.

    python -m experiments.cone_picture --out DIR [--smoke]

The columns of A_1 A_2 ... A_l span cones, each inside the one before, since a column of the longer product
is a nonnegative combination of the columns of the shorter. Writes cone_picture.png and .pdf (five stages
and the angle of the worst pair under its half-angle bound), cone_picture.gif (the same, moving), and the
numbers as JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from numpy.typing import NDArray

from conetheory.theory.cone import (
    angle_of_deficit,
    birkhoff_rate,
    deficit_upper_from_rates,
    projective_diameter,
)
from conetheory.theory.worstpair import worst_pair_cosine
from experiments.small_png import save_small

Array = NDArray[np.float64]
EDGE, FACE, RAY, BOUND = "#08519c", "#4292c6", "#cb181d", "#737373"
VIEW = {"elev": 16, "azim": -16}  # from the side: the rays run across the picture


def random_layers(count: int, mixing: float, seed: int) -> list[Array]:
    """Positive 3 x 3 matrices, columns of sum 1, that mix a little: `(1 - mixing) I + mixing (random)`."""
    rng = np.random.default_rng(seed)
    return [(1 - mixing) * np.eye(3) + mixing * rng.dirichlet(np.ones(3) * 2, 3).T for _ in range(count)]


def cones(layers: list[Array]) -> list[Array]:
    """Generators (3, 3) of the nested cones: the identity (the whole octant), A_1, A_1 A_2, ..."""
    products = [np.eye(3)]
    for layer in layers:
        products.append(products[-1] @ layer)
    return products


def angles(layers: list[Array]) -> tuple[Array, Array]:
    """Degrees, from one layer on: the worst pair of each cone, exact, and its half-angle bound."""
    exact = [float(angle_of_deficit(worst_pair_cosine(P).deficit)) for P in cones(layers)[1:]]
    rates = np.array([float(birkhoff_rate(projective_diameter(layer))) for layer in layers])
    bound = [float(angle_of_deficit(deficit_upper_from_rates(rates[: i + 1]))) for i in range(len(rates))]
    return np.degrees(exact), np.degrees(bound)


def draw_cone(axes: Axes3D, generators: Array, strength: float = 1.0) -> None:
    """The cone as three faces from the origin to the plane x + y + z = 1, and the cut there."""
    corners = (generators / generators.sum(0)).T
    faces = [[np.zeros(3), corners[i], corners[(i + 1) % 3]] for i in range(3)]
    sides = Poly3DCollection(faces, facecolor=to_rgba(FACE, 0.22 * strength), edgecolor="none")
    cut = Poly3DCollection(
        [corners], facecolor=to_rgba(FACE, 0.75 * strength), edgecolor=to_rgba(EDGE, strength), lw=1.1
    )
    axes.add_collection3d(sides)
    axes.add_collection3d(cut)
    for corner in corners:
        axes.plot(*zip(np.zeros(3), corner, strict=True), color=to_rgba(EDGE, strength), lw=1.1)


def draw_stage(axes: Axes3D, generators: Array, limit: Array, ghosts: list[Array]) -> None:
    """One stage: octant, simplex, earlier cuts as outlines, the cone, and the ray it shrinks to."""
    for axis, name in zip(np.eye(3), ("$r_1$", "$r_2$", "$r_3$"), strict=True):
        axes.plot(*zip(np.zeros(3), 1.12 * axis, strict=True), color="#969696", lw=0.9)
        axes.text(*(1.2 * axis), name, color="#525252", fontsize=9, ha="center", va="center")
    for ghost in [np.eye(3), *ghosts]:
        loop = (ghost / ghost.sum(0))[:, [0, 1, 2, 0]]
        axes.plot(*loop, color="#bdbdbd", lw=0.8)
    draw_cone(axes, generators)
    axes.plot(*zip(np.zeros(3), 1.35 * limit / limit.sum(), strict=True), color=RAY, lw=1.5)
    axes.set(xlim=(0, 1), ylim=(0, 1), zlim=(0, 1))
    axes.set_box_aspect((1, 1, 1), zoom=1.0)
    axes.view_init(**VIEW)
    axes.set_axis_off()


def draw_angles(axes: Axes, exact: Array, bound: Array) -> None:
    """Worst angle, exact and bounded, on a log axis, from the first layer on."""
    layers = np.arange(1, len(exact) + 1)
    axes.plot(layers, bound, color=BOUND, lw=1.4, ls=(0, (5, 2)))
    axes.plot(layers, exact, "o-", color=EDGE, ms=4, lw=1.4, mec="white", mew=0.5)
    middle = len(exact) // 2
    axes.annotate(
        "half-angle bound\n$2\\,\\arctan\\prod\\tau$",
        (layers[middle], bound[middle]),
        (6, 6),
        textcoords="offset points",
        color=BOUND,
        fontsize=9,
    )
    axes.annotate(
        "worst pair,\nexact",
        (layers[middle], exact[middle]),
        (-6, -6),
        textcoords="offset points",
        color=EDGE,
        fontsize=9,
        ha="right",
        va="top",
    )
    axes.set_yscale("log")
    axes.set_ylim(exact.min() / 2, 180)
    axes.set_xticks(layers[1::2])
    axes.set_xlabel("layers")
    axes.set_ylabel("angle between two images (degrees)")
    axes.grid(axis="y", color="#dddddd", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def still(layers: list[Array], stages: tuple[int, ...]) -> Figure:
    """The stages in two rows, the last cell the angles."""
    nested = cones(layers)
    limit = nested[-1].sum(1)
    fig = Figure(figsize=(9.6, 6.2), layout="constrained")
    FigureCanvasAgg(fig)
    for place, stage in enumerate(stages):
        axes = fig.add_subplot(2, 3, place + 1, projection="3d")
        draw_stage(axes, nested[stage], limit, [nested[s] for s in stages[:place]])
        label = "all nonnegative vectors" if stage == 0 else f"{stage} layer{'s' if stage > 1 else ''}"
        axes.set_title(label, fontsize=10, y=1.0)
    draw_angles(fig.add_subplot(2, 3, 6), *angles(layers))
    return fig


def moving(layers: list[Array], frames_per_layer: int, path: Path) -> None:
    """The cone shrinking from layer to layer; A_(l+1) is blended in, which keeps the cones nested."""
    nested = cones(layers)
    limit = nested[-1].sum(1)
    fig = Figure(figsize=(4.2, 4.2))
    FigureCanvasAgg(fig)
    axes = fig.add_axes((0, 0, 1, 0.94), projection="3d")

    def frame(number: int) -> list:
        done, part = divmod(number, frames_per_layer)
        share = part / frames_per_layer
        smooth = share * share * (3 - 2 * share)
        axes.clear()
        current = nested[done]
        if part:
            current = current @ ((1 - smooth) * np.eye(3) + smooth * layers[done])
        draw_stage(axes, current, limit, nested[: done + 1])
        widest = np.degrees(float(angle_of_deficit(worst_pair_cosine(current).deficit)))
        axes.set_title(f"layer {min(done + 1, len(layers))}: widest angle {widest:.1f}°", fontsize=11, y=1.0)
        return []

    total = len(layers) * frames_per_layer + 1
    FuncAnimation(fig, frame, frames=total, init_func=list).save(path, writer=PillowWriter(fps=12), dpi=100)


def main(
    out: Annotated[Path, typer.Option(help="directory for the figure, the animation and the numbers")],
    depth: int = 12,
    seed: int = 3,
    smoke: Annotated[bool, typer.Option(help="few layers and frames")] = False,
) -> dict:
    """Draw the cones, and save; returns the angles in degrees."""
    depth, stages, frames = (4, (0, 1, 2, 3, 4), 2) if smoke else (depth, (0, 1, 2, 4, 8), 8)
    layers = random_layers(depth, 0.34, seed)
    out.mkdir(parents=True, exist_ok=True)
    fig = still(layers, tuple(min(stage, depth) for stage in stages))
    save_small(fig, out / "cone_picture.png", dpi=200)
    fig.savefig(out / "cone_picture.pdf")
    moving(layers[: min(depth, 8)], frames, out / "cone_picture.gif")
    exact, bound = angles(layers)
    made = {"worst_angle_degrees": exact.tolist(), "half_angle_bound_degrees": bound.tolist()}
    (out / "cone_picture.json").write_text(json.dumps(made, indent=2) + "\n")
    return made


if __name__ == "__main__":
    typer.run(main)
