"""A check that can fail: certificates against the starts that come nearest to violating them.

Every certificate is held against images of starts that are sent down anew, so that it is no test of a number
against itself: the one-hot pair that attains a location's worst case (all one-hot starts where there are
few), and nonnegative starts that a projected gradient has optimised against the worst location, beside
random ones, dense and over many decades. Random ones alone would come to a sixth of the bounds.
`nearest_ratio` says how near the best attempt came: measured over certified, 1.00 for worst pairs.

A violation is counted without any slack. Gaussian certificates hold with a probability at each location: a
location violates one where so many of its pairs exceed it that chance would bring that about once in a
million times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.special import bdtrc
from torch import Tensor

from conetheory.certify.blocks import CONFIDENCE
from conetheory.certify.certifier import CscCertifier
from conetheory.certify.summary import LayerCertificate
from conetheory.chain.relevance import RelevanceChain
from conetheory.counts import VECTORS, checked_seed, checked_whole
from conetheory.progress import Progress, silent
from conetheory.theory import cone
from conetheory.theory.cosine import deficit, pairwise_deficits

ONE_HOTS = 16  # units of a start up to which all are sent, and pairs of units that are sent of more
OPTIMISED = 3  # layers against whose worst location starts are optimised, an image
ROUNDS = 6
CHANCE = 1e-6


@dataclass
class Held:
    """How many comparisons there were, how many violated a certificate, and by kind of certificate how near
    the nearest came: measured over certified."""

    checked: int = 0
    violations: int = 0
    nearest: dict[str, float] = field(default_factory=dict)

    @property
    def nearest_ratio(self) -> float:
        """Of the deficits of two nonnegative starts at a location; NaN where none was compared."""
        return self.nearest.get("deficit_upper", float("nan"))

    def add(self, kind: str, measured: np.ndarray, bound: np.ndarray | float) -> None:
        """Count pairs of numbers, those with NaN left out: an image of a start that does not arrive has
        none."""
        measured, bound = np.broadcast_arrays(measured, bound)
        there = ~np.isnan(measured) & np.isfinite(bound)
        measured, bound = measured[there], bound[there]
        if len(measured) == 0:
            return
        self.checked += len(measured)
        self.violations += int((~(measured <= bound)).sum())
        positive = bound > 0
        ratio = np.max(measured[positive] / bound[positive], initial=0.0)
        self.nearest[kind] = float(np.maximum(self.nearest.get(kind, 0.0), ratio))

    def record(self) -> dict[str, Any]:
        """All of it, as `Held(**record)` takes it up."""
        return dict(vars(self))

    def join(self, other: Held) -> None:
        self.checked, self.violations = self.checked + other.checked, self.violations + other.violations
        for kind, ratio in other.nearest.items():
            self.nearest[kind] = float(np.maximum(self.nearest.get(kind, 0.0), ratio))


def check_certificates(
    certifier: CscCertifier,
    chain: RelevanceChain,
    *,
    vectors: int = 5,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Held]:
    """Hold what a certifier says of the images of a chain, the last ones that it was given, against starts.

    Costs, an image, one sweep of at most `2 ONE_HOTS + 4 vectors` vectors and, for `OPTIMISED` layers,
    `ROUNDS` passes down and up of two vectors.

    Parameters
    ----------
    certifier
        has seen the chain.
    chain
        whose images these are.
    vectors
        random starts of each kind (dense, over many decades; twice as many Gaussian ones), an image.
    seed
        of those.
    progress
        is told of each layer that is done.

    Returns
    -------
    dict
        `{layer: Held}` of each certified layer; empty where nothing was certified.
    """
    vectors, seed = checked_whole(vectors, "vectors", 1, VECTORS), checked_seed(seed)
    found = {layer: Held() for layer in certifier.certificates}
    if not found:
        return found
    chain = chain.double("cpu")
    rng = np.random.default_rng([seed, 3])
    total = len(chain) * (1 + OPTIMISED * ROUNDS)
    for image in range(len(chain)):
        done = image * (1 + OPTIMISED * ROUNDS)
        one = chain.only(image)
        held = {k: _Image(c, image - len(chain)) for k, c in certifier.certificates.items()}
        starts = _starts(one, certifier.start, held, vectors, rng)
        for layer, parts in one.sweep({certifier.start: _shaped(starts.all(), one, certifier.start)}):
            if layer in held:
                _hold(found[layer], held[layer], parts[certifier.start][0], starts, one.method.nonnegative)
        progress("check", done + 1, total)
        for step, (layer, p, pair) in enumerate(_optimised(one, certifier.start, held, rng), 2):
            _hold_pair(found[layer], held[layer], p, pair)
            progress("check", done + step, total)
    return found


# ---------------------------------------------------------------- starts


@dataclass
class _Starts:
    """Flat start vectors: one-hot ones of some units, random nonnegative ones, Gaussian ones."""

    units: np.ndarray
    size: int
    random: np.ndarray
    gaussian: np.ndarray

    def all(self) -> np.ndarray:
        hot = np.zeros((len(self.units), self.size))
        hot[np.arange(len(self.units)), self.units] = 1
        return np.vstack([hot, self.random, self.gaussian])

    @property
    def nonnegative(self) -> int:
        return len(self.units) + len(self.random)


class _Image:
    """What is certified of one image at one layer, by its number from behind."""

    def __init__(self, found: LayerCertificate, number: int) -> None:
        self.positions = found.positions[number]
        self.total = found.total
        self.local = {
            name: getattr(found, name)[number]
            for name in ("deficit_upper", "diameter_upper", "gaussian_deficit_upper", "pairs")
        }
        self.whole = {
            name: values[number]
            for name in ("tau_1_upper", "map_deficit_upper")
            if (values := getattr(found, name))
        }

    @property
    def worst(self) -> int | None:
        """The place among the positions of the largest finite bound."""
        bound = self.local["deficit_upper"]
        finite = np.flatnonzero(np.isfinite(bound))
        return None if len(finite) == 0 else int(finite[np.argmax(bound[finite])])


def _starts(
    chain: RelevanceChain, start: str, held: Mapping[str, _Image], vectors: int, rng: np.random.Generator
) -> _Starts:
    size = int(np.prod(chain.shape(start)))
    units = np.arange(size) if size <= ONE_HOTS else _paired(held)
    dense = rng.random((vectors, size))
    wide = 10.0 ** rng.uniform(-12, 0, (vectors, size)) * (rng.random((vectors, size)) < 0.5)
    return _Starts(units, size, np.vstack([dense, wide]), rng.standard_normal((2 * vectors, size)))


def _paired(held: Mapping[str, _Image]) -> np.ndarray:
    """Units of the pairs that attain the worst case of the worst locations, the lowest layers' first."""
    chosen: dict[int, None] = {}
    for found in reversed(list(held.values())):
        if found.worst is not None and len(chosen) < 2 * ONE_HOTS - 1:
            chosen |= dict.fromkeys(int(u) for u in found.local["pairs"][found.worst] if u >= 0)
    return np.array([*chosen], dtype=int)


