"""Rates of contraction, operation by operation: what each matrix says by itself, and the chain down to it.

Touch `rates`. `layer` is what a node's matrix says by itself, `block` the shortest block above it whose cone
is bounded at a location; `ritz`, `exponents`, `mixing` and `curves` what the chain down to it says; `study`
spends a budget on them, `record` and `result` keep what came out.
"""

from conetheory.chain.operation import Operation
from conetheory.contraction.result import Rates, rates

__all__ = ["Operation", "Rates", "rates"]
