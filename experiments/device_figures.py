"""What a device did with a piece of work: operations, share of its peak, and agreement with the processor.

Operations are those of convolutions and matrix products, counted by torch's formulas as they are called. The
peak is measured, a product of two square matrices of the same precision, and not taken from a data sheet.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

SIDE = {"cpu": 1024, "cuda": 8192}  # of the matrices whose product is timed
PRODUCTS = 5  # that are timed; the fastest counts
SMALLEST = 1e-7  # deficits below are rounding where maps are float32, and are not compared


class Operations(TorchDispatchMode):
    """Counts the additions and multiplications of what runs inside, as `count`."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        formula = flop_registry.get(func.overloadpacket)
        if formula is None:
            with self:  # what consists of other operations is counted by these
                found = func.decompose(*args, **kwargs)
            return func(*args, **kwargs) if found is NotImplemented else found
        out = func(*args, **kwargs)
        self.count += formula(*args, **kwargs, out_val=out)
        return out


def peak(device: str, dtype: torch.dtype) -> float:
    """Operations in a second of the fastest of a few products of square matrices."""
    side = SIDE["cuda" if device.startswith("cuda") else "cpu"]
    a = torch.ones(side, side, device=device, dtype=dtype)
    return 2 * side**3 / min(_seconds(lambda: a @ a, device) for _ in range(1 + PRODUCTS))


def _seconds(compute: Callable[[], object], device: str) -> float:
    begun = time.perf_counter()
    compute()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun


def decades_apart(here: xr.DataArray, there: xr.DataArray) -> dict[str, float | None]:
    """Median and largest `|log10|` of the quotient of deficits of the same layers.

    Deficits of which one is below `SMALLEST` are left out; with none left both are None.
    """
    large = (here > SMALLEST) & (there > SMALLEST)
    apart = np.abs(np.log10((here / there).values[large.values]))
    if not apart.size:
        return {"decades_from_cpu_median": None, "decades_from_cpu_largest": None}
    return {
        "decades_from_cpu_median": float(np.median(apart)),
        "decades_from_cpu_largest": float(apart.max()),
    }


def account(
    measure: Callable[[str], xr.DataArray], images: int, seconds: float, device: str, dtype: torch.dtype
) -> dict[str, float | None]:
    """measure: deficits of one image on a device. seconds: that so many images took there."""
    with Operations() as counted:
        here = measure(device)
    rate, best = counted.count * images / seconds, peak(device, dtype)
    found = {
        "operations_per_image": counted.count,
        "operations_per_second": rate,
        "share_of_peak": rate / best,
    }
    return found | decades_apart(here, measure("cpu"))
