"""The mathematics: arrays in, numbers out, for numpy and torch alike. No torch is imported.

Touch the module that is named after the object: `cone` (Hilbert's metric, Birkhoff's coefficient),
`ergodicity` (Dobrushin's), `gaussian_law`, `origin`, `secondmoment`, ...; `theorems` says what is proved
where.
"""

from typing import TYPE_CHECKING

from conetheory.lazy import attach

if TYPE_CHECKING:
    from conetheory.theory import (
        angles,
        attention,
        bundle,
        columns,
        cone,
        convchains,
        cosine,
        enclosure,
        ergodicity,
        farthest,
        gaussian_law,
        generators,
        htransform,
        innerscalings,
        lyapunov,
        matrices,
        meanfield,
        origin,
        pattern,
        patternlayers,
        patternrecords,
        randomlayers,
        records,
        rectified,
        relupair,
        sampledspectrum,
        secondmoment,
        sparsematrix,
        spectrum,
        statement,
        theorems,
        twonorm,
        twoscale,
        walk,
        worstpair,
    )

__all__ = [
    "angles",
    "attention",
    "bundle",
    "columns",
    "cone",
    "convchains",
    "cosine",
    "enclosure",
    "ergodicity",
    "farthest",
    "gaussian_law",
    "generators",
    "htransform",
    "innerscalings",
    "lyapunov",
    "matrices",
    "meanfield",
    "origin",
    "pattern",
    "patternlayers",
    "patternrecords",
    "randomlayers",
    "records",
    "rectified",
    "relupair",
    "sampledspectrum",
    "secondmoment",
    "sparsematrix",
    "spectrum",
    "statement",
    "theorems",
    "twonorm",
    "twoscale",
    "walk",
    "worstpair",
]

__getattr__, __dir__ = attach(__name__, {name: f"conetheory.theory.{name}" for name in __all__})
