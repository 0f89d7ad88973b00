"""Certificates of CSC: what holds for every nonnegative start, and for Gaussian starts with high probability.

For a nonnegative chain the image of any nonnegative start at location p lies in the cone of the columns
of P_p, so the worst pair of columns is the exact worst case (theorem `generators`), and the projective
diameter of P_p bounds it by 1/cosh(D/2) (theorem `half-angle`). For Gaussian starts
`P(angle > t) <= 2 sqrt(2 S / pi) / tan(t / 2)` (theorem `gaussian-law`). Everything is computed in
float64 and rounded outward; it certifies the matrices of the computed activations.

Where the start has few units, one-hot columns give P_p at every location. Where it has many (a
convolution's output), adjoint passes give it at sampled locations (`blocks.certify_block`).

Thorough certificates say more: of signed chains that keep the sum, how much of the difference of two starts
is left in whole maps (tau_1; both in `signed`), and what holds for every image with the same active units
(`everyimage`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from conetheory import schema
from conetheory.certify.blocks import CONFIDENCE, POSITIONS, certify_block, check_double, rounding
from conetheory.certify.every_image import every_image_certificates
from conetheory.certify.signed import bounded, location_bounds, whole_map_certificate
from conetheory.chain.layers import below
from conetheory.chain.local import LocalBlock, checked_positions, is_enumerable
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import UNITS, Supply
from conetheory.progress import Progress, silent
from conetheory.results.dataset import Certificate
from conetheory.results.layout import frame, provenance
from conetheory.theory import cone, enclosure
from conetheory.theory.cosine import deficit_upper
from conetheory.theory.records import NotApplicable

LOCAL = ("deficit_upper", "diameter_upper", "gaussian_deficit_upper")


@dataclass
class LayerCertificate:
    """One value for each certified location, image after image; NaN at dead ones.

    deficit_upper: of any two nonnegative starts, from the worst pair of columns; inf where columns of a
    signed chain may be at an obtuse angle. diameter_upper: of the cone, NaN without one.
    gaussian_deficit_upper: of two Gaussian starts, each location by itself with probability 0.95.

    One value for each image, NaN where there is none. tau_1_upper: of the chain down to here.
    map_deficit_upper: of whole maps, of any two starts in the norm cone. every_image_deficit_upper: at the
    worst of some locations, for all images with the same active units.
    """

    positions: list[np.ndarray] = field(default_factory=list)
    total: int = 0
    deficit_upper: list[np.ndarray] = field(default_factory=list)
    diameter_upper: list[np.ndarray] = field(default_factory=list)
    gaussian_deficit_upper: list[np.ndarray] = field(default_factory=list)
    tau_1_upper: list[float] = field(default_factory=list)
    map_deficit_upper: list[float] = field(default_factory=list)
    every_image_deficit_upper: list[float] = field(default_factory=list)

    def values(self, name: str) -> np.ndarray:
        """All live values of one kind."""
        found = np.concatenate([np.empty(0), *getattr(self, name)])
        return found[~np.isnan(found)]


class CscCertifier:
    """Certificates from one start layer over any number of float64 chains (batches of images).

    positions: locations per layer and image (None: what fits in memory; a network as small as the
    CIFAR-10 one is certified at every location). block_positions: the same where the start has too many
    units to send a column for each, unless `positions` says it. thorough: signed chains, norm cones and
    statements for every image too. Where theorems do not apply, `reasons` says which of `schema.REASONS` and
    why.
    """

    def __init__(
        self,
        start: str,
        *,
        layers: Sequence[str] | None = None,
        positions: int | None = None,
        block_positions: int = POSITIONS,
        seed: int = 0,
        thorough: bool = False,
    ) -> None:
        self.start, self.layers, self.seed = start, layers, seed
        self.positions = checked_positions(positions)
        self.block_positions = block_positions if positions is None else positions
        self.thorough = thorough
        self.images = 0
        self.reasons: dict[str, str] = {}
        self.certificates: dict[str, LayerCertificate] = {}

    def add(
        self, chain: RelevanceChain, supply: Supply | None = None, progress: Progress = silent
    ) -> dict[str, list[LocalBlock]]:
        """Certify all images of a chain, and give their local matrices.

        supply: what is known of them already, in float64 (None: nothing).
        """
        refused, enumerable = applicable(chain, self.start), is_enumerable(chain, self.start)
        signed = refused is not None and self.thorough and bounded(chain) is None
        if refused is not None and not (signed and enumerable):
            more = f", and {self.start!r} has too many units to send a column for each" if signed else ""
            self.reasons["not_applicable"] = refused.reason + more
            return {}
        chain = chain.double() if signed else chain
        layers = below(chain, self.start, self.layers)
        if not layers:  # all that were asked for lie above
            return {}
        if enumerable:
            options = {"positions": self.positions, "progress": progress, **self._sampling}
            blocks = (supply or Supply(chain, self.start, self.layers, **options))[UNITS]
            self._add_columns(chain, blocks, progress)
        else:
            blocks = self._add_sampled(chain, layers, progress)
        if self.thorough and enumerable:
            self._add_whole_maps(chain, layers, blocks)
        elif self.thorough:
            self.reasons["no_norm_cone"] = f"{self.start!r} has too many units to send a column for each"
        if self.thorough and not signed:
            self._add_every_image(chain, layers)
        self.images += len(chain)
        return blocks

    @property
    def _sampling(self) -> dict[str, int]:
        return {"seed": self.seed, "first_image": self.images}

    def _add_columns(
        self, chain: RelevanceChain, blocks: Mapping[str, list[LocalBlock]], progress: Progress
    ) -> None:
        for done, (layer, images) in enumerate(blocks.items(), 1):
            g = rounding(chain, self.start, layer)
            for block in images:
                cones = chain.method.nonnegative
                bounds = _cone_bounds(block, g) if cones else _signed_bounds(chain, self.start, block)
                self._keep(layer, block.positions, block.total, *bounds)
            progress("certificate", done, len(blocks))

    def _add_sampled(
        self, chain: RelevanceChain, layers: Sequence[str], progress: Progress
    ) -> dict[str, list[LocalBlock]]:
        blocks: dict[str, list[LocalBlock]] = {}
        options = {"positions": self.block_positions, **self._sampling}
        for done, layer in enumerate(layers, 1):
            for image in certify_block(chain, self.start, layer, **options):
                self._keep(layer, image.positions, image.total, *(getattr(image, name) for name in LOCAL))
                blocks.setdefault(layer, []).append(image.as_local())
            progress("certificate", done, len(layers))
        return blocks

    def _keep(self, layer: str, positions: np.ndarray, total: int, *bounds: np.ndarray) -> None:
        held = self.certificates.setdefault(layer, LayerCertificate())
        held.total = total
        held.positions.append(positions)
        for name, values in zip(LOCAL, bounds, strict=True):
            getattr(held, name).append(values)

    def _add_whole_maps(
        self, chain: RelevanceChain, layers: Sequence[str], blocks: Mapping[str, list[LocalBlock]]
    ) -> None:
        for image in range(len(chain)):
            found = {k: whole_map_certificate(chain, self.start, blocks[k][image]) for k in layers}
            self._record("tau_1_upper", {k: c.tau_upper if c else np.nan for k, c in found.items()})
            bounds = {k: c.deficit_upper if c else c for k, c in found.items()}
            self._record("map_deficit_upper", bounds, "no_norm_cone")

    def _add_every_image(self, chain: RelevanceChain, layers: Sequence[str]) -> None:
        options = {"positions": min(POSITIONS, self.block_positions), **self._sampling}
        for image in range(len(chain)):
            found = every_image_certificates(chain, self.start, layers, image=image, **options)
            bounds = {k: c.deficit_upper if c else c for k, c in found.items()}
            self._record("every_image_deficit_upper", bounds, "no_every_image")

    def _record(self, name: str, bounds: Mapping[str, Any], reason: str = "") -> None:
        """Keep a bound for each layer, NaN where there is none; the reason if it is so at the last one."""
        for layer, bound in bounds.items():
            held = self.certificates.setdefault(layer, LayerCertificate())
            getattr(held, name).append(np.nan if isinstance(bound, NotApplicable) else float(bound))
        if isinstance(bound, NotApplicable):
            self.reasons[reason] = bound.reason


def _cone_bounds(block: LocalBlock, g: float) -> tuple[np.ndarray, ...]:
    P = block.matrices
    worst = enclosure.deficit_inflated_upper(cone.worst_pair_cosine(P).deficit, g, P.shape[-2])
    diameter = enclosure.diameter_upper(cone.projective_diameter(P), g, enclosure.largest_log(P))
    spread = enclosure.stable_rank_excess_upper(P, g)
    gaussian = deficit_upper(torch.nan_to_num(spread, nan=0.0, posinf=torch.inf), 1 - CONFIDENCE)
    gaussian = torch.where(torch.isnan(spread), torch.nan, gaussian)
    return tuple(x.detach().cpu().numpy().ravel() for x in (worst, diameter, gaussian))


def _signed_bounds(chain: RelevanceChain, start: str, block: LocalBlock) -> tuple[np.ndarray, ...]:
    worst, gaussian = location_bounds(chain, start, block)
    return worst, np.full_like(worst, np.nan), gaussian


def certificate(chain: RelevanceChain, certifiers: Mapping[str, CscCertifier]) -> Certificate:
    """What certifiers have found: at the worst location, the 95th percentile and the median.

    Upper bounds of `1 - |cos|`: the cosines of a converged chain are nearer to one than floats are.
    """
    values: dict[str, dict[tuple[str, str], float]] = {}
    for start, certifier in certifiers.items():
        for layer, found in certifier.certificates.items():
            for name, value in _summary(found).items():
                values.setdefault(name, {})[start, layer] = value
    layers = [layer for c in certifiers.values() for layer in c.certificates]
    dataset = frame(chain.graph, chain.method, list(certifiers), layers, values)
    for kind in schema.REASONS:
        reasons = [c.reasons.get(kind.name, "") for c in certifiers.values()]
        dataset[kind.name] = (("method", "start"), np.array([reasons], dtype=object))
    return Certificate(dataset.assign_attrs(provenance(chain.network, confidence=CONFIDENCE)))


def _summary(found: LayerCertificate) -> dict[str, float]:
    deficit, diameter = np.minimum(found.values("deficit_upper"), 1.0), found.values("diameter_upper")
    summary = {
        "certified_tau_1_upper": _worst(found.tau_1_upper),
        "certified_map_deficit_upper": float(np.minimum(_worst(found.map_deficit_upper), 1.0)),
        "certified_every_image_deficit_upper": float(
            np.minimum(_worst(found.every_image_deficit_upper), 1.0)
        ),
    }
    if len(deficit):
        gaussian = found.values("gaussian_deficit_upper")
        summary |= {
            "certified_deficit_upper": float(deficit.max()),
            "certified_deficit_upper_p95": _quantile_upper(deficit, 0.95),
            "certified_deficit_upper_median": _quantile_upper(deficit, 0.5),
            "certified_gaussian_deficit_upper_median": _quantile_upper(gaussian, 0.5),
            "certified_positions": sum(len(p) for p in found.positions),
            "locations": found.total * len(found.positions),
        }
    if len(diameter):
        summary |= {
            "certified_half_angle_deficit_upper": float(cone.deficit_upper_from_diameter(diameter.max())),
            "certified_diameter_upper": float(diameter.max()),
            "certified_diameter_upper_median": _quantile_upper(diameter, 0.5),
        }
    elif len(deficit):  # a signed chain
        summary["certified_share"] = float(np.mean(deficit < 1))
    return {name: value for name, value in summary.items() if not np.isnan(value)}


def _quantile_upper(values: np.ndarray, q: float) -> float:
    """A bound that is one of the values: interpolation between two would round to the nearest."""
    return float(np.quantile(values, q, method="higher"))


def _worst(values: Sequence[float]) -> float:
    """The largest over images; NaN where one of them has none."""
    worst = float(np.max(values, initial=-np.inf))
    return worst if abs(worst) < np.inf else np.nan


def certify_csc(
    chain: RelevanceChain,
    start: str | Sequence[str] = "logits",
    *,
    layers: Sequence[str] | None = None,
    positions: int | None = None,
    block_positions: int = POSITIONS,
    seed: int = 0,
    thorough: bool = True,
) -> Certificate:
    """Certify one chain from one start layer or several (see the module for what is certified).

    A chain in another dtype is built again in float64. Where theorems do not apply, `not_applicable`,
    `no_norm_cone` and `no_every_image` in the dataset say why, with the layer that prevents it at the last
    layer.
    """
    starts = [start] if isinstance(start, str) else list(start)
    chain = chain.double() if chain.method.backpropagated else chain
    options = {"layers": layers, "positions": positions, "block_positions": block_positions, "seed": seed}
    certifiers = {s: CscCertifier(s, thorough=thorough, **options) for s in starts}
    for certifier in certifiers.values():
        certifier.add(chain)
    return certificate(chain, certifiers)


def applicable(chain: RelevanceChain, start: str) -> NotApplicable | None:
    """Why the certificates for nonnegative starts don't apply here, or None where they do."""
    method = chain.method
    if not method.backpropagated:
        return NotApplicable(f"{method.name} is not backpropagated layer by layer")
    if not method.linear:
        return NotApplicable(f"{method.name} is not linear in the relevance: it has no matrices")
    if not method.nonnegative:
        return NotApplicable(
            f"{method.name} has signed matrices, which leave the cone of nonnegative vectors"
        )
    check_double(chain)
    return None
