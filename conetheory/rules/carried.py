"""What one local map makes of independent deviations of known variance: the carried part of second moments.

Let eta have independent entries of variance v at the output of M, and let `<b, c> = 1` over the channels of
each location below (or b = c = 0 there). The variances of `M eta - c <b, M eta>` are, at location p and
channel i,

    sum_(q, j) (M_pi,qj - c_i omega_p,qj)^2 v_qj = ((M o M) v)_i - 2 c_i sum M_pi,qj omega_p,qj v_qj
                                                   + c_i^2 sum omega_p,qj^2 v_qj,     omega_p = b_p^T M.

Maps that keep the channels apart have `omega_p,qj = b_j M_pj,qj`, so the squares are enough; those that mix
them are a convolution, tap by tap, or a dense layer. Identities have `<b, eta> = 0` already and lose nothing.
Relevance is `(images, 1, *shape)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from itertools import product

import torch
from torch import Tensor

from conetheory.errors import InputError
from conetheory.networks.attention import Mixing
from conetheory.networks.ops import Conv2d, Linear, Terms
from conetheory.networks.transposed import ConvTranspose2d
from conetheory.rules.bilinear import Bilinear, Branch, RankOne
from conetheory.rules.couplings import Standardisation
from conetheory.rules.maps import Chained, LocalMap, Same, ScaledMap
from conetheory.rules.smallness import merge, split

CHANNELS = 2


def carried_variances(
    local: LocalMap, v: Tensor, bs: Sequence[Tensor], cs: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """The variances at each input of `local`, for v at its output and b, c at its inputs."""
    if isinstance(local, Chained | Standardisation | Bilinear | RankOne):
        raise InputError(f"{type(local).__name__} mixes channels: what it carries is not known")
    if isinstance(local, Branch) and _mixes(local.inner):
        if bool(v.any()):
            raise InputError("a product of matrices mixes channels: what it carries is not known")
        return tuple(torch.zeros_like(b) for b in bs)
    squares = local.squared().down(v)
    if isinstance(local, Same):
        return squares
    if isinstance(local, ScaledMap) and isinstance(local.op, Conv2d | ConvTranspose2d):
        found = [_convolution(local, local.op, v, bs[0], cs[0])]
    elif isinstance(local, ScaledMap) and isinstance(local.op, Linear):
        found = [_single(local, v, bs[0])]
    else:
        found = [(b * w, _total(b * b * w)) for w, b in zip(squares, bs, strict=True)]
    return tuple(
        (w - 2 * c * cross + c * c * along).clamp(min=0)  # a sum of squares, but for rounding
        for w, c, (cross, along) in zip(squares, cs, found, strict=True)
    )


def _mixes(local: LocalMap) -> bool:
    """Whether a factor that is a constant mixes channels, as queries do those of keys: to scores."""
    op = local.op if isinstance(local, ScaledMap) else None
    return isinstance(op, Mixing) and op.shapes[0][0] != op.shapes[1][0]


def _total(x: Tensor) -> Tensor:
    return x.sum(CHANNELS, keepdim=True)


def _single(local: ScaledMap, v: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """`sum M omega v` and `sum omega^2 v` where an output has one location below."""
    omega = local.up([b])
    return local.down(omega * v)[0], _total(omega * omega * v)


def _convolution(
    local: ScaledMap, op: Conv2d | ConvTranspose2d, v: Tensor, b: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """The same of a convolution: its taps are 1 x 1 maps between parts of the two layers."""
    weighed = [b if xs is None else b * xs[0] for xs, _ in local.groups]
    found, along = [torch.zeros_like(c) for _ in local.groups], torch.zeros_like(c[:, :, :1])
    for tap, above, below in _taps(op, local.shapes[0][1:], v.shape[3:]):
        groups = [
            [(share.expand(len(v), 1, *v.shape[2:])[..., *above], part) for share, part in terms]
            for _, terms in local.groups
        ]
        omega = reduce(torch.add, _raised(tap, [h[..., *below] for h in weighed], groups))
        carried = omega * v[..., *above]
        along[..., *below] += _total(carried * omega)
        for out, terms in zip(found, groups, strict=True):
            inside = out[..., *below]
            inside += tap.transpose(carried, terms, [inside.shape[2:]])[0]
    scaled = (out if xs is None else out * xs[0] for out, (xs, _) in zip(found, local.groups, strict=True))
    return reduce(torch.add, scaled), along


def _raised(tap: Conv2d, hs: Sequence[Tensor], groups: Sequence[Terms]) -> Iterator[Tensor]:
    for h, terms in zip(hs, groups, strict=True):
        for share, part in terms:
            yield split(tap.linear([merge(h)], part), len(h)) * share


def _taps(
    op: Conv2d | ConvTranspose2d, space: Sequence[int], outputs: Sequence[int]
) -> Iterator[tuple[Conv2d, tuple[slice, ...], tuple[slice, ...]]]:
    """Each tap as a 1 x 1 convolution, with the outputs that it has inside the input, and their inputs."""
    for at in product(*(range(k) for k in op.weight.shape[2:])):
        coarse, fine = (outputs, space) if isinstance(op, Conv2d) else (space, outputs)
        ends = [
            _overlap(place * d - pad, stride, size, few)
            for place, d, pad, stride, size, few in zip(
                at, op.dilation, op.padding, op.stride, fine, coarse, strict=True
            )
        ]
        if any(one.start >= one.stop for one, _ in ends):
            continue
        few, many = (tuple(axis) for axis in zip(*ends, strict=True))
        weight = op.weight[(..., *(slice(k, k + 1) for k in at))]
        if isinstance(op, Conv2d):
            yield replace(op, weight=weight, bias=None, origin=None, **_still(len(at))), few, many
        else:
            turned = weight.unflatten(0, (op.groups, -1)).transpose(1, 2).flatten(0, 1)
            yield Conv2d(turned, groups=op.groups), many, few


def _still(axes: int) -> dict[str, tuple[int, ...]]:
    return {"stride": (1,) * axes, "padding": (0,) * axes, "dilation": (1,) * axes}


def _overlap(offset: int, stride: int, size: int, outputs: int) -> tuple[slice, slice]:
    """The outputs q with `0 <= q stride + offset < size`, and those input locations."""
    first = max(0, -(offset // stride))
    last = min(outputs - 1, (size - 1 - offset) // stride)
    start = first * stride + offset
    return slice(first, last + 1), slice(start, start + (last - first) * stride + 1, stride)
