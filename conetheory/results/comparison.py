"""Prediction against measurement: errors in decades, violated bounds, records by layer, the JSON summary."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from conetheory import schema
from conetheory.errors import InputError
from conetheory.results.dataset import Result
from conetheory.results.explanation import Explanation, explanations
from conetheory.results.plan import Plan, plans
from conetheory.results.writing import whole
from conetheory.schema import DEFICIT, DIMS, WEIGHTS, Theory, Variable
from conetheory.theory.enclosure import round_down

RESULTS = (schema.MEASURED, "certified_cos_lower")  # in every record, None where absent


class Comparison(Result):
    """Measured, predicted and certified CSC by method, start and layer."""

    kind = "comparison"

    @property
    def theories(self) -> list[Theory]:
        """Those that predict something here, the first in rank first."""
        return schema.theories(self.dataset)

    def rows(self) -> Iterator[dict[str, Any]]:
        """One record for each method, start and layer below the start, from output to input."""
        data = self.dataset
        known = schema.numbers(data)
        tables = {name: _table(data[name], [data.sizes[dim] for dim in DIMS]) for name in known}
        theories = self.theories
        labels = [str(label) for label in data["label"].values]
        axes = [[str(value) for value in data[dim].values] for dim in DIMS]
        for i, j, k in np.ndindex(*(len(axis) for axis in axes)):
            cell = {name: _finite(table[i, j, k]) for name, table in tables.items()}
            names = dict(zip(DIMS, (axes[0][i], axes[1][j], axes[2][k]), strict=True))
            record = {**names, "label": labels[k], **_record(cell, known, theories)}
            found = [record.get(n) for n in (*RESULTS, schema.WHOLE_MAPS)]
            if any(v is not None for v in (*found, *record["predicted"].values())):
                yield record

    @property
    def summary(self) -> dict[str, Any]:
        """Median and 90th percentile of |error| in decades over all rows; violated and checked bounds, where
        any were checked.
        """
        scored = [t for t in self.theories if t.error in self.dataset]
        errors = {t.key: np.abs(self.dataset[t.error].values).ravel() for t in scored}
        live = {t: e[np.isfinite(e)] for t, e in errors.items()}
        return {
            "median_abs_error_decades": {t: float(np.median(e)) if len(e) else None for t, e in live.items()},
            "p90_abs_error_decades": {
                t: float(np.quantile(e, 0.9)) if len(e) else None for t, e in live.items()
            },
            "layers_scored": {t: len(e) for t, e in live.items()},
            **({} if "checked" not in self.dataset else self._held),
        }

    @property
    def _held(self) -> dict[str, int | None]:
        return {"violations": self.total("violations"), "bounds_checked": self.total("checked")}

    @property
    def plans(self) -> dict[str, Plan]:
        """What was run of each method and what was left out, with the cost of each stage."""
        return plans(self.dataset)

    @property
    def not_applicable(self) -> list[dict[str, str]]:
        """`{missing, method, start, reason}` where a kind of certificate is missing (`schema.REASONS`)."""
        return [
            {"missing": kind.name, "method": str(m), "start": str(s), "reason": reason}
            for kind in schema.REASONS
            if (reasons := self.dataset.get(kind.name)) is not None
            for m in reasons["method"].values
            for s in reasons["start"].values
            if isinstance(reason := reasons.sel({"method": m, "start": s}).item(), str) and reason
        ]

    @property
    def not_predicted(self) -> dict[str, str]:
        """`{method: reason}` of the methods that no theory asked for says anything about."""
        reasons = self.dataset.get(schema.NOT_PREDICTED.name)
        if reasons is None:
            return {}
        found = zip(reasons["method"].values, reasons.values, strict=True)
        return {str(m): r for m, r in found if isinstance(r, str) and r}

    @property
    def explanations(self) -> list[Explanation]:
        """What the numbers say in words of each method and start layer (`results.explanation`)."""
        return explanations(self.dataset)

    def total(self, name: str) -> int | None:
        """The sum of a count over methods, starts and layers; None where it was not counted."""
        return int(self.dataset[name].sum()) if name in self.dataset else None

    def to_json(self, path: str | Path | None = None) -> str:
        """`{"layers": [...], "summary": {...}, "provenance": {...}, "explanation": [...]}`, without NaN."""
        content = {
            "layers": list(self.rows()),
            "summary": self.summary,
            "provenance": _plain(self.dataset.attrs),
        }
        if found := self.plans:
            content["plan"] = {method: plan.records() for method, plan in found.items()}
        if said := self.explanations:
            content["explanation"] = [one.record() for one in said]
        if self.not_applicable:
            content["not_applicable"] = self.not_applicable
        if self.not_predicted:
            content["not_predicted"] = self.not_predicted
        text = json.dumps(content, indent=2)
        if path is not None:
            with whole(Path(path)) as partial:
                partial.write_text(text + "\n")
        return text

    def to_dataframe(self) -> pd.DataFrame:
        """The rows as a table, `predicted_*` and `error_decades_*` of each theory beside the others."""
        nested = ("predicted", "error_decades")
        plain = ({k: v for k, v in row.items() if k not in nested} for row in self.rows())
        theirs = ({f"{k}_{t}": v for k in nested for t, v in row[k].items()} for row in self.rows())
        return pd.DataFrame([a | b for a, b in zip(plain, theirs, strict=True)])

    def plot(self, path: str | Path | None = None) -> Any:
        """The figure (see `plotting.csc`); saved where a path is given."""
        from conetheory.plotting.csc import csc_figure

        figure = csc_figure(self.dataset)
        if path is not None:
            with whole(Path(path)) as partial:
                figure.savefig(partial, dpi=150, format=Path(path).suffix[1:] or "png")
        return figure


def compare(measurement: Result, *others: Result) -> Comparison:
    """Lay predictions and certificates over a measurement: `error_decades = log10(predicted / measured)`.

    All must share the network and the layers; methods and start layers are matched by name. Images may
    differ, as predictions and certificates are often of the first few of those that were measured. A deficit
    measured as zero, or a prediction of zero, has no error in decades and is left out of the summary.

    Parameters
    ----------
    measurement
        the first result; without a measurement it gives the layers, and there are no errors.
    *others
        predictions, certificates, other measurements.

    Returns
    -------
    Comparison
        all of them, and `error_decades_*`.

    Raises
    ------
    InputError
        where layers, weights or a method's parameters differ.
    """
    base = measurement.dataset
    parts = [base]
    for other in others:
        _check_same(base, other.dataset)
        extra = other.dataset.drop_vars(list(schema.LABELS), errors="ignore")
        parts.append(extra.reindex({d: base[d] for d in DIMS}, fill_value=_fill(extra)))
    merged = xr.merge(parts, compat="override", combine_attrs="override", join="left")
    for theory in schema.theories(merged) if schema.MEASURED in merged else ():
        predicted, measured = merged[theory.predicted], merged[schema.MEASURED]
        usable = (predicted > 0) & (measured > 0)
        merged[theory.error] = np.log10(predicted.where(usable) / measured.where(usable))
        merged[theory.error].attrs = theory.variables[-1].attributes
    return Comparison(merged)


def _check_same(base: xr.Dataset, other: xr.Dataset) -> None:
    """Raise `InputError` where two results are known to be of different networks or rules."""
    if strangers := set(other["layer"].values) - set(base["layer"].values):
        raise InputError(
            f"layer {min(map(str, strangers))!r} is in one result only: other network or layers?"
        )
    one, two = (str(data.attrs.get(WEIGHTS, "")) for data in (base, other))
    if one and two and one != two:
        raise InputError(
            f"the results are of networks with different weights (sha256 {one[:12]} and {two[:12]}): "
            "compare results of one network"
        )
    for dim in ("method", "start"):
        here, there = (sorted(map(str, data[dim].values)) for data in (base, other))
        if not set(here) & set(there):
            raise InputError(
                f"the results have no {dim} in common: {', '.join(here)}; and {', '.join(there)}"
            )
    rules, others = _rules(base), _rules(other)
    for method in rules.keys() & others.keys():
        if rules[method] != others[method]:
            raise InputError(
                f"the results are of {method} with different parameters: {rules[method]} and {others[method]}"
            )


def _rules(data: xr.Dataset) -> dict[str, str]:
    """The methods' rules with their parameters, of those methods where they are known."""
    if "rule" not in data.coords:
        return {}
    rules = zip(data["method"].values, data["rule"].values, strict=True)
    return {str(method): rule for method, rule in rules if isinstance(rule, str) and rule}


