"""A simulation as a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr


def table(dataset: xr.Dataset) -> Any:
    """A rich table: deficits at the last layer but one, simulated and closed form, and errors in decades.

    The columns: the median there, its closed form, the median and the worst of the errors over layers
    1 to there, the error at the last layer, and the paper's mean with its closed form.
    """
    from rich import box
    from rich.table import Table

    last = dataset.sizes["layer"] - 1
    title = f"deficit 1 - |cos| after {last - 1} layers; errors in decades"
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
