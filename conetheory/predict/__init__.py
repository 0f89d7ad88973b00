"""Predictions of CSC: one file a theory, and their registry.

Touch `predict_csc`; a theory of one's own is a class on `Theory`, made known by `register`. Everything else
follows from that: an option, a column, a curve, a piece of evidence.
"""

from typing import Any

from conetheory.chain.layers import below, state_cuts
from conetheory.predict.local_spectrum import LocalSpectrum
from conetheory.predict.mean_field import MeanField
from conetheory.predict.predictions import predict_csc, prediction, predictors
from conetheory.predict.registry import applies, find, register, theories
from conetheory.predict.theory import Theory
from conetheory.predict.two_scale import TwoScale

Predictor = Theory

__all__ = [
    "THEORIES",
    "LocalSpectrum",
    "MeanField",
    "Predictor",
    "Theory",
    "TwoScale",
    "applies",
    "below",
    "find",
    "predict_csc",
    "prediction",
    "predictors",
    "register",
    "state_cuts",
    "theories",
]


def __getattr__(name: str) -> Any:
    """`THEORIES`: those that are registered at the time."""
    if name != "THEORIES":
        raise AttributeError(f"module 'conetheory.predict' has no attribute {name!r}")
    return theories()
