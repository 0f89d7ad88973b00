"""Kept for the names that messages and scripts of earlier versions use; see `conetheory.rules.explainers`."""

__all__: list[str] = []
