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
from itertools import product

import torch
from torch import Tensor

from conetheory.networks.ops import Conv2d, Linear
from conetheory.rules.maps import LocalMap, Same, ScaledMap

CHANNELS = 2


def carried_variances(
    local: LocalMap, v: Tensor, bs: Sequence[Tensor], cs: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """The variances at each input of `local`, for v at its output and b, c at its inputs."""
    squares = local.squared().down(v)
    if isinstance(local, Same):
        return squares
    if isinstance(local, ScaledMap) and isinstance(local.op, Conv2d):
        found = [_convolution(local, local.op, v, bs[0], cs[0])]
    elif isinstance(local, ScaledMap) and isinstance(local.op, Linear):
        found = [_single(local, v, bs[0])]
    else:
        found = [(b * w, _total(b * b * w)) for w, b in zip(squares, bs, strict=True)]
    return tuple(
        (w - 2 * c * cross + c * c * along).clamp(min=0)  # a sum of squares, but for rounding
        for w, c, (cross, along) in zip(squares, cs, found, strict=True)
    )


def _total(x: Tensor) -> Tensor:
    return x.sum(CHANNELS, keepdim=True)


def _single(local: ScaledMap, v: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """`sum M omega v` and `sum omega^2 v` where an output has one location below."""
    omega = local.up([b])
    return local.down(omega * v)[0], _total(omega * omega * v)


def _convolution(local: ScaledMap, op: Conv2d, v: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The same of a convolution: its taps are 1 x 1 maps between parts of the two layers."""
    cross, along = torch.zeros_like(c), torch.zeros_like(c[:, :, :1])
    for tap, above, below in taps(local, op, v):
        at_cross, at_along = _single(tap, v[..., *above], b[..., *below])
        cross[..., *below] += at_cross
        along[..., *below] += at_along
    return cross, along


def taps(
    local: ScaledMap, op: Conv2d, like: Tensor
) -> Iterator[tuple[ScaledMap, tuple[slice, ...], tuple[slice, ...]]]:
    """Each tap as a 1 x 1 map, with the outputs that it has inside the input, and their input locations.

    op: that of `local`; like: anything of the shape of relevance above.
    """
    channels, *space = local.shapes[0]
    for at in product(*(range(k) for k in op.weight.shape[2:])):
        ends = [
            _overlap(place * d - pad, stride, size, out)
            for place, d, pad, stride, size, out in zip(
                at, op.dilation, op.padding, op.stride, space, like.shape[-2:], strict=True
            )
        ]
        if any(above.start >= above.stop for above, _ in ends):
            continue
        above, below = (tuple(axis) for axis in zip(*ends, strict=True))
        one = replace(
            op, weight=op.weight[:, :, at[0] : at[0] + 1, at[1] : at[1] + 1], stride=(1, 1), padding=(0, 0)
        )
        groups = [
            (
                None if xs is None else [xs[0].expand(-1, -1, channels, *space)[..., *below]],
                [(share.expand(len(like), 1, *like.shape[2:])[..., *above], part) for share, part in terms],
            )
            for xs, terms in local.groups
        ]
        shape = (channels, *(a.stop - a.start for a in above))
        yield ScaledMap(replace(one, dilation=(1, 1)), [shape], groups), above, below


def _overlap(offset: int, stride: int, size: int, outputs: int) -> tuple[slice, slice]:
    """The outputs q with `0 <= q stride + offset < size`, and those input locations."""
    first = max(0, -(offset // stride))
    last = min(outputs - 1, (size - 1 - offset) // stride)
    start = first * stride + offset
    return slice(first, last + 1), slice(start, start + (last - first) * stride + 1, stride)
