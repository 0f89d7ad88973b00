"""Saliency maps by the engine that CSC is measured with: of any class, as pictures, and how alike they are.

Touch `explain` for relevance at the input, `explain_maps` for maps with the pictures they explain, and
`class_sensitivity` for how much of a map depends on the class.
"""

from conetheory.saliency.classes import ClassSettings, class_sensitivity
from conetheory.saliency.explain import explain
from conetheory.saliency.maps import explain_maps

__all__ = ["ClassSettings", "class_sensitivity", "explain", "explain_maps"]
