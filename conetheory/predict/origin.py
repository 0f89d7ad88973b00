"""The curve from where relevance comes from: six vectors, no random one; and what it leaves out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conetheory import schema
from conetheory.chain.cost import Cost, swept
from conetheory.chain.layers import below
from conetheory.chain.local import positions_of_images
from conetheory.chain.places import places, without_attention
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import Supply
from conetheory.measure import ranks
from conetheory.measure.by_image import ByImage
from conetheory.networks.graph import INPUT
from conetheory.predict.origin_columns import NearColumns
from conetheory.predict.origin_cut import Cut, cut_of, first_cut
from conetheory.predict.registry import register
from conetheory.predict.spectra import SpectralTheory
from conetheory.predict.states import POSITIONS, applies_to_relevance, cost_of_first_state, flat, picked
from conetheory.progress import Progress
from conetheory.rules.registry import Method
from conetheory.theory import origin as theory
from conetheory.theory.records import NotApplicable

NARROW = 2.25  # pixel^2: an origin is narrower than three pixels, twice its standard deviation
DRAWS = 3  # white starts for the shares; the prediction knows nothing of them


@dataclass(frozen=True, eq=False)
class Locations:
    """What was found at the sampled locations of one layer and image; all (locations, ...)."""

    places: np.ndarray
    total: int
    values: Tensor
    live: Tensor
    details: dict[str, Tensor]


@register
class OriginLaw(SpectralTheory):
    """The median deficit from the origins of relevance alone: `[c G] B [c G]^T` (`theory.origin`).

    Six images of the column sums c and of c times the coordinates give mean origin, G and Sigma at every
    location of every layer; B is the covariance of the value and the gradient of the location field, smoothed
    by a Gaussian of these moments on the grid of the cut (so that a border cuts it). Cut: the start, with
    white starts, or below a dense start the first map whose K its columns give.

    Where an origin is narrower than three pixels (twice its smallest standard deviation) or reaches beyond
    the border of the cut, location columns `D K D^T` take the place of the Gaussian, in the layers near the
    cut whose columns cost at most two vectors (`NearColumns`); where Sigma has an eigenvalue below 0.05
    pixel^2, it is raised to that. `details` say at which share of the locations.

    What the start's own channels still show (T of theorem `origin-overlap`) is not in the prediction, so it
    is a floor where they do: near the start, and in residual blocks. `details` say which share of the tail
    they add, and which share of the tail lies in the span of G: by three white starts, each split into
    `s(q) c(q)` and the rest, from a stream that no measurement draws from. Of three channels or fewer c and G
    span everything, so that the second share is not given.

    Origins are places on a grid: the locations of a map, or patches in its order (`chain.places`). Where
    those of the cut are not, as beside a class token, it says nothing, and nothing of layers that relevance
    reaches through attention.
    """

    name = "origin"
    label = "origin"
    squares = True
    sampled = POSITIONS
    resolved = 1e-13  # squares of float32's rounding, and what a covariance in float64 leaves
    details = schema.ORIGIN

    @classmethod
    def applies(cls, method: Method) -> NotApplicable | None:
        """Why it says nothing about a method: that keeps neither the cone nor the sum, or has no chain."""
        reason = applies_to_relevance(method)
        if reason is None and not (method.nonnegative or method.sum_preserving):
            return NotApplicable(
                f"{method.name} keeps neither the cone nor the sum: origins are no densities"
            )
        return reason

    @classmethod
    def speaks(cls, chain: RelevanceChain, start: str) -> NotApplicable | None:
        """Why it says nothing from a start: the locations of its cut, or those below, are no places."""
        cut = cut_of(chain, start)
        found, label = places(chain.graph)[cut], chain.graph.label(cut)
        if isinstance(found, str):
            return NotApplicable(f"the locations of {label!r} are no places on a grid: {found}")
        free = without_attention(chain.graph, cut)
        if found == (1, 1) and INPUT not in free:
            return NotApplicable(f"attention mixes the tokens below {label!r}, above any map of places")
        if not free.intersection(below(chain, start)):
            return NotApplicable(
                f"the layers below {label!r} hear it through attention: by content, not place"
            )
        return None

    def __init__(self, start: str, *, draws: int = DRAWS, **options: Any) -> None:
        super().__init__(start, **options)
        self.draws, self._cut = draws, ""
        self._details = ByImage()

    def cost(self, chain: RelevanceChain) -> Cost:
        """Six vectors and twice the draws down, one covector up. Columns near the cut are few."""
        cut, top = cost_of_first_state(chain, self.start)
        return top + swept(chain, self.start, 7 + 2 * self.draws, cut) + self.law(chain)

    @torch.inference_mode()
    def observe(self, chain: RelevanceChain, supply: Supply, progress: Progress) -> None:
        """The moments of every image of a chain, and the columns where Gaussians won't do."""
        cut = first_cut(chain, self.start, supply)
        self._cut = f"{chain.graph.label(cut.name)} ({' x '.join(map(str, cut.size))})"
        asked = set(below(chain, self.start, self.layers))
        free = without_attention(chain.graph, cut.name)
        wanted = [n for n in below(chain, cut.name) if n in asked & free]
        near = NearColumns.of(chain, cut)
        waiting: dict[str, list[Locations]] = {}
        for done, (layer, parts) in enumerate(self._images(chain, cut, wanted), 1):
            at = positions_of_images(chain, layer, self.positions, 1, self.seed, self.first_image)
            rows = zip(picked(parts, at), at, cut.K, strict=True)
            found = [self._looked_at(r, where, K, cut.grid, parts.shape[-1]) for r, where, K in rows]
            if near is not None and layer in near.reach and any(_replaced(one).any() for one in found):
                waiting[layer] = found
            else:
                self._record(layer, found)
            progress(self.label, done, len(wanted))
        if near is not None and waiting:
            columns = near.spectra(
                chain, {k: np.stack([one.places for one in v]) for k, v in waiting.items()}
            )
            for layer, found in waiting.items():
                self._record(layer, [_with(*pair) for pair in zip(found, columns[layer], strict=True)])

    def _images(self, chain: RelevanceChain, cut: Cut, wanted: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        """At each wanted layer the six images, then those of the draws' location parts and of their rests.

        (images, vectors, channels, locations).
        """
        x, y = cut.grid.T.to(cut.c.dtype)
        fields = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y])
        numbers = range(self.first_image, self.first_image + len(chain))
        parts = cut.split(cut.draws(chain, self.draws, numbers, self.seed)) if self.draws else ()
        vectors = torch.cat([cut.c[:, None] * fields[None, :, None], *parts], 1)
        shaped = vectors.reshape(*vectors.shape[:2], *chain.shape(cut.name))
        for layer, images in chain.sweep({cut.name: shaped}):
            if layer in wanted:
                yield layer, flat(images[cut.name])

    def _looked_at(self, r: Tensor, places: np.ndarray, K: Tensor, grid: Tensor, total: int) -> Locations:
        """Of one image, r: (vectors, channels, locations)."""
        origin = theory.moments(*r[:6])
        Sigma, repaired = theory.positive_part(origin.Sigma)
        L = theory.smoothing(origin.mean, Sigma, grid)
        values = theory.origin_spectrum(origin, theory.field_covariance(L, K))
        square = origin.c.square().sum(1)
        live = square > 0
        apart = (origin.G.square().sum((1, 2)) / torch.where(live, square, 1.0)).sqrt()
        variances = torch.linalg.eigvalsh(Sigma)
        details = {
            schema.WIDTH: variances.mean(1).sqrt(),
            schema.APART: apart,
            "origin_narrow_share": variances[:, 0] < NARROW,
            "origin_border_share": theory.cut_by_border(origin, grid),
            "origin_columns_share": torch.zeros_like(live),
            "origin_repaired_share": repaired,
            **self._shares(origin, r[6:]),
        }
        return Locations(places, total, values * live[:, None], live, details)

    def _shares(self, origin: theory.Origin, r: Tensor) -> dict[str, Tensor]:
        """r: what the draws' location parts, then their deviations, become."""
        if not len(r):
            return {}
        along, rest = r.split(self.draws)
        (of_locations, _), (own, _) = (theory.tail_energies(origin, part) for part in (along, rest))
        tail, inside = theory.tail_energies(origin, along + rest)
        known = tail > _rounding(r.dtype) * (along + rest).double().square().sum(1).mean(0)
        found = {schema.TRANSIENT: torch.where(known, own / (own + of_locations), torch.nan)}
        if r.shape[1] > 3:  # beside c and the span of G there is something
            found[schema.GRADIENT] = torch.where(known, inside / tail, torch.nan)
        return found

    def _record(self, layer: str, found: Sequence[Locations]) -> None:
        for number, one in enumerate(found, self.first_image):
            self.spectra.add(layer, one.values.cpu().numpy(), one.total)
            for name, values in one.details.items():
                kept = values[one.live].double().cpu().numpy()
                self._details.add(f"{name} {layer}", number, kept)

    def record(self) -> dict[str, Any]:
        return {**super().record(), "details": self._details.record(), "cut": self._cut}

    def take(self, record: Mapping[str, Any]) -> None:
        super().take(record)
        self._details.take(record["details"])
        self._cut = record["cut"]

    def detail(self, name: str, layer: str) -> float:
        """The mean over live locations of a share that counts them, the median of anything else."""

        def finite() -> Iterator[np.ndarray]:
            return (v[np.isfinite(v)] for v in self._details.each(f"{name} {layer}"))

        if schema.declared_as(name).side != "exact":
            return ranks.median(finite)
        count = sum(map(len, finite()))
        return math.fsum(float(v.sum()) for v in finite()) / count if count else np.nan

    def note(self, name: str) -> str:
        return self._cut if name == schema.CUT else ""


def _rounding(dtype: torch.dtype) -> float:
    """The share of the energy of relevance below which what lies beside c is rounding."""
    return (8 * torch.finfo(dtype).eps) ** 2


def _replaced(found: Locations) -> Tensor:
    """Where the origin is narrow or cut by a border."""
    return found.live & (found.details["origin_narrow_share"] | found.details["origin_border_share"])


def _with(found: Locations, columns: Tensor) -> Locations:
    """With the spectra of location columns in place of those of Gaussians."""
    mask = _replaced(found)
    width = max(found.values.shape[1], columns.shape[1])
    values, others = (
        torch.nn.functional.pad(part, (0, width - part.shape[1])) for part in (found.values, columns)
    )
    details = found.details | {"origin_columns_share": mask}
    return Locations(
        found.places, found.total, torch.where(mask[:, None], others, values), found.live, details
    )
