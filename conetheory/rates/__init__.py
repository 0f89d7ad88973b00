"""Rates of contraction, layer by layer: what each matrix says by itself, and the chain down to it.

Touch `rates`.
"""
