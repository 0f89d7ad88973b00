"""The numbers behind the curves of the page, as plain data for its script. Absent numbers are null."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any

import numpy as np
import xarray as xr

from conetheory import schema
from conetheory.report.findings import Findings
from conetheory.results.comparison import Comparison
from conetheory.schema.labels import short_label

MARKS = ("circle", "diamond", "square")
STYLES = 8  # that the page has for theories
BOUNDS = {
    "certified": (schema.WORST, "certified, worst certified location"),
    "certified-median": (schema.TYPICAL, "certified, median of them"),
}
BANDS = {
    "measured-band": ("measured_band", "side", *schema.SIDES),
    "spread": ("measured_deficit_quantile", "quantile", 0.05, 0.95),
}


def payload(findings: Findings) -> dict[str, Any]:
    """`{curves, csc: [panels], sanity: [panels], exponent}`: deficits `1 - |cos|`, and similarities."""
    curves = [] if findings.comparison is None else curves_of(findings.comparison.dataset)
    csc = [] if findings.comparison is None else _csc(findings.comparison, curves)
    there = {key for panel in csc for key in panel["curves"]}
    shown = [curve for curve in curves if curve["key"] in there]
    return {
        "curves": [{k: v for k, v in curve.items() if k != "variable"} for curve in shown],
        "csc": csc,
        "sanity": [] if findings.sanity is None else _sanity(findings.sanity),
        "exponent": exponent(csc),
    }


def curves_of(data: xr.Dataset) -> list[dict[str, Any]]:
    """What can be drawn of a comparison: key, name, variable, and how. Bounds are steps."""
    predicted = [
        {
            **{"key": t.key, "name": t.label, "variable": t.predicted, "theory": True},
            **{"shape": MARKS[t.rank % len(MARKS)], "style": f"theory-{t.rank % STYLES}"},
        }
        for t in schema.theories(data)
    ]
    return [
        {"key": "measured", "name": "measured", "variable": schema.MEASURED, "shape": "none"},
        *predicted,
        *({"key": k, "name": name, "variable": v, "steps": True} for k, (v, name) in BOUNDS.items()),
        {"key": "baseline", "name": "random vectors", "variable": schema.BASELINE},
    ]


def exponent(panels: list[dict[str, Any]]) -> int:
    """The power of ten just below the smallest deficit that is drawn: the axis ends at 1 - 10^-exponent.

    The bound at the worst location and the random vectors are above the others.
    """
    drawn = [
        v for p in panels for key, c in p["curves"].items() if key not in ("certified", "baseline") for v in c
    ]
    values = [v for v in drawn if v is not None and v > 0]
    return max(1, math.ceil(0.05 - math.log10(min(values, default=0.1))))


def _csc(comparison: Comparison, known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    data = comparison.dataset
    panels = []
    for (method, start), rows in groupby(comparison.rows(), lambda r: (r["method"], r["start"])):
        layers = [row["layer"] for row in rows]
        one = data.sel({"method": method, "start": start, "layer": layers})
        curves = {c["key"]: _plain(one[c["variable"]]) for c in known if c["variable"] in one}
        bands = {
            key: [_plain(one[name].sel({dim: side})) for side in sides]
            for key, (name, dim, *sides) in BANDS.items()
            if name in one
        }
        labels = [short_label(str(label)) for label in one["label"].values]
        kept = {key: values for key, values in curves.items() if any(v is not None for v in values)}
        panels.append({"method": method, "start": start, "labels": labels, "curves": kept, "bands": bands})
    return panels


def _sanity(data: xr.Dataset) -> list[dict[str, Any]]:
    panels = []
    for method in data["method"].values:
        one = data.sel({"method": method})
        curves = {}
        for mode in one["mode"].values:
            for measure in one["measure"].values:
                chosen = {"mode": mode, "measure": measure}
                found = {"median": _plain(one["similarity_median"].sel(chosen))}
                if "similarity_band" in one:
                    band = one["similarity_band"].sel(chosen)
                    found |= {side: _plain(band.sel(side=side)) for side in ("lower", "upper")}
                if "rank_one_bound" in one and mode == "cascading":
                    found["structure"] = _plain(one["rank_one_bound"].sel(measure=measure))
                if any(v is not None for v in found["median"]):
                    curves[f"{mode}|{measure}"] = found
        labels = [short_label(str(n)) for n in (one["label"] if "label" in one else one["layer"]).values]
        if curves:
            panels.append({"method": str(method), "labels": labels, "curves": curves, "logit": _logits(one)})
    return panels


def _logits(one: xr.Dataset) -> dict[str, float]:
    """The median similarity to the map of a random other class, by measure."""
    if "random_logit" not in one:
        return {}
    values = {str(m): one["random_logit"].sel(measure=m).values for m in one["measure"].values}
    return {m: float(np.nanmedian(v)) for m, v in values.items() if np.isfinite(v).any()}


def _plain(values: xr.DataArray) -> list[float | None]:
    return [float(f"{v:.6g}") if math.isfinite(v) else None for v in values.values]
