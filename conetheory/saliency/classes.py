"""Class sensitivity: how much of a saliency map depends on which class it explains.

For one image the maps of all classes are the columns of one matrix, the chain from the logits to the input
with the channels summed. What is reported of it: distances `1 - |cos|` between the maps of the top classes,
and of classes drawn at random; the worst pair over all classes, which for nonnegative chains bounds all
mixtures of classes as well (theorem `generators`); the share of a map's variance over the pixels that the
class can still move, with pictures of the directions in which it does; and the distance of two classes at
random that the chain's spectrum alone predicts (theorem `column-angles`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from conetheory.chain.checks import checked_images
from conetheory.chain.explained import ExplainerChain, open_chain
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.watch import Watch
from conetheory.counts import checked_seed, checked_whole
from conetheory.errors import InputError
from conetheory.networks import Network
from conetheory.networks.edge import Model, as_network, shape_of
from conetheory.progress import Progress, silent
from conetheory.results.class_distances import Classes
from conetheory.results.layout import method_axis, provenance
from conetheory.rules.registry import Method, as_method
from conetheory.saliency.explain import one_hot
from conetheory.saliency.pictures import not_drawn, space_dims, space_of, with_channels
from conetheory.theory.columns import column_deficit_estimate
from conetheory.theory.cosine import pairwise_deficits
from conetheory.theory.spectrum import effective_rank, leading_singular_values

BLOCK = 16  # classes sent down at a time


@dataclass(frozen=True)
class ClassSettings:
    """How class sensitivity is looked for.

    Parameters
    ----------
    top
        classes of largest logit whose pairs are compared.
    sampled
        classes at random whose pairs are, too (all where there are no more).
    whole
        images, from the first, for which all classes are looked at (None: all; always where there are at
        most `top`).
    ranks
        pictured directions.
    pairs
        named pairs of classes.
    probes
        random output weights for the spectrum.
    seed
        of classes and probes.
    device, dtype
        of the chains.
    parameters
        of the rule.
    """

    top: int = 10
    sampled: int = 24
    whole: int | None = 1
    ranks: int = 3
    pairs: tuple[tuple[int, int], ...] = ()
    probes: int = 8
    seed: int = 0
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in (("top", 2), ("sampled", 2), ("ranks", 1), ("probes", 1)):
            checked_whole(getattr(self, name), name, least)
        if self.whole is not None:
            checked_whole(self.whole, "whole")
        checked_seed(self.seed)
        if any(len(pair) != 2 for pair in self.pairs):
            raise InputError(f"pairs are of two classes each, not {self.pairs}")


TOP = 0.05  # of the locations


def class_maps(chain: RelevanceChain | ExplainerChain, classes: Sequence[int] | np.ndarray) -> Tensor:
    """The maps of these classes, channels summed: `(classes, *space)`, for a chain of one image."""
    found = []
    for block in torch.as_tensor(classes, device=chain.device).split(BLOCK):
        maps = chain.down(one_hot(chain.logits, block[None]), "logits")[0]
        found.append(with_channels(maps, chain.shape("input")).sum(1))
    return torch.cat(found)


def class_spectrum(
    chain: RelevanceChain, *, probes: int = 8, steps: int = 2, seed: int = 0
) -> tuple[np.ndarray, float]:
    """Leading singular values of the channel-summed chain with its columns scaled to equal length, and the
    estimated sum of the squares of the rest.

    No class's map is made. The lengths are estimated from `2 probes` random covectors sent up, which see
    all columns at once; the values come from block Lanczos with `probes` random starts, and what they leave
    from as many fresh ones (with at most `probes` classes they are all there, and nothing is left).
    """
    classes, shape = chain.graph.classes, chain.shape("input")
    space = space_of(shape)
    probes, steps = checked_whole(probes, "probes", 1), checked_whole(steps, "steps", 1)
    generator = torch.Generator().manual_seed(checked_seed(seed))

    def drawn(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64).to(chain.device)

    def up(h: Tensor) -> Tensor:
        spread = h.T.to(chain.dtype).reshape(1, -1, *[1] * (len(shape) - len(space)), *space)
        spread = spread.expand(1, -1, *shape)
        return chain.up(spread, "input", "logits")[0].T.to(torch.float64)

    lengths = up(drawn(math.prod(space), 2 * probes)).square().mean(1, keepdim=True).sqrt()
    scale = torch.where(lengths > 0, 1 / lengths, 0.0)

    def down(v: Tensor) -> Tensor:
        scaled = (scale * v).T[None].to(chain.dtype)
        maps = with_channels(chain.down(scaled, "logits")[0], shape)
        return maps.sum(1).flatten(1).T.to(torch.float64)

    width = min(probes, classes)
    options = {"count": width * steps, "max_steps": steps}
    found = leading_singular_values(down, lambda h: scale * up(h), drawn(classes, width), **options)
    values = found.lower.cpu().numpy()
    if len(values) >= classes:
        return values, 0.0
    fresh = down(drawn(classes, width))
    rest = fresh - found.left @ (found.left.T @ fresh)
    return values, float(rest.square().sum(0).mean())


@dataclass(frozen=True)
class Spread:
    """How maps `(k, *space)` of classes differ, after centring over the pixels and scaling to length 1.

    movable_share: `1 - s_1^2 / sum s_i^2`, the share of a map's variance outside of what all have in common.
    effective_rank: of the singular values. directions: `(ranks, *space)`, the left singular vectors.
    """

    movable_share: float
    effective_rank: float
    directions: np.ndarray

    @classmethod
    def of(cls, maps: Tensor, ranks: int) -> Spread:
        flat = maps.flatten(1).to(torch.float64)
        flat = flat - flat.mean(1, keepdim=True)
        norms = flat.norm(dim=1)
        live = flat[norms > 0] / norms[norms > 0, None]
        directions = np.full((ranks, *maps.shape[1:]), np.nan)
        if len(live) < 2:
            return cls(float("nan"), float("nan"), directions)
        _, s, right = torch.linalg.svd(live, full_matrices=False)
        kept = min(ranks, len(s))
        directions[:kept] = right[:kept].view(kept, *maps.shape[1:]).cpu().numpy()
        square = s.square()
        return cls(float(square[1:].sum() / square.sum()), float(effective_rank(s)), directions)

    @property
    def ssm(self) -> float:
        """`sqrt(1 + S)`, S the sum of `(s_i / s_1)^2` beyond the first: the Frobenius over the spectral norm.

        SSM of Maess et al. 2025, which is 1 where all classes have one map; `1 / sqrt(1 - movable_share)`.
        """
        return (1 - self.movable_share) ** -0.5


def top_overlap(first: Tensor, second: Tensor) -> float:
    """Which share of the locations of largest relevance two maps `(*space)` have in common.

    The largest 5%, one location at least; the diagnostic of CASE (Williamson et al. 2025) for the two classes
    of largest logits, whose border is one half. Theirs is a test over images too (Wilcoxon, signed ranks);
    here is the number of one. NaN for a map of zero.
    """
    if not bool(first.any()) or not bool(second.any()):
        return float("nan")
    count = max(1, round(TOP * first.numel()))
    tops = [set(m.flatten().topk(count).indices.tolist()) for m in (first, second)]
    return len(tops[0] & tops[1]) / count


def worst_pair(maps: Tensor) -> tuple[float, tuple[int, int]]:
    """The largest `1 - |cos|` of two maps `(classes, *space)` and the two; maps of zero are left out.

    NaN and (-1, -1) where fewer than two are left. By the chords of unit maps, as differences to one of them:
    what is lost is relative to the farthest, not to 1. Some pixels at a time, since all maps in float64 would
    not fit beside themselves.
    """
    flat = maps.flatten(1)
    norms = torch.linalg.vector_norm(flat, dim=1, dtype=torch.float64)
    if int((norms > 0).sum()) < 2:
        return float("nan"), (-1, -1)
    first = int((norms > 0).to(torch.int8).argmax())
    scale = torch.where(flat @ flat[first] < 0, -1.0, 1.0) / norms
    gram = torch.zeros((len(flat), len(flat)), dtype=torch.float64, device=flat.device)
    for block in flat.split(2**14, 1):
        unit = block.to(torch.float64) * scale[:, None]
        residual = unit - unit[first]
        gram += residual @ residual.T
    square = gram.diagonal()
    chord = square[:, None] + square - 2 * gram
    deficits = torch.minimum(chord, 4 - chord).clamp(min=0) / 2
    deficits = torch.nan_to_num(deficits.fill_diagonal_(0), nan=-1.0)
    flat_index = int(deficits.argmax())
    first, second = sorted(divmod(flat_index, len(maps)))
    return float(deficits.flatten()[flat_index]), (first, second)


def class_sensitivity(
    network: Model,
    images: Tensor,
    method: str | Method,
    settings: ClassSettings | None = None,
    progress: Progress = silent,
    names: Sequence[str] | None = None,
    *,
    numbers: Sequence[int] | None = None,
) -> Classes:
    """Class sensitivity of one method, images one at a time.

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
    progress
        is told of each image that is done.
    names
        of the images (None: their numbers).
    numbers
        of the images in a study, of which these are a part (None: from 0 on).

    Returns
    -------
    Classes
        distances of the maps of two classes, `movable_share` and `effective_rank` by method and image.

    Raises
    ------
    InputError
        where the network has no two classes, and where a map leaves the range of the dtype on its way.
    """
    settings = settings or ClassSettings()
    network, method = as_network(network, shape_of(images)), as_method(method, settings.parameters)
    graph = network.graph
    if graph.classes < 2:
        raise InputError("the network has one output: there is no other class whose map could differ")
    dims, images = space_dims(graph.input_shape), checked_images(images, graph.input_shape)
    rows, numbers = [], range(len(images)) if numbers is None else numbers
    for number, image in zip(numbers, images, strict=True):
        rows.append(_one(network, image, method, settings, number))
        progress(method.name, len(rows), len(images))
    names = names or [str(number) for number in numbers]
    data = _dataset(network, method, settings, rows, names, dims)
    left_out = not_drawn(graph.input_shape)
    return Classes(data if left_out is None else data.assign_attrs(left_out=left_out))


def _one(network: Network, image: Tensor, method: Method, s: ClassSettings, number: int) -> dict[str, Any]:
    with Watch("map") as watch:
        chain = open_chain(network, image[None], method, dtype=s.dtype, device=s.device).watched(watch)
        return _row(chain, s, number, watch)


def _row(
    chain: RelevanceChain | ExplainerChain, s: ClassSettings, number: int, watch: Watch
) -> dict[str, Any]:
    classes = chain.logits.shape[1]
    top = chain.logits[0].topk(min(s.top, classes)).indices.tolist()
    maps = class_maps(chain, top)
    spread = Spread.of(maps, s.ranks)
    drawn = np.random.default_rng([s.seed, number]).permutation(classes)[: s.sampled]
    row: dict[str, Any] = {
        "class_distance_median": _distance(maps),
        "class_distance_sampled": _distance(class_maps(chain, drawn)),
        "movable_share": spread.movable_share,
        "effective_rank": spread.effective_rank,
        "ssm": spread.ssm,
        "top_overlap": top_overlap(*maps[:2]),
        "directions": spread.directions,
        "predicted_class_distance": float("nan"),
        "class_distance_worst": float("nan"),
        "worst_pair": (-1, -1),
        "pair_distance": [_distance(class_maps(chain, pair)) for pair in s.pairs],
        "top_classes": top,
    }
    watch.check()  # a spectrum divides by the columns' lengths
    if isinstance(chain, RelevanceChain) and chain.method.linear:
        values, rest = class_spectrum(chain, probes=s.probes, seed=s.seed)
        row["predicted_class_distance"] = float(column_deficit_estimate(values, classes, rest))
    if classes <= s.top or s.whole is None or number < s.whole:
        row["class_distance_worst"], row["worst_pair"] = worst_pair(class_maps(chain, range(classes)))
    return row


def _distance(maps: Tensor) -> float:
    """The median of `1 - |cos|` over all pairs of maps `(classes, *space)`; maps of zero are left out."""
    values = pairwise_deficits(maps.flatten(1).to(torch.float64))
    return float(torch.nanquantile(values, 0.5))


def _dataset(
    network: Network,
    method: Method,
    s: ClassSettings,
    rows: list[dict[str, Any]],
    names: Sequence[str],
    space: tuple[str, ...],
) -> xr.Dataset:
    found: dict[str, Any] = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])[None]
        dims = ("method", "image", *_DIMS.get(name, ()), *(space if name == "directions" else ()))
        if values.size:
            found[name] = (dims, values.astype(np.float32) if name == "directions" else values)
    exact = method.nonnegative and bool(np.isfinite(found["class_distance_worst"][1]).any())
    found["worst_bounds_mixtures"] = ("method", [int(exact)])
    coords = {**method_axis(method), "image": list(names)}
    coords |= {"pair": [f"{a}-{b}" for a, b in s.pairs]} if s.pairs else {}
    settings = {"top_k": s.top, "sampled": s.sampled, "seed": s.seed, "probes": s.probes, "whole": s.whole}
    return xr.Dataset(found, coords, provenance(network, **settings))


_DIMS = {
    "worst_pair": ("two",),
    "directions": ("rank",),
    "pair_distance": ("pair",),
    "top_classes": ("top",),
}
