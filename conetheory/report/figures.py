"""The figures of a report for Markdown and PDF, drawn by matplotlib; the page draws its own."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from conetheory.plotting.classes import classes_figure
from conetheory.plotting.csc import csc_figure
from conetheory.plotting.maps import gallery_figure
from conetheory.plotting.origins import drawn_methods, origins_figure
from conetheory.plotting.sanity import sanity_figure
from conetheory.report.findings import Findings
from conetheory.report.pictures import drawable


def figures(findings: Findings) -> Iterator[tuple[str, str, Figure]]:
    """(name, title, figure) of everything that was found that can be drawn."""
    if findings.comparison is not None:
        yield "csc", "Predicted over measured", csc_figure(findings.comparison.dataset)
    if findings.sanity is not None:
        yield "sanity", "Randomising the network", sanity_figure(findings.sanity)
    if findings.classes is not None and "class_distance_median" in findings.classes:
        yield "classes", "Another class, another map?", classes_figure(findings.classes)
    if findings.maps is not None and drawable(findings.maps["map"]):
        yield "maps", "Maps, side by side", gallery_figure(findings.maps)
        if drawn_methods(findings.maps):
            for number, image in enumerate(findings.maps["image"].values, 1):
                name = f"origins-{number}"
                yield name, f"Where relevance comes from: {image}", origins_figure(findings.maps, str(image))
