"""Transposed convolutions in float64, tap by tap, against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from conetheory.networks import unrolled
from conetheory.networks.unrolled import transposed

GEOMETRIES = [
    # kernel, stride, padding, dilation, input
    ((1, 1), (1, 1), (0, 0), (1, 1), (7, 6)),
    ((1, 1), (2, 2), (0, 0), (1, 1), (7, 6)),
    ((3, 3), (1, 1), (1, 1), (1, 1), (7, 6)),
    ((3, 3), (2, 2), (0, 0), (1, 1), (8, 7)),
    ((3, 2), (2, 3), (1, 0), (2, 1), (11, 9)),
    ((5, 5), (1, 1), (4, 3), (1, 1), (5, 6)),
    ((3, 3), (4, 4), (2, 2), (1, 1), (9, 13)),
    ((2, 2), (3, 3), (0, 0), (1, 1), (9, 10)),
]


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("numbers", [1, 2**19])
@pytest.mark.parametrize("fed", [[0], [1, 4], range(8)])
def test_it_is_the_transpose_of_the_convolution(geometry, numbers, fed, monkeypatch):
    """`<conv(x), y> = <x, transposed(y)>` for every x: the adjoint that autograd gives."""
    monkeypatch.setattr(unrolled, "NUMBERS", numbers)
    kernel, stride, padding, dilation, space = geometry
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(8, 3, *kernel, dtype=torch.float64, generator=generator)
    x = torch.zeros(5, 3, *space, dtype=torch.float64, requires_grad=True)
    out = F.conv2d(x, weight, None, stride, padding, dilation)
    y = torch.zeros_like(out)
    y[:, list(fed)] = torch.randn(5, len(fed), *out.shape[2:], dtype=torch.float64, generator=generator)
    (expected,) = torch.autograd.grad(out, x, y)
    found = transposed(y, weight, space, stride, padding, dilation)
    assert found.is_contiguous()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_a_channel_that_is_fed_beside_the_middle_row_is_not_left_out():
    y = torch.zeros(1, 8, 5, 4, dtype=torch.float64)
    y[0, 3, 0, 1] = y[0, 5, 4, 2] = 1.0
    weight = torch.arange(1.0, 17.0, dtype=torch.float64).view(8, 2, 1, 1)
    found = transposed(y, weight, (5, 4), (1, 1), (0, 0), (1, 1))
    assert torch.equal(found, torch.einsum("ncyx,co->noyx", y, weight[..., 0, 0]))
