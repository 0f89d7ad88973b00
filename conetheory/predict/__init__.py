"""Predictions of CSC: one file a theory, and their registry.

Touch `predict_csc`; a theory of one's own is a class on `Theory`, made known by `register`. Everything else
follows from that: an option, a column, a curve, a piece of evidence.
"""

from conetheory.chain.layers import below, state_cuts
from conetheory.predict.critical import critical_gamma
from conetheory.predict.local_spectrum import LocalSpectrum
from conetheory.predict.mean_field import MeanField
from conetheory.predict.predictions import predict_csc, prediction, predictors
from conetheory.predict.registry import applies, find, register, theories
from conetheory.predict.theory import Theory
from conetheory.predict.two_scale import TwoScale

__all__ = [
    "LocalSpectrum",
    "MeanField",
    "Theory",
    "TwoScale",
    "applies",
    "below",
    "critical_gamma",
    "find",
    "predict_csc",
    "prediction",
    "predictors",
    "register",
    "state_cuts",
    "theories",
]
