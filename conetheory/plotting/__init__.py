"""A dataset in, a figure out. No torch.

Touch the function that has the name of what it draws: `csc_figure`, `maps_figure`, `methods_figure`, ...
"""

from conetheory.plotting.classes import classes_figure
from conetheory.plotting.csc import csc_figure, csc_panel
from conetheory.plotting.maps import gallery_figure, maps_figure
from conetheory.plotting.methods import methods_figure
from conetheory.plotting.sanity import sanity_figure

__all__ = [
    "classes_figure",
    "csc_figure",
    "csc_panel",
    "gallery_figure",
    "maps_figure",
    "methods_figure",
    "sanity_figure",
]
