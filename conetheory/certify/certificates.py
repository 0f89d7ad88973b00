"""Certificates of one chain, held against the starts that come nearest to violating them."""

from __future__ import annotations

from collections.abc import Sequence

from conetheory.certify.blocks import POSITIONS
from conetheory.certify.certifier import CscCertifier
from conetheory.certify.check import check_certificates
from conetheory.certify.summary import certificate
from conetheory.chain.relevance import RelevanceChain
from conetheory.results.dataset import Certificate


def certify_csc(
    chain: RelevanceChain,
    start: str | Sequence[str] = "logits",
    *,
    layers: Sequence[str] | None = None,
    positions: int | None = None,
    block_positions: int = POSITIONS,
    seed: int = 0,
    thorough: bool = True,
    vectors: int = 5,
) -> Certificate:
    """Certify one chain from one start layer or several, on the CPU in float64.

    Where theorems do not apply, `not_applicable`, `no_norm_cone` and `no_every_image` in the dataset say why,
    with the layer that prevents it at the last layer.

    Parameters
    ----------
    chain
        its images are those that the certificates speak of; in another dtype or on another device it is
        built again.
    start
        one start layer or several.
    layers
        where to certify (None: all below the start).
    positions
        locations per layer and image (None: what fits in memory).
    block_positions
        the same where the start has too many units to send a column for each.
    seed
        of the choice of locations and of the random starts.
    thorough
        signed chains, norm cones and statements for every image too.
    vectors
        random starts beside the worst pairs to hold the certificates against (`check`; 0: none).

    Returns
    -------
    Certificate
        upper bounds of the deficit by method, start and layer, and what was held against them
        (`certified_*`, see `schema`).
    """
    starts = [start] if isinstance(start, str) else list(start)
    chain = chain.double("cpu") if chain.method.backpropagated else chain
    options = {"layers": layers, "positions": positions, "block_positions": block_positions, "seed": seed}
    certifiers = {s: CscCertifier(s, thorough=thorough, **options) for s in starts}
    for certifier in certifiers.values():
        certifier.add(chain)
    if vectors == 0:
        return certificate(chain, certifiers)
    found = {s: check_certificates(c, chain, vectors=vectors, seed=seed) for s, c in certifiers.items()}
    return certificate(chain, certifiers, found)
