"""The numbers behind the curves of the page, as plain data for its script. Absent numbers are null."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any

import numpy as np
import xarray as xr

from conetheory.report.studies import Study

CURVES = (
    {"key": "measured", "name": "measured", "variable": "measured_deficit_median", "shape": "none"},
    {"key": "spectrum", "name": "local spectrum", "variable": "predicted_local_spectrum", "shape": "circle"},
    {"key": "two-scale", "name": "two-scale", "variable": "predicted_two_scale", "shape": "diamond"},
    {"key": "mean-field", "name": "mean-field", "variable": "predicted_mean_field", "shape": "square"},
    {
        "key": "certified",
        "name": "certified, worst certified location",
        "variable": "certified_deficit_upper",
        "steps": True,
    },
    {
        "key": "certified-median",
        "name": "certified, median of them",
        "variable": "certified_deficit_upper_median",
        "steps": True,
    },
    {"key": "baseline", "name": "random vectors", "variable": "baseline_deficit"},
)
BANDS = {
    "measured-band": ("measured_band", "side", "lower", "upper"),
    "spread": ("measured_deficit_quantile", "quantile", 0.05, 0.95),
}


def payload(study: Study) -> dict[str, Any]:
    """`{curves, csc: [panels], sanity: [panels], exponent}`: deficits `1 - |cos|`, and similarities."""
    csc = [] if study.comparison is None else _csc(study)
    there = {key for panel in csc for key in panel["curves"]}
    return {
        "curves": [
            {k: v for k, v in curve.items() if k != "variable"} for curve in CURVES if curve["key"] in there
        ],
        "csc": csc,
        "sanity": [] if study.sanity is None else _sanity(study.sanity),
        "exponent": exponent(csc),
    }


def exponent(panels: list[dict[str, Any]]) -> int:
    """The power of ten just below the smallest deficit that is drawn: the axis ends at 1 - 10^-exponent."""
    drawn = ("measured", "spectrum", "two-scale", "mean-field", "certified-median")
    values = [v for p in panels for key in drawn for v in p["curves"].get(key, ()) if v is not None and v > 0]
    return max(1, math.ceil(0.05 - math.log10(min(values, default=0.1))))


def _csc(study: Study) -> list[dict[str, Any]]:
    data = study.comparison.dataset
    panels = []
    for (method, start), rows in groupby(study.comparison.rows(), lambda r: (r["method"], r["start"])):
        layers = [row["layer"] for row in rows]
        one = data.sel({"method": method, "start": start, "layer": layers})
        curves = {c["key"]: _curve(one, c["variable"]) for c in CURVES if c["variable"] in one}
        bands = {
            key: [_plain(one[name].sel({dim: side})) for side in sides]
            for key, (name, dim, *sides) in BANDS.items()
            if name in one
        }
        labels = [str(label) for label in one["label"].values]
        kept = {key: values for key, values in curves.items() if any(v is not None for v in values)}
        panels.append({"method": method, "start": start, "labels": labels, "curves": kept, "bands": bands})
    return panels


def _curve(one: xr.Dataset, name: str) -> list[float | None]:
    return _plain(one[name])


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
        labels = [str(layer) for layer in (one["label"] if "label" in one else one["layer"]).values]
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
