"""Predictions of CSC: one file a theory, and their registry."""

from conetheory.chain.layers import below, state_cuts
from conetheory.predict.local_spectrum import LocalSpectrum
from conetheory.predict.mean_field import MeanField
from conetheory.predict.theories import THEORIES, Predictor, predict_csc, prediction, predictors
from conetheory.predict.two_scale import TwoScale

__all__ = [
    "THEORIES",
    "LocalSpectrum",
    "MeanField",
    "Predictor",
    "TwoScale",
    "below",
    "predict_csc",
    "prediction",
    "predictors",
    "state_cuts",
]
