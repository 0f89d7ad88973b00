"""Simulations as tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from conetheory.schema import FORMULA


def table(dataset: xr.Dataset) -> Any:
    """A rich table: deficits at the last layer but one, simulated and closed form, and errors in decades.

    The columns: the median there, its closed form, the median and the worst of the errors over layers
    1 to there, the error at the last layer, and the paper's mean with its closed form.
    """
    from rich import box
    from rich.table import Table

    last = dataset.sizes["layer"] - 1
    title = f"deficit {FORMULA} after {last - 1} layers; errors in decades"
    out = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    out.add_column("matrices", no_wrap=True)
    for heading in (
        "median",
        "closed\nform",
        "median\nerror",
        "worst\nerror",
        f"error\nat {last}",
        "paper's\nmean",
        "closed\nform",
    ):
        out.add_column(heading, justify="right", no_wrap=True)
    for name in dataset["variant"].values:
        one = dataset.sel(variant=name)
        median, mean = (one.sel(statistic=statistic) for statistic in ("median", "paper-mean"))
        errors = np.abs(median["error_decades"].values)
        deficits = [
            f"{float(part[kind][last - 1]):.1e}"
            for part in (median, mean)
            for kind in ("simulated", "closed_form")
        ]
        decades = [f"{x:.3f}" for x in (np.median(errors[1:last]), errors[1:last].max(), errors[last])]
        out.add_row(str(name), *deficits[:2], *decades, *deficits[2:])
    return out


def conv_table(dataset: xr.Dataset) -> Any:
    """A rich table of random convolutions: a row for each chain and kind of starts.

    The columns: the deficit at the last layer, drawn and by the recursion; the median and the worst of the
    recursion's errors over all layers, in decades; the powers of the depth that both fall by, and theory's.
    """
    from rich import box
    from rich.table import Table

    last = dataset.sizes["layer"] - 1
    title = f"deficit {FORMULA} after {last} layers; errors in decades; power of the depth"
    out = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    out.add_column("grid", no_wrap=True)
    out.add_column("starts", no_wrap=True)
    for heading in ("drawn", "recur-\nsion", "median\nerror", "worst\nerror", "power,\ndrawn"):
        out.add_column(heading, justify="right", no_wrap=True)
    out.add_column("recur-\nsion", justify="right", no_wrap=True)
    out.add_column("theory", justify="right", no_wrap=True)
    for chain in dataset["chain"].values:
        for start in dataset["start"].values:
            one = dataset.sel(chain=chain, start=start)
            errors = np.abs(one["error_decades"].values[1:])
            deficits = [f"{float(one[name][last]):.1e}" for name in ("simulated", "recursion")]
            powers = [float(one[f"exponent_{name}"]) for name in ("simulated", "recursion", "theory")]
            out.add_row(
                "x".join([str(int(one["side"]))] * int(one["dimensions"])),
                str(start),
                *deficits,
                *(f"{x:.3f}" for x in (np.median(errors), errors.max())),
                *("-" if np.isnan(x) else f"{x:.2f}" for x in powers),
            )
    return out