def _table(values: xr.DataArray, sizes: Sequence[int]) -> np.ndarray:
    """A variable along method, start and layer; repeated along those that it does not depend on."""
    held = [dim for dim in DIMS if dim in values.dims]
    axes = tuple(slice(None) if dim in held else None for dim in DIMS)
    return np.broadcast_to(values.transpose(*held).values[axes], sizes)


def _record(
    cell: dict[str, float | None], known: Mapping[str, Variable], theories: Sequence[Theory]
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "predicted": {t.key: cell.get(t.predicted) for t in theories},
        "error_decades": {t.key: cell.get(t.error) for t in theories},
        **{name: None for name in RESULTS},
    }
    own = sorted(name for name, said in known.items() if not said.theory)
    return record | {name: cell[name] for name in own} | _cosines(cell, known)


def _cosines(cell: dict[str, float | None], known: Mapping[str, Variable]) -> dict[str, float | None]:
    """Certified cosines, rounded down, of certified deficits: `certified_cos_lower` and its like."""
    upper = {n: cell[n] for n, said in known.items() if said.side == "upper" and said.unit == DEFICIT}
    return {
        name.replace("deficit_upper", "cos_lower"): None if d is None else max(0.0, round_down(1 - d))
        for name, d in upper.items()
    }


def _fill(dataset: xr.Dataset) -> dict[str, Any]:
    return {str(k): "" if v.dtype == object else np.nan for k, v in dataset.data_vars.items()}


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _plain(attributes: dict[str, Any]) -> dict[str, Any]:
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in attributes.items() if k != "kind"}
