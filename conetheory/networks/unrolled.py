"""Transposed convolutions where torch has none of its own: in float64 on a CPU.

It multiplies a map by the weights there and adds up what comes out, number by number. Here a tap is added at
a time, in half to three quarters of the time for both, and channels without any relevance are left out, as
those of one-hot starts at a dense layer are, all but a few. Nothing is subtracted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

NUMBERS = 2**19  # that come out of the products at a time: they stay in a cache


def unrolled(y: Tensor) -> bool:
    """Whether torch multiplies unrolled windows here, for want of a convolution."""
    return y.device.type == "cpu" and y.dtype == torch.float64


def transposed(
    y: Tensor,
    weight: Tensor,
    space: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    """`sum_k W_(ko)^T y_k`, as `conv_transpose2d` without groups.

    Parameters
    ----------
    y : (vectors, channels, height, width)
        at the outputs of the convolution.
    weight : (channels, inputs, taps, taps)
        of the convolution.
    space
        height and width of its input.
    stride, padding, dilation
        its own.

    Returns
    -------
    (vectors, inputs, *space)
        contiguous.
    """
    y, weight = _fed(y, weight)
    maps, matrix = y.flatten(2), weight.permute(2, 3, 1, 0).flatten(0, 2)  # taps and inputs x channels
    kernel, inputs = weight.shape[2:], weight.shape[1]
    if tuple(kernel) == (1, 1) and tuple(space) == tuple(y.shape[2:]):
        return _times(matrix, maps).unflatten(2, space)
    out = y.new_zeros((len(y), inputs, *space))
    step = max(1, NUMBERS // max(1, len(matrix) * maps.shape[2]))
    for some, total in zip(maps.split(step), out.split(step), strict=True):
        windows = _times(matrix, some).view(len(some), -1, inputs, *y.shape[2:])
        for tap, ends in enumerate(_taps(kernel, y.shape[2:], space, stride, padding, dilation)):
            (above, below), (left, right) = ends
            total[:, :, below, right] += windows[:, tap, :, above, left]
    return out


def _times(matrix: Tensor, maps: Tensor) -> Tensor:
    """`matmul`, which copies maps first."""
    return torch.mm(matrix, maps[0])[None] if len(maps) == 1 else matrix.expand(len(maps), -1, -1).bmm(maps)


def _fed(y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Without the channels that have no relevance, where there are many: a row of the map tells at first."""
    channels = y.shape[1]
    if channels <= len(y) or 2 * int(y[:, :, y.shape[2] // 2].any(2).any(0).sum()) > channels:
        return y, weight
    fed = y.flatten(2).any(2).any(0).nonzero()[:, 0]
    if 2 * len(fed) > channels:
        return y, weight
    return y.index_select(1, fed), weight.index_select(0, fed)


def _taps(
    kernel: Sequence[int], outside: Sequence[int], inside: Sequence[int], *rest: Sequence[int]
) -> Iterator[list[tuple[slice, slice]]]:
    """For each tap, along both axes: the outputs that have an input under it, and these inputs."""
    for tap in product(*map(range, kernel)):
        yield [_ends(*axis) for axis in zip(tap, outside, inside, *rest, strict=True)]


def _ends(
    tap: int, outside: int, inside: int, stride: int, padding: int, dilation: int
) -> tuple[slice, slice]:
    """Output m is over input `stride m + dilation tap - padding`."""
    offset = dilation * tap - padding
    first = max(0, -(offset // stride))
    last = max(first, min(outside, (inside - 1 - offset) // stride + 1))
    return slice(first, last), slice(stride * first + offset, stride * (last - 1) + offset + 1, stride)
