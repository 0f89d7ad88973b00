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
    """Certify one chain from one start layer or several (see the module for what is certified).

    A chain in another dtype or on another device is built again in float64 on the CPU. vectors: random
    starts beside the worst pairs to hold the certificates against (`check`; 0: none). Where theorems do not
    apply, `not_applicable`, `no_norm_cone` and `no_every_image` in the dataset say why, with the layer that
    prevents it at the last layer.
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
