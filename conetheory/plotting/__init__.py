"""A dataset in, a figure out. No torch."""
