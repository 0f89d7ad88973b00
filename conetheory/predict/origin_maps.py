"""Where the relevance of one location comes from, and the field that what is left of it shows, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks.edge import Model, as_network, shape_of
from conetheory.networks.graph import INPUT
from conetheory.predict.origin import OriginLaw
from conetheory.predict.origin_cut import Cut, first_cut
from conetheory.predict.states import flat
from conetheory.rules.parameters import takes_parameters
from conetheory.rules.registry import Method, as_method
from conetheory.theory import origin as theory
from conetheory.theory.records import NotApplicable

CHANNELS = 4  # whose origins are drawn: those that differ the most


@takes_parameters
def origin_maps(
    network: Model,
    images: Tensor,
    method: str | Method,
    classes: Tensor,
    layer: str,
    *,
    names: Sequence[str],
    targets: Sequence[str],
    start: str = "logits",
    parameters: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> xr.Dataset | NotApplicable:
    """`origin_density(method, image, channel, v, u)` and `location_field(method, image, target, v, u)`.

    At the location of `layer` where the relevance of the first target is largest, `f_i(q) = C_(pi),(q.) c0(q)
    / c_i` of the four channels with the largest |G_i|, which tell starts apart: exact, one adjoint pass each
    up to the cut (v, u: its locations). And s = <b, r> at the cut for each target, classes `(images,
    targets)`, over its mean over the map. `origin_place(method, image, axis)`: the location, (y, x) in shares
    of the map.

    NotApplicable where the theory `origin` says nothing of the method; InputError for a layer that is not
    below the cut, and for a start above which there is no map.
    """
    network, method = as_network(network, shape_of(images)), as_method(method, parameters)
    reason = OriginLaw.applies(method)
    if reason is not None:
        return reason
    found = []
    for image, wanted in zip(images, classes, strict=True):
        chain = RelevanceChain(network, image, method, dtype=dtype, device=device)
        if not found and (reason := OriginLaw.speaks(chain, start)) is not None:
            return reason
        found.append(_of_image(chain, start, layer, wanted.tolist()))
    density, channels, place, field, cut = (list(part) for part in zip(*found, strict=True))
    dims = ("method", "image")
    data = xr.Dataset(
        {
            "origin_density": ((*dims, "channel", "v", "u"), np.stack(density)[None].astype(np.float32)),
            "origin_channel": ((*dims, "channel"), np.stack(channels)[None]),
            "origin_place": ((*dims, "axis"), np.stack(place)[None]),
            "location_field": ((*dims, "target", "v", "u"), np.stack(field)[None].astype(np.float32)),
            "origin_cut": (("method",), np.array([cut[0]], object)),
            "origin_layer": (("method",), np.array([layer], object)),
        },
        {"method": [method.name], "image": list(names), "target": list(targets), "axis": ["y", "x"]},
    )
    return data


@torch.inference_mode()
def _of_image(chain: RelevanceChain, start: str, layer: str, classes: Sequence[int]) -> tuple[Any, ...]:
    cut = first_cut(chain, start)
    if np.prod(cut.size) == 1:
        raise InputError(f"there is no map of locations below {start!r} whose origins could be drawn")
    bottom = chain.graph.resolve(layer)
    if bottom == cut.name or bottom not in {
        n for node in chain.graph.between(cut.name, INPUT) for n in node.inputs
    }:
        raise InputError(f"layer {layer!r} is not below {cut.name!r}, on whose locations origins are counted")
    top = chain.graph.resolve(start)
    r = flat(chain.down(chain.one_hot(top, classes), top, cut.name))
    s = (cut.b[:, None] * r).sum(2)[0]
    mean = s.mean(1, keepdim=True)
    field = (s / torch.where(mean != 0, mean, 1.0)).reshape(-1, *cut.size)
    at = _largest(chain, cut, r[:, :1], bottom)
    channels = _apart(chain, cut, bottom, at)
    density = _densities(chain, cut, bottom, at, channels)
    height, width = chain.shape(bottom)[1:]
    place = np.array([(at // width + 0.5) / height, (at % width + 0.5) / width])
    label = f"{chain.graph.label(cut.name)} ({' x '.join(map(str, cut.size))})"
    channels = np.pad(channels.astype(float), (0, CHANNELS - len(channels)), constant_values=np.nan)
    return density.cpu().numpy(), channels, place, field.cpu().numpy(), label


def _largest(chain: RelevanceChain, cut: Cut, r: Tensor, bottom: str) -> int:
    """The flat location with the most relevance at a layer, both signs counted."""
    below = flat(chain.down(r.reshape(1, 1, *chain.shape(cut.name)), cut.name, bottom))
    return int(below[0, 0].abs().sum(0).argmax())


def _apart(chain: RelevanceChain, cut: Cut, bottom: str, at: int) -> np.ndarray:
    """The channels with the largest |G_i| at a location, in order of their mean origins along x."""
    x, y = cut.grid.T.to(cut.c.dtype)
    fields = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y])
    vectors = (cut.c[:, None] * fields[None, :, None]).reshape(1, 6, *chain.shape(cut.name))
    six = flat(chain.down(vectors, cut.name, bottom))[0, :, :, at : at + 1]
    origin = theory.moments(*six)
    live = six[0, :, 0] != 0
    size = torch.where(live, origin.G[0].square().sum(1), -1.0)
    chosen = size.argsort(descending=True)[: min(CHANNELS, int(live.sum()))]
    means = (six[1, :, 0] / torch.where(live, six[0, :, 0], 1.0))[chosen]
    return chosen[means.argsort()].cpu().numpy()


def _densities(chain: RelevanceChain, cut: Cut, bottom: str, at: int, channels: np.ndarray) -> Tensor:
    """`(CHANNELS, height, width)` of the cut, each with sum one; NaN where there are fewer live channels."""
    locations = int(np.prod(chain.shape(bottom)[1:]))
    units = [int(channel) * locations + at for channel in channels]
    found = torch.full((CHANNELS, cut.c.shape[-1]), torch.nan, dtype=torch.float64)
    if units:
        D = (flat(chain.up(chain.one_hot(bottom, units), bottom, cut.name))[0] * cut.c).sum(1).double()
        found[: len(units)] = D / D.sum(1, keepdim=True)
    return found.reshape(CHANNELS, *cut.size)
