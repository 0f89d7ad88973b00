"""Does a saliency map depend on the network's parameters? Randomisation tests and what they can't tell."""

from conetheory.results.dataset import Sanity
from conetheory.sanity.check import SanitySettings, sanity_check

__all__ = ["Sanity", "SanitySettings", "sanity_check"]