def _shaped(starts: np.ndarray, chain: RelevanceChain, start: str) -> Tensor:
    return torch.from_numpy(starts).view(1, len(starts), *chain.shape(start))


def _optimised(
    chain: RelevanceChain, start: str, held: Mapping[str, _Image], rng: np.random.Generator
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Pairs of nonnegative starts, improved against the worst location of some layers: (layer, place,
    images).

    x -> x exp(-step grad), normalised: the gradient of the cosine of the two images in x, by one adjoint
    pass.
    """
    worst = {layer: found.worst for layer, found in held.items() if found.worst is not None}
    layers = list(worst)
    spread = np.unique(np.linspace(0, len(layers) - 1, OPTIMISED).astype(int)) if layers else []
    for layer in (layers[i] for i in spread):
        place = worst[layer]
        p, channels = int(held[layer].positions[place]), chain.shape(layer)[0]
        x = rng.random((2, int(np.prod(chain.shape(start))))) + 0.1
        for _ in range(ROUNDS):
            r = chain.down(_shaped(x, chain, start), start, layer)[0].reshape(2, channels, -1)
            images = r[:, :, p].numpy()
            yield layer, place, images
            covectors = np.zeros(r.shape)
            covectors[:, :, p] = _ascent(images)
            given = torch.from_numpy(covectors).view(1, 2, *chain.shape(layer))
            slope = chain.up(given, layer, start).flatten(2)[0].numpy() * x
            most = np.abs(slope).max(axis=1, keepdims=True)
            if not (np.isfinite(slope).all() and (most > 0).all()):
                break
            x = x * np.exp(-8 * slope / most)
            x /= x.max(axis=1, keepdims=True)


def _ascent(images: np.ndarray) -> np.ndarray:
    """The gradients of the cosine in both vectors, up to their lengths."""
    length = np.linalg.norm(images, axis=1, keepdims=True)
    unit = images / np.where(length > 0, length, 1)
    return unit[::-1] - (unit[0] @ unit[1]) * unit


# ---------------------------------------------------------------- comparisons


def _hold(found: Held, held: _Image, r: Tensor, starts: _Starts, nonnegative: bool) -> None:
    """r: the images of all starts at one layer, (vectors, channels, *space)."""
    flat = r.reshape(len(r), r.shape[1], -1)
    at = flat[:, :, torch.as_tensor(held.positions)].permute(2, 0, 1).numpy()  # (places, vectors, channels)
    given, gaussian = at[:, : starts.nonnegative], at[:, starts.nonnegative :]
    worst = held.local["deficit_upper"]
    arrived = np.any(given, axis=(1, 2))[np.isnan(worst)]  # at what was called dead
    found.checked, found.violations = found.checked + len(arrived), found.violations + int(arrived.sum())
    found.add("deficit_upper", pairwise_deficits(given), worst[:, None])
    if nonnegative:
        _hold_diameters(found, given[:, : len(starts.units)], held.local["diameter_upper"])
    _hold_gaussian(found, gaussian, held.local["gaussian_deficit_upper"])
    _hold_whole(found, flat[: starts.nonnegative].flatten(1).numpy(), len(starts.units), held.whole)


def _hold_pair(found: Held, held: _Image, place: int, images: np.ndarray) -> None:
    found.add("deficit_upper", np.asarray(deficit(*images)), held.local["deficit_upper"][place])


def _hold_diameters(found: Held, hot: np.ndarray, bound: np.ndarray) -> None:
    found.add("diameter_upper", np.asarray(cone.pairwise_hilbert_distances(hot)), bound[:, None])


def _hold_gaussian(found: Held, images: np.ndarray, bound: np.ndarray) -> None:
    pairs = images.shape[1] // 2
    if pairs == 0:
        return
    exceeds = np.asarray(deficit(images[:, :pairs], images[:, pairs:])) > bound[:, None]
    live = ~np.isnan(bound)
    found.checked += int(live.sum())
    found.violations += int((bdtrc(exceeds.sum(1) - 1, pairs, 1 - CONFIDENCE)[live] < CHANCE).sum())


def _hold_whole(found: Held, maps: np.ndarray, hot: int, bounds: Mapping[str, float]) -> None:
    """Whole maps: the worst pair, and what is left of the l1 distance of two one-hot starts."""
    if "map_deficit_upper" in bounds and len(maps) > 1:
        found.add("map_deficit_upper", pairwise_deficits(maps), bounds["map_deficit_upper"])
    if "tau_1_upper" in bounds and hot > 1:
        first, second = np.triu_indices(hot, 1)
        left = np.abs(maps[first] - maps[second]).sum(1) / 2
        found.add("tau_1_upper", left, bounds["tau_1_upper"])


def totals(found: Mapping[str, Held] | Sequence[Held]) -> Held:
    """All layers together."""
    total = Held()
    for each in found.values() if isinstance(found, Mapping) else found:
        total.join(each)
    return total
