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

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from conetheory.certify.blocks import CONFIDENCE, POSITIONS, certify_block, check_dtype, rounding
from conetheory.certify.every_image import every_image_certificates
from conetheory.certify.known import EXTRA, known, losses
from conetheory.certify.signed import bounded, location_bounds, whole_map_certificate
from conetheory.certify.summary import LayerCertificate
from conetheory.certify.supports import Supports
from conetheory.certify.work import Work
from conetheory.certify.zeros import structural
from conetheory.chain.columns import LiveRows
from conetheory.chain.layers import alike, below
from conetheory.chain.local import LocalBlock, checked_positions, is_enumerable
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.streamed import Columns
from conetheory.counts import checked_seed
from conetheory.errors import InputError
from conetheory.progress import Progress, silent
from conetheory.theory import cone, enclosure, worstpair
from conetheory.theory.cosine import deficit_upper
from conetheory.theory.records import NotApplicable

TOGETHER = 64  # units up to which the matrices of all locations are bounded together
BATCH = 2**17  # numbers of matrices that are bounded together otherwise: small ones cost less than calls
LOCAL = ("deficit_upper", "diameter_upper", "gaussian_deficit_upper", "arriving", "pairs")


class CscCertifier:
    """Certificates from one start layer over any number of float64 chains (batches of images).

    Where theorems do not apply, `reasons` says which of `schema.REASONS` and why.

    Parameters
    ----------
    start
        the layer where relevance starts.
    layers
        where to certify (None: all below the start).
    positions
        locations per layer and image (None: what fits in memory; a network as small as the CIFAR-10 one
        is certified at every location).
    block_positions
        the same where the start has too many units to send a column for each, unless `positions` says it.
    seed
        of the choice of locations.
    thorough
        signed chains, norm cones and statements for every image too.
    first_image
        the number in the study of the first image, which the choice of its locations depends on.
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
        first_image: int = 0,
    ) -> None:
        self.start, self.layers, self.seed = start, layers, checked_seed(seed)
        self.positions = checked_positions(positions)
        self.block_positions = checked_positions(block_positions if positions is None else positions)
        self.thorough = thorough
        self.first_image, self.images = first_image, 0
        self.reasons: dict[str, str] = {}
        self.certificates: dict[str, LayerCertificate] = {}

    def add(self, chain: RelevanceChain, progress: Progress = silent) -> Mapping[str, list[LocalBlock]]:
        """Certify all images of a chain, on the CPU, wherever the chain is (see `blocks`).

        Parameters
        ----------
        chain
            of the same method and network as those before.
        progress
            is told of each part that is done.

        Returns
        -------
        dict
            `{layer: [the local matrices of each image]}`.
        """
        refused, enumerable = applicable(chain, self.start), is_enumerable(chain, self.start)
        signed = refused is not None and self.thorough and bounded(chain) is None
        if refused is not None and not (signed and enumerable):
            more = f", and {self.start!r} has too many units to send a column for each" if signed else ""
            self.reasons["not_applicable"] = refused.reason + more
            return {}
        chain = chain.double("cpu")
        layers = below(chain, self.start, self.layers)
        if not layers:  # all that were asked for lie above
            return {}
        for layer in layers:
            self.certificates.setdefault(layer, LayerCertificate())
        if enumerable:
            blocks = self._columns(chain, layers)
            self._add_columns(chain, blocks, progress)
        else:
            blocks = self._add_sampled(chain, layers, progress)
        if self.thorough and not enumerable:
            self.reasons["no_norm_cone"] = f"{self.start!r} has too many units to send a column for each"
        if self.thorough and not signed:
            self._add_every_image(chain, layers, progress)
        self.images += len(chain)
        return blocks

    def _columns(self, chain: RelevanceChain, layers: Sequence[str]) -> Columns:
        seed, first = self.seed, self._next_image
        return Columns(chain, self.start, layers, positions=self.positions, seed=seed, first_image=first)

    @property
    def _next_image(self) -> int:
        """Its number in the study."""
        return self.first_image + self.images

    @property
    def _sampling(self) -> dict[str, int]:
        return {"seed": self.seed, "first_image": self._next_image}

    def _add_columns(self, chain: RelevanceChain, columns: Columns, progress: Progress) -> None:
        """Group by group, of which no more is kept than the numbers that it says something with."""
        work = Work(f"certificates from {self.start}", columns, progress)
        whole: list[dict[str, Any]] = [{} for _ in range(len(chain))]
        supports = Supports(columns, structural(chain, self.start) if chain.method.nonnegative else ())
        bounds: dict[str, list[tuple[np.ndarray, ...]]] = {}
        for group in columns.rows(work.columns):
            own = {layer: images for layer, images in group.items() if columns.same[layer] == layer}
            held, lost = supports.of(own), losses(chain, self.start, own)
            for layer, images in own.items():
                for image, (rows, cost) in enumerate(zip(images, lost[layer], strict=True)):
                    on = held[layer][image] if layer in held else None
                    bounds.setdefault(layer, []).append(self._bounds(chain, rows, on, cost, work))
                    if self.thorough:
                        support = _dense(rows, on) if len(rows.positions) == rows.total else None
                        whole[image][layer] = whole_map_certificate(chain, self.start, rows, support)
            for layer, images in group.items():
                for rows, found, all_maps in zip(images, bounds[columns.same[layer]], whole, strict=True):
                    self._keep(layer, rows.positions, rows.total, *found)
                    if self.thorough:
                        all_maps[layer] = all_maps[columns.same[layer]]
        work.finished()
        for found in whole if self.thorough else ():
            found = {layer: found[layer] for layer in columns}
            self._record("tau_1_upper", {k: c.tau_upper if c else np.nan for k, c in found.items()})
            bounds = {k: c.deficit_upper if c else c for k, c in found.items()}
            self._record("map_deficit_upper", bounds, "no_norm_cone")

    def _bounds(
        self, chain: RelevanceChain, rows: LiveRows, on: LiveRows | None, cost: np.ndarray, work: Work
    ) -> tuple[np.ndarray, ...]:
        """`LOCAL` of an image at a layer."""
        if chain.method.nonnegative:
            g = rounding(chain, self.start, rows.layer) + EXTRA
            return _cone_bounds(rows, on, cost, g, lambda places: work.bounded(rows, places))
        work.bounded(rows, len(rows.positions))
        return _signed(chain, self.start, rows.block(), _dense(rows, on))

    def _add_sampled(
        self, chain: RelevanceChain, layers: Sequence[str], progress: Progress
    ) -> dict[str, list[LocalBlock]]:
        """Below an activation what was found above it."""
        blocks: dict[str, list[LocalBlock]] = {}
        options = {"positions": self.block_positions, **self._sampling}
        units = int(np.prod(chain.shape(self.start)))
        same, found = alike(chain, self.start, layers), {}
        for done, layer in enumerate(layers, 1):
            if same[layer] == layer:
                found[layer] = certify_block(chain, self.start, layer, **options)
            for image in (replace(one, bottom=layer) for one in found[same[layer]]):
                bounds = (image.deficit_upper, image.diameter_upper, image.gaussian_deficit_upper)
                arriving = np.where(image.columns > 0, image.columns / units, np.nan)
                self._keep(layer, image.positions, image.total, *bounds, arriving, image.pairs)
                blocks.setdefault(layer, []).append(image.as_local())
            progress("certificate", done, len(layers))
        return blocks

    def _keep(self, layer: str, positions: np.ndarray, total: int, *bounds: np.ndarray) -> None:
        held = self.certificates.setdefault(layer, LayerCertificate())
        held.total = total
        held.positions.append(positions)
        for name, values in zip(LOCAL, bounds, strict=True):
            getattr(held, name).append(values)
        beyond = int(np.isposinf(bounds[0]).sum()) if not np.isnan(bounds[1]).all() else 0
        if beyond:  # of a cone nothing else is infinite
            where = f"{beyond} of the {len(positions)} certified locations of {layer!r}"
            self.reasons["not_applicable"] = f"numbers beyond what float64 can vouch for, at {where}"

    def _add_every_image(self, chain: RelevanceChain, layers: Sequence[str], progress: Progress) -> None:
        most = POSITIONS if self.block_positions is None else min(POSITIONS, self.block_positions)
        options = {"positions": most, **self._sampling}
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


def _cone_bounds(
    rows: LiveRows, support: LiveRows | None, lost: np.ndarray, g: float, done: Callable[[int], None]
) -> tuple[np.ndarray, ...]:
    """`LOCAL` at the locations of a block of nonnegative columns; support: where numbers leave a doubt.

    Small matrices all at once; of large ones the rows that there are, `BATCH` numbers at a time, of locations
    with as many rows, on each of torch's threads. done: is told how many locations were.
    """
    if len(rows.columns) <= TOGETHER:
        done(len(rows.positions))
        return _bounds(rows.matrices.numpy(), _dense(rows, support), lost, g)
    supports = [None] * len(rows.positions) if support is None else [on.numpy() for _, on in support.places()]
    costs = [np.broadcast_to(cost, (rows.channels, 1)) for cost in lost]
    places = [*zip(rows.places(), supports, costs, strict=True)]

    def some(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        part = [places[number] for number in batch]
        P = np.stack([matrix.numpy() for (_, matrix), _, _ in part])
        held = P != 0 if support is None else np.stack([on for _, on, _ in part])
        return _bounds(P, held, np.stack([cost[channels] for (channels, _), _, cost in part]), g)

    parts, batches = [], list(_batches([len(matrix) for (_, matrix), *_ in places], len(rows.columns)))
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(torch.get_num_threads()) as threads:
        for batch, part in zip(batches, threads.map(some, batches), strict=True):
            parts.append(part)
            done(len(batch))
    order = np.argsort(np.concatenate(batches))
    return tuple(np.concatenate(each)[order] for each in zip(*parts, strict=True))


def _batches(rows: Sequence[int], units: int) -> Iterator[np.ndarray]:
    """Places with as many rows each, of at most `BATCH` numbers."""
    for count in np.unique(rows):
        alike, step = np.flatnonzero(np.equal(rows, count)), max(1, BATCH // max(1, int(count) * units))
        yield from (alike[first : first + step] for first in range(0, len(alike), step))


def _bounds(P: np.ndarray, support: np.ndarray, lost: np.ndarray, g: float) -> tuple[np.ndarray, ...]:
    """`LOCAL` of matrices (places, channels, units)."""
    if P.shape[1] == 0:  # no row is reached
        none = np.full(len(P), np.nan)
        return none, none, none, none, np.full((len(P), 2), -1)
    found = known(P, support, lost)
    P = found.matrices
    pair = worstpair.worst_pair_cosine(P)
    worst = enclosure.deficit_inflated_upper(pair.deficit, g, P.shape[-2])
    diameter = enclosure.diameter_upper(cone.projective_diameter(P), g, enclosure.largest_log(P))
    spread = enclosure.stable_rank_excess_upper(P, g)
    gaussian = deficit_upper(np.nan_to_num(spread, nan=0.0, posinf=np.inf), 1 - CONFIDENCE)
    bounds = [
        np.where(found.live, np.where(sure & ~np.isnan(value), value, unknown), np.nan)
        for value, sure, unknown in (
            (worst, found.by_column, np.inf),
            (diameter, found.by_entry, np.inf),
            (gaussian, found.by_norm, 1.0),
        )
    ]
    return *bounds, _arriving(found.columns), np.stack([pair.first, pair.second], -1)


def _dense(rows: LiveRows, support: LiveRows | None) -> np.ndarray:
    """The structural support of all rows."""
    return (rows.matrices != 0 if support is None else support.matrices).numpy()


def _signed(
    chain: RelevanceChain, start: str, block: LocalBlock, support: np.ndarray
) -> tuple[np.ndarray, ...]:
    """`LOCAL` at the locations of a block of signed columns, which have no diameter."""
    worst, gaussian = location_bounds(chain, start, block, support)
    none, pairs = np.full_like(worst, np.nan), np.full((len(worst), 2), -1)
    return worst, none, gaussian, _arriving(np.any(support, 1)), pairs


def _arriving(columns: np.ndarray) -> np.ndarray:
    """The share of live columns at each location, NaN at dead ones."""
    share = columns.mean(-1)
    return np.where(share > 0, share, np.nan)


def applicable(chain: RelevanceChain, start: str) -> NotApplicable | None:
    """Whether the certificates for nonnegative starts apply.

    Parameters
    ----------
    chain
        of a method and a network.
    start
        the layer where relevance starts.

    Returns
    -------
    NotApplicable or None
        why they don't; None where they do.
    """
    method = chain.method
    if not method.backpropagated:
        return NotApplicable(f"{method.name} is not backpropagated layer by layer")
    if not method.linear:
        return NotApplicable(f"{method.name} is not linear in the relevance: it has no matrices")
    if not method.nonnegative:
        return NotApplicable(
            f"{method.name} has signed matrices, which leave the cone of nonnegative vectors"
        )
    check_dtype(chain)
    try:
        chain.pattern().up(torch.ones((len(chain), 1, *chain.shape("input"))), "input", start)
    except InputError as error:
        return NotApplicable(str(error))
    return None
