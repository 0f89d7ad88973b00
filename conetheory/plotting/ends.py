"""Lines that are named at their ends: labels moved apart, each tied to its line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

SIZE = 7.5  # points of a label
TIE = {
    "arrowstyle": "-",
    "lw": 0.6,
    "shrinkA": 2,
    "shrinkB": 2,
    "relpos": (0, 0.5),
}  # from a label to its end


@dataclass(frozen=True)
class End:
    """Where a line ends, in the data's coordinates: its name and its colour."""

    name: str
    x: float
    y: float
    colour: str


def spread(
    heights: Sequence[float], gap: float, low: float = -float("inf"), high: float = float("inf")
) -> list[float]:
    """Heights moved apart by at least `gap`, as little as may be, in their order.

    Each cluster keeps its mean, as far as it lies between `low` and `high`.
    """
    order = sorted(range(len(heights)), key=heights.__getitem__)
    clusters: list[list[int]] = []
    centres: list[float] = []
    for index in order:
        clusters.append([index])
        centres.append(_inside(heights[index], 0.0, low, high))
        while (
            len(clusters) > 1
            and centres[-1] - centres[-2] < gap * (len(clusters[-1]) + len(clusters[-2])) / 2
        ):
            members = clusters.pop(-2) + clusters.pop()
            mean = sum(heights[i] for i in members) / len(members)
            centres[-2:] = [_inside(mean, gap * (len(members) - 1) / 2, low, high)]
            clusters.append(members)
    placed = list(heights)
    for members, centre in zip(clusters, centres, strict=True):
        for place, index in enumerate(members):
            placed[index] = centre + gap * (place - (len(members) - 1) / 2)
    return placed


def _inside(centre: float, half: float, low: float, high: float) -> float:
    return max(min(centre, high - half), low + half)


def name_ends(axes: Axes, ends: Sequence[End], gap: float) -> None:
    """Write each name beside the right edge, at the height of its end, and tie it to the end by a thin line.

    gap: between labels, in heights of the axes, whose limits and scale have to be set before. What ends
    beyond the axes is named at their edge.
    """
    if not ends:
        return
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [float(to_axes.transform((end.x, end.y))[1]) for end in ends]
    heights = [min(1.0, max(0.0, h)) for h in heights]
    for end, at, height in zip(ends, heights, spread(heights, gap, 0.0, 1.0), strict=True):
        axes.annotate(
            end.name,
            xy=(float(to_axes.transform((end.x, end.y))[0]), at),
            xytext=(1.05, height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=end.colour,
            fontsize=SIZE,
            va="center",
            annotation_clip=False,
            arrowprops={**TIE, "color": end.colour},
        )
