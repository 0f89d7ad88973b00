"""Cascading and independent randomisation of a network's layers, and how similar the maps stay.

Protocol of Adebayo et al. (2018) with the choices of Sixt et al. (2020): the parameters of layers are drawn
anew, from the output down to a layer (`cascading`) or those of one layer alone (`independent`); the class
that the untouched network predicts is explained before and after, and the two maps are compared. The
comparison of the untouched network with itself is no part of any result. Maps of vectors `(features,)` are
compared by the measures that need no picture; the others are left out, and the result's `left_out` says so.

A randomised network may have no map: where its logits are rectified, the explained one can be zero for good.
Such images have no similarity and are left out of the medians; `live_images` counts the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from conetheory import room
from conetheory.chain.checks import Placement, checked_images
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.watch import Watch
from conetheory.counts import checked_seed, checked_whole
from conetheory.errors import InputError
from conetheory.networks import Network
from conetheory.networks.edge import Model, as_network, shape_of
from conetheory.networks.graph import Graph
from conetheory.networks.ops import Shape
from conetheory.networks.randomise import Level, Scheme, default_layers, levels, randomised, weighted
from conetheory.progress import Progress, silent
from conetheory.results.dataset import Sanity
from conetheory.results.layout import method_axis, provenance
from conetheory.rules.registry import Method, as_method
from conetheory.saliency.pictures import BATCH, pictures, predicted_classes, saliency
from conetheory.saliency.similarity import MEASURES, PLAIN, Ssim, median_band, similarities
from conetheory.sanity.structure import shuffled_maps
from conetheory.sanity.successors import complexity_rise, other_classes, smooth_maps
from conetheory.schema import SIDES

MODES = ("cascading", "independent")
MEDIANS = ("similarity", "smooth_similarity", "random_logit", "efficient_mprt")  # that are taken over images


@dataclass(frozen=True)
class SanitySettings:
    """How a network is randomised, and by what maps are compared.

    Parameters
    ----------
    layers
        from which to randomise (None: `randomise.default_layers`).
    modes
        as in `networks.randomise`.
    measures
        as in `saliency.similarity`.
    scheme
        of the random weights, as in `networks.randomise`.
    seed
        of those weights.
    ssim
        as in `saliency.similarity`.
    smooth
        noisy copies of each image for smooth MPRT (0: leave it out).
    noise
        of those copies, in shares of the image's range.
    device, dtype
        of the chains.
    parameters
        of the rule.
    """

    layers: tuple[str, ...] | None = None
    modes: tuple[str, ...] = MODES
    measures: tuple[str, ...] = MEASURES
    scheme: Scheme = "reset"
    seed: int = 0
    ssim: Ssim = field(default_factory=Ssim)
    smooth: int = 0
    noise: float = 0.1
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := (set(self.modes) - set(MODES)) | (set(self.measures) - set(MEASURES)):
            raise InputError(
                f"unknown mode or measure {min(unknown)!r}; known: {', '.join(MODES + MEASURES)}"
            )
        checked_whole(self.smooth, "smooth")
        checked_seed(self.seed)
        if not self.noise > 0:
            raise InputError("smooth MPRT needs positive noise")
        if not self.modes or not self.measures:
            raise InputError("randomisation needs a mode and a measure")


def sanity_check(
    network: Model,
    images: Tensor,
    method: str | Method,
    settings: SanitySettings | None = None,
    *,
    targets: Tensor | None = None,
    fresh: Model | None = None,
    names: Sequence[str] | None = None,
    progress: Progress = silent,
) -> Sanity:
    """Randomise a network layer by layer and compare one method's maps.

    Parameters
    ----------
    network
        a module, a `Graph` or a `Network` with classes.
    images
        `(N, C, H, W)` or `(N, features)`, preprocessed.
    method
        by name, or a `Method`.
    settings
        None: the defaults.
    targets
        the explained classes `(N, 1)` (None: what the untouched network predicts).
    fresh
        for the scheme `model`, the same network with its authors' initialisation.
    names
        of the images (None: their numbers).
    progress
        is told of each map that is made.

    Returns
    -------
    Sanity
        `similarity_median(method, mode, layer, measure)` and its spread over images.

    Raises
    ------
    InputError
        where the network has no classes, and where no measure that is asked for takes such maps.

    References
    ----------
    Adebayo et al. 2018
    """
    given = {"targets": targets, "fresh": fresh, "names": names, "progress": progress}
    return summarised(sanity_by_image(network, images, method, settings, **given))


def sanity_by_image(
    network: Model,
    images: Tensor,
    method: str | Method,
    settings: SanitySettings | None = None,
    *,
    numbers: Sequence[int] | None = None,
    targets: Tensor | None = None,
    fresh: Model | None = None,
    names: Sequence[str] | None = None,
    progress: Progress = silent,
) -> xr.Dataset:
    """What `sanity_check` finds of each image, before medians are taken.

    Parameters
    ----------
    numbers
        of the images, which random draws depend on (None: from 0 on).
    network, images, method, settings, targets, fresh, names, progress
        as `sanity_check` takes them.

    Returns
    -------
    Dataset
        for `summarised`, which takes those of several parts of the images, one after the other.
    """
    settings = settings or SanitySettings()
    network, method = as_network(network, shape_of(images)), as_method(method, settings.parameters)
    images = checked_images(images, network.graph.input_shape)
    other = None if fresh is None else as_network(fresh, network.graph.input_shape).graph
    check = _Check(network, images, method, settings, targets, other, progress)
    check.numbers = range(len(images)) if numbers is None else numbers
    return check.dataset(names or [str(n) for n in check.numbers])


def summarised(found: xr.Dataset) -> Sanity:
    """A result of what is known of each image.

    Parameters
    ----------
    found
        of `sanity_by_image`, of all images.

    Returns
    -------
    Sanity
        as `sanity_check` has it.
    """
    known: dict[str, Any] = {}
    for name, values in ((str(key), each) for key, each in found.data_vars.items()):
        if name in MEDIANS:
            known[name] = values
            medians, bands = median_band(values.values[0], seed=int(found.attrs["seed"]))
            dims = values.dims[:-1]
            known[f"{name}_median"] = (dims, medians[None])
            known[f"{name}_band"] = ((*dims, "side"), bands[None])
            if name == "similarity":
                known["live_images"] = found["live"].sum("image")
        elif name == "structure":
            known["rank_one_bound"] = (values.dims[:-1], median_band(values.values[0])[0][None])
        elif name != "live":
            known[name] = values
    return Sanity(xr.Dataset(known, {**found.coords, "side": list(SIDES)}, found.attrs))


class _Check:
    def __init__(
        self,
        network: Network,
        images: Tensor,
        method: Method,
        settings: SanitySettings,
        targets: Tensor | None,
        fresh: Graph | None,
        progress: Progress,
    ) -> None:
        self.graph = network.graph
        settings, self.left_out = _comparable(settings, self.graph.input_shape)
        self.network, self.images, self.method, self.s = network, images, method, settings
        self.fresh, self.progress = fresh, progress
        self.numbers: Sequence[int] = range(len(images))
        self.placed = Placement(dtype=settings.dtype, device=settings.device)
        self.levels = levels(self.graph, settings.layers or default_layers(network))
        if not self.levels:
            raise InputError("the network has no layer with parameters to randomise")
        found = predicted_classes(network, images, **self.placed) if targets is None else targets
        self.targets = found.cpu()
        self.maps = self._maps(network, self.targets)

    def _maps(self, network: Network, targets: Tensor) -> np.ndarray:
        return saliency(network, self.images, self.method, targets, **self.placed)[:, 0]

    def _smooth(self, network: Network) -> np.ndarray:
        options = {"samples": self.s.smooth, "noise": self.s.noise, "seed": self.s.seed, **self.placed}
        options |= {"numbers": self.numbers}
        return smooth_maps(network, self.images, self.method, self.targets, **options)

    def _randomised(self, names: Sequence[str]) -> Network:
        """The network with new parameters, else as it is."""
        graph = randomised(self.graph, names, self.s.scheme, self.s.seed, self.fresh)
        return replace(self.network, graph=graph)

    def _compared(self, maps: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
        """Similarities `(measures, images)` to the maps of the untouched network (or to `others`)."""
        return similarities(self.maps if others is None else others, maps, self.s.measures, self.s.ssim)

    def dataset(self, names: Sequence[str]) -> xr.Dataset:
        coords = {
            **method_axis(self.method),
            "mode": list(self.s.modes),
            "layer": [level.name for level in self.levels],
            "depth": ("layer", [len(level.cascade) for level in self.levels]),
            "measure": list(self.s.measures),
            "image": list(names),
        }
        kept = ("scheme", "seed", "smooth", "noise")
        settings = {k: getattr(self.s, k) for k in kept} | {"ssim": str(self.s.ssim)}
        attributes = provenance(self.network, **settings, left_out=self.left_out)
        return xr.Dataset(self._variables(), coords, attributes)

    def _variables(self) -> dict[str, Any]:
        found = self._cascades()
        other = other_classes(self.targets, self.graph.classes, self.s.seed, self.numbers)
        logit = self._compared(self._maps(self.network, other))
        logit[:, (other == self.targets)[:, 0].numpy()] = np.nan
        values: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
            "similarity": (("mode", "layer", "measure"), found["similarity"]),
            "live": (("mode", "layer"), found["live"]),
        }
        if "smooth" in found:
            values["smooth_similarity"] = (("layer", "measure"), found["smooth"])
        values |= {
            "random_logit": (("measure",), logit),
            "efficient_mprt": ((), complexity_rise(self.maps, found["last"])),
            "structure": (("layer", "measure"), self._structure()),
        }
        by_image = {name: (("method", *dims, "image"), each[None]) for name, (dims, each) in values.items()}
        classes = {"target": self.targets, "other_class": other}
        return by_image | {name: ("image", each[:, 0].numpy()) for name, each in classes.items()}

    def _cascades(self) -> dict[str, np.ndarray]:
        """Similarities `(modes, layers, measures, images)`, smooth ones, and the maps of the last cascade."""
        before = self._smooth(self.network) if self.s.smooth else None
        rows, live, smooth = [[] for _ in self.s.modes], [], []
        total, last = len(self.s.modes) * len(self.levels), None
        for number, mode in enumerate(self.s.modes):
            for level in self.levels:
                network = self._randomised(self._names(mode, level))
                maps = self._maps(network, self.targets)
                rows[number].append(self._compared(maps))
                live.append(_alive(self.maps) & _alive(maps))
                if mode == "cascading" and level.cascade == weighted(self.graph):
                    last = maps
                if mode == "cascading" and before is not None:
                    smooth.append(self._compared(self._smooth(network), before))
                self.progress(self.method.name, sum(map(len, rows)), total)
        if last is None:  # no cascade went down to the first layer
            last = self._maps(self._randomised(weighted(self.graph)), self.targets)
        alive = np.array(live).reshape(len(self.s.modes), len(self.levels), -1)
        found = {"similarity": np.array(rows), "live": alive, "last": last}
        return found | ({"smooth": np.array(smooth)} if smooth else {})

    @staticmethod
    def _names(mode: str, level: Level) -> tuple[str, ...]:
        return level.cascade if mode == "cascading" else level.own

    def _structure(self) -> np.ndarray:
        """`(layers, measures, images)`: similarity to the maps of shuffled relevance (`sanity.structure`)."""
        found = np.full((len(self.levels), len(self.s.measures), len(self.images)), np.nan)
        if not self.method.backpropagated:
            return found
        cuts = tuple(dict.fromkeys(level.cut for level in self.levels))
        size = room.block(BATCH)
        for first in range(0, len(self.images), size):
            here = slice(first, first + size)
            chain = RelevanceChain(self.network, self.images[here], self.method, **self.placed)
            maps = self._shuffled(chain, self.targets[here], cuts, self.numbers[here])
            for row, level in zip(found, self.levels, strict=True):
                known = np.isfinite(maps[level.cut]).reshape(len(maps[level.cut]), -1).all(1)
                if known.any():
                    index = first + np.flatnonzero(known)
                    row[:, index] = self._compared(maps[level.cut][known], self.maps[index])
        return found

    def _shuffled(
        self, chain: RelevanceChain, targets: Tensor, cuts: Sequence[str], numbers: Sequence[int]
    ) -> dict[str, np.ndarray]:
        with Watch("map") as watch:
            placed = targets.to(chain.device)
            maps = shuffled_maps(chain.watched(watch), placed, cuts, seed=self.s.seed, numbers=numbers)
        reduce, shape = self.method.rule.reduce, self.graph.input_shape
        return {cut: pictures(found, reduce, shape) for cut, found in maps.items()}


def _alive(maps: np.ndarray) -> np.ndarray:
    """Which images have a map: of more than one value."""
    return np.ptp(maps.reshape(len(maps), -1), axis=1) > 0


def _comparable(settings: SanitySettings, shape: Shape) -> tuple[SanitySettings, str | None]:
    """The settings with the measures that maps of such inputs have, and why others are left out."""
    if len(shape) == 3:
        return settings, None
    usable = tuple(name for name in settings.measures if name in PLAIN)
    absent = [name for name in settings.measures if name not in PLAIN]
    reason = f"{', '.join(absent)}: for pictures, and the input has shape {shape}"
    if not usable:
        raise InputError(f"no measure is left without {reason}")
    return replace(settings, measures=usable), reason if absent else None
