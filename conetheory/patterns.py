"""Kept for earlier versions; see `conetheory.rules.fitted_patterns`."""

from conetheory.rules.fitted_patterns import fit_patterns

__all__ = ["fit_patterns"]
