"""Certificates of CSC: what holds for every nonnegative start, and for Gaussian starts with high probability.

For a nonnegative chain the image of any nonnegative start at location p lies in the cone of the columns
of P_p, so the worst pair of columns is the exact worst case (theorem `generators`), and the projective
diameter of P_p bounds it by 1/cosh(D/2) (theorem `half-angle`). For Gaussian starts
`P(angle > t) <= 2 sqrt(2 S / pi) / tan(t / 2)` (theorem `gaussian-law`). Everything is computed in
float64 and rounded outward; it certifies the matrices of the computed activations.

Where the start has few units, one-hot columns give P_p at every location. Where it has many (a
convolution's output), adjoint passes give it at sampled locations (`blocks.certify_block`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from conetheory.blocks import CONFIDENCE, POSITIONS, certify_block, rounding
from conetheory.chain import RelevanceChain
from conetheory.errors import InputError
from conetheory.local import LocalBlock, is_enumerable, local_columns
from conetheory.predict import below
from conetheory.results import Certificate, frame, provenance
from conetheory.theory import cone, enclosure
from conetheory.theory.cosine import deficit_upper
from conetheory.theory.records import NotApplicable


@dataclass
class LayerCertificate:
    """One value for each certified location, image after image; NaN at dead ones.

    deficit_upper: of any two nonnegative starts, from the worst pair of columns. diameter_upper: of the
    cone. gaussian_deficit_upper: of two Gaussian starts, each location by itself with probability 0.95.
    """

    positions: list[np.ndarray] = field(default_factory=list)
    total: int = 0
    deficit_upper: list[np.ndarray] = field(default_factory=list)
    diameter_upper: list[np.ndarray] = field(default_factory=list)
    gaussian_deficit_upper: list[np.ndarray] = field(default_factory=list)

    def values(self, name: str) -> np.ndarray:
        """All live values of one kind."""
        found = np.concatenate(getattr(self, name))
        return found[~np.isnan(found)]


class CscCertifier:
    """Certificates from one start layer over any number of float64 chains (batches of images).

    positions: locations per layer and image (None: what fits in memory; a network as small as the
    CIFAR-10 one is certified at every location). block_positions: the same where the start has too many
    units to send a column for each, unless `positions` says it. Where a theorem does not apply, `reason`
    says why.
    """

    def __init__(
        self,
        start: str,
        *,
        layers: Sequence[str] | None = None,
        positions: int | None = None,
        block_positions: int = POSITIONS,
        seed: int = 0,
    ) -> None:
        self.start, self.layers, self.positions, self.seed = start, layers, positions, seed
        self.block_positions = block_positions if positions is None else positions
        self.reason: NotApplicable | None = None
        self.certificates: dict[str, LayerCertificate] = {}

    def add(
        self, chain: RelevanceChain, on_step: Callable[[int, int], None] | None = None
    ) -> dict[str, list[LocalBlock]]:
        """Certify all images of a chain; gives the local matrices back for those who can use them too."""
        self.reason = applicable(chain, self.start)
        if self.reason is not None:
            return {}
        layers = below(chain, self.start, self.layers)
        if not is_enumerable(chain, self.start):
            return self._add_sampled(chain, layers, on_step)
        options = {"positions": self.positions, "seed": self.seed, "on_block": on_step}
        blocks = local_columns(chain, self.start, layers, **options)
        for layer, images in blocks.items():
            g = rounding(chain, self.start, layer)
            for block in images:
                self._certify(block, g)
        return blocks

    def _add_sampled(
        self, chain: RelevanceChain, layers: Sequence[str], on_step: Callable[[int, int], None] | None
    ) -> dict[str, list[LocalBlock]]:
        blocks: dict[str, list[LocalBlock]] = {}
        options = {"positions": self.block_positions, "seed": self.seed}
        for done, layer in enumerate(layers, 1):
            found = self.certificates.setdefault(layer, LayerCertificate())
            for image in certify_block(chain, self.start, layer, **options):
                found.total = image.total
                for name in ("positions", "deficit_upper", "diameter_upper", "gaussian_deficit_upper"):
                    getattr(found, name).append(getattr(image, name))
                blocks.setdefault(layer, []).append(image.as_local())
            if on_step is not None:
                on_step(done, len(layers))
        return blocks

    def _certify(self, block: LocalBlock, g: float) -> None:
        found = self.certificates.setdefault(block.layer, LayerCertificate())
        P = block.matrices
        worst = cone.worst_pair_cosine(P).deficit
        diameter = cone.projective_diameter(P)
        spread = enclosure.stable_rank_excess_upper(P, g)
        found.total = block.total
        found.positions.append(block.positions)
        found.deficit_upper.append(_numpy(enclosure.deficit_inflated_upper(worst, g, P.shape[-2])))
        found.diameter_upper.append(_numpy(enclosure.diameter_upper(diameter, g, enclosure.largest_log(P))))
        gaussian = deficit_upper(torch.nan_to_num(spread, nan=0.0, posinf=torch.inf), 1 - CONFIDENCE)
        found.gaussian_deficit_upper.append(_numpy(torch.where(torch.isnan(spread), torch.nan, gaussian)))


def certificate(chain: RelevanceChain, certifiers: Mapping[str, CscCertifier]) -> Certificate:
    """What certifiers have found: at the worst location, the 5th percentile and the median."""
    values: dict[str, dict[tuple[str, str], float]] = {}
    for start, certifier in certifiers.items():
        for layer, found in certifier.certificates.items():
            for name, value in _summary(found).items():
                values.setdefault(name, {})[start, layer] = value
    layers = [layer for c in certifiers.values() for layer in c.certificates] or ["input"]
    dataset = frame(chain.graph, chain.method.name, list(certifiers), layers, values)
    reasons = [c.reason.reason if c.reason is not None else "" for c in certifiers.values()]
    dataset["not_applicable"] = (("method", "start"), np.array([reasons], dtype=object))
    return Certificate(dataset.assign_attrs(provenance(chain.network, confidence=CONFIDENCE)))


def _summary(found: LayerCertificate) -> dict[str, float]:
    cosine = np.maximum(0.0, 1 - found.values("deficit_upper"))
    diameter = found.values("diameter_upper")
    gaussian = found.values("gaussian_deficit_upper")
    if len(cosine) == 0:
        return {}
    return {
        "certified_cos_lower": max(0.0, enclosure.round_down(float(cosine.min()))),
        "certified_cos_lower_p5": float(np.quantile(cosine, 0.05)),
        "certified_cos_lower_median": float(np.median(cosine)),
        "certified_half_angle_cos_lower": float(cone.cosine_lower_from_diameter(diameter.max())),
        "certified_diameter_upper": float(diameter.max()),
        "certified_diameter_upper_median": float(np.median(diameter)),
        "certified_gaussian_deficit_upper_median": float(np.median(gaussian)),
        "certified_positions": sum(len(p) for p in found.positions),
        "locations": found.total * len(found.positions),
    }


def certify_csc(
    chain: RelevanceChain,
    start: str | Sequence[str] = "logits",
    *,
    layers: Sequence[str] | None = None,
    positions: int | None = None,
    block_positions: int = POSITIONS,
    seed: int = 0,
) -> Certificate:
    """Certify one chain from one start layer or several (see the module for what is certified).

    A chain in another dtype is built again in float64. Where nothing can be certified,
    `dataset["not_applicable"]` says why.
    """
    starts = [start] if isinstance(start, str) else list(start)
    chain = chain.double()
    options = {"layers": layers, "positions": positions, "block_positions": block_positions, "seed": seed}
    certifiers = {s: CscCertifier(s, **options) for s in starts}
    for certifier in certifiers.values():
        certifier.add(chain)
    return certificate(chain, certifiers)


def applicable(chain: RelevanceChain, start: str) -> NotApplicable | None:
    """Why the certificates for nonnegative starts don't apply here, or None where they do."""
    if not chain.method.nonnegative:
        return NotApplicable(
            f"{chain.method.name} has signed matrices, which leave the cone of nonnegative vectors"
        )
    if chain.dtype != torch.float64:
        raise InputError("certificates need a float64 chain: RelevanceChain(..., dtype=torch.float64)")
    return None


def _numpy(x: Tensor) -> np.ndarray:
    return x.detach().cpu().numpy().ravel()
