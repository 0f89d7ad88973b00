"""Kept for earlier versions; see `conetheory.rules.explainers.tcav`."""

from conetheory.rules.explainers.tcav import tcav_scores

__all__ = ["tcav_scores"]
