"""Does a saliency map depend on the network's parameters? Randomisation tests and what they can't tell."""

from conetheory.sanity.check import Sanity, SanitySettings, sanity_check

__all__ = ["Sanity", "SanitySettings", "sanity_check"]
