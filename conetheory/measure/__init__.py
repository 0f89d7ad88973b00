"""Cosine similarity convergence (CSC), measured: the meter, its histograms and the band of its medians.

Touch `measure_csc` for one chain and `CscMeter` for many; the deficits of single sweeps are
`local_deficits`.
"""

from conetheory.chain.protocol import Chain
from conetheory.measure.meter import (
    QUANTILES,
    CscMeter,
    deficit_chunks,
    local_deficits,
    measure_csc,
)
from conetheory.measure.starts import Distribution, draw, drawn_name
from conetheory.measure.statistics import LayerStatistics

__all__ = [
    "QUANTILES",
    "Chain",
    "CscMeter",
    "Distribution",
    "LayerStatistics",
    "deficit_chunks",
    "draw",
    "drawn_name",
    "local_deficits",
    "measure_csc",
]
