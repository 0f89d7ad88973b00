"""The figures of a report for Markdown and PDF, drawn by matplotlib; the page draws its own."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from conetheory.plotting.classes import classes_figure
from conetheory.plotting.csc import csc_figure
from conetheory.plotting.maps import gallery_figure
from conetheory.plotting.sanity import sanity_figure
from conetheory.report.studies import Study


def figures(study: Study) -> Iterator[tuple[str, str, Figure]]:
    """(name, title, figure) of everything in a study that can be drawn."""
    if study.comparison is not None:
        yield "csc", "Predicted over measured", csc_figure(study.comparison)
    if study.sanity is not None:
        yield "sanity", "Randomising the network", sanity_figure(study.sanity)
    if study.classes is not None and "class_distance_median" in study.classes:
        yield "classes", "Another class, another map?", classes_figure(study.classes)
    if study.maps is not None:
        yield "maps", "Maps, side by side", gallery_figure(study.maps)
