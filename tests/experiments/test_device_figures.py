"""Operations against counts by hand; the rest on a processor, where a device agrees with itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from experiments import device_figures
from experiments.device_figures import Operations


def counted(compute) -> int:
    with Operations() as found:
        compute()
    return found.count


def test_products_and_convolutions_are_counted():
    a, b = torch.ones(3, 5), torch.ones(5, 7)
    assert counted(lambda: a @ b) == 2 * 3 * 5 * 7
    assert counted(lambda: a + a) == 0
    x, kernel = torch.ones(2, 3, 8, 8), torch.ones(4, 3, 3, 3)
    forward = 2 * (2 * 4 * 6 * 6) * (3 * 3 * 3)
    assert counted(lambda: torch.conv2d(x, kernel)) == forward
    with torch.inference_mode():
        assert counted(lambda: torch.conv2d(x, kernel)) == forward


def test_what_autograd_does_is_counted_too():
    x, kernel = torch.ones(2, 3, 8, 8, requires_grad=True), torch.ones(4, 3, 3, 3)
    twice = counted(lambda: torch.autograd.grad(torch.conv2d(x, kernel).sum(), x))
    once = 2 * (2 * 4 * 6 * 6) * (3 * 3 * 3)
    assert twice == 2 * once


def test_decades_between_deficits():
    here = xr.DataArray([1e-2, 1e-3, 1e-5, 1e-12, np.nan])
    there = xr.DataArray([1e-1, 1e-3, 2e-5, 1e-9, 1.0])
    found = device_figures.decades_apart(here, there)
    assert found == pytest.approx({"decades_from_cpu_median": np.log10(2), "decades_from_cpu_largest": 1.0})
    nothing = device_figures.decades_apart(here[3:], there[3:])
    assert set(nothing) == set(found)
    assert all(value is None for value in nothing.values())  # JSON has no nan


def test_an_account(monkeypatch):
    monkeypatch.setattr(device_figures, "peak", lambda device, dtype: 1000.0)
    asked = []

    def measure(device: str) -> xr.DataArray:
        asked.append(device)
        return xr.DataArray((torch.ones(3, 5) @ torch.ones(5, 2))[0].numpy() / 100)

    found = device_figures.account(measure, 20, 4.0, "cpu", torch.float32)
    assert asked == ["cpu", "cpu"]
    assert found == {
        "operations_per_image": 60,
        "operations_per_second": 300.0,
        "share_of_peak": 0.3,
        "decades_from_cpu_median": 0.0,
        "decades_from_cpu_largest": 0.0,
    }


def test_the_peak_is_a_rate():
    assert 1e6 < device_figures.peak("cpu", torch.float32) < 1e16
