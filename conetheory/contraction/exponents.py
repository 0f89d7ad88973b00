"""Finite-time Lyapunov exponents of the chain from the start down to every tensor, inside blocks too.

Inside a residual block the chain is no product of layers' matrices: what goes around a branch is missing
there. But the map from the start to any tensor is one matrix C_t, and its singular values are what exponents
are made of: `log sigma_i(C_t)`. Three probes go down with one QR a cut; at a tensor t between two cuts the
frame of the cut above is sent to t, so that C_t restricted to the probes is a product of triangles, whatever
branches lie between.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from conetheory.chain.layers import state_cuts
from conetheory.chain.relevance import RelevanceChain
from conetheory.contraction.vectors import frame, probes, vectors
from conetheory.errors import InputError
from conetheory.theory.lyapunov import lyapunov_spectrum

PROBES = 3
PASSES = PROBES


@dataclass(frozen=True)
class Exponents:
    """log singular values of the chain down to a tensor on the span of the probes, `(k,)`, largest first.

    Each is at most that of the chain itself. NaN where the images of the probes span less than they did, in
    the dtype of the chain. gap: the first less the second; the deficit is about `exp(-2 gap)`.
    """

    sizes: np.ndarray

    @property
    def gap(self) -> float:
        return float(self.sizes[0] - self.sizes[1]) if len(self.sizes) > 1 else math.nan


@torch.inference_mode()
def exponents(chain: RelevanceChain, start: str, seed: int = 0) -> dict[str, Exponents]:
    """Of every tensor from the start (all zero) down, for one image.

    As many exponents as the narrowest cut has units, at most three.
    """
    cuts = state_cuts(chain, start)
    count = min(PROBES, *(math.prod(chain.shape(c)) for c in cuts))
    Q = torch.linalg.qr(probes(chain, math.prod(chain.shape(cuts[0])), count, seed)).Q
    triangles: list[np.ndarray] = []
    found = {cuts[0]: Exponents(np.zeros(count))}
    for top, bottom in pairwise(cuts):
        for name, parts in chain.sweep({top: vectors(Q, chain.shape(top))}, bottom):
            if name == top:
                continue
            image = frame(parts[top])
            if len(image) < count:  # a narrow tensor in a branch
                found[name] = Exponents(np.full(count, np.nan))
                continue
            Q_here, R = torch.linalg.qr(image)
            here = [*triangles, R.double().cpu().numpy()]
            found[name] = Exponents(_sizes(here, count))
            if name == bottom:
                Q, triangles = Q_here, here
    return found


def _sizes(triangles: list[np.ndarray], count: int) -> np.ndarray:
    try:
        return lyapunov_spectrum(triangles, np.eye(count)).log_singular_values
    except InputError:  # the product has lost a dimension
        return np.full(count, np.nan)
