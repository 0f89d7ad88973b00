"""A comparison as tables and lines of text.

In the tables deficits are `1 - |cos|`, errors are in decades, and `worst` and `median` are the certified
lower bounds of the cosine, of nonnegative starts that arrive, at the worst and at the median certified
location; where these are a sample the heading says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from conetheory import schema
from conetheory.report import formats
from conetheory.results.comparison import Comparison
from conetheory.schema.labels import short_label

FEW = 2  # theories of which a table has the predictions beside the errors
THOROUGH = ("certified_share", "certified_tau_1_upper")  # columns that are explained where they are there
STYLE = {"title_justify": "left", "title_style": "bold", "box": SIMPLE_HEAD, "padding": (0, 1, 0, 0)}
Record = dict[str, Any]
Column = tuple[str, Callable[[Record], str]]


def comparison_tables(comparison: Comparison) -> Iterator[Table]:
    """One table for each method and start layer: a row for each layer, from output to input."""
    for (method, start), records in groupby(comparison.rows(), lambda r: (r["method"], r["start"])):
        rows = list(records)
        table = Table(title=f"{method} from {start}", **STYLE)
        columns = [c for c in _columns(comparison) if any(c[1](row) != "" for row in rows)]
        for heading, _ in columns:
            name = heading == "layer"
            table.add_column(
                heading, justify="left" if name else "right", no_wrap=not name, overflow="fold", min_width=6
            )
        for row in rows:
            table.add_row(*(cell(row) or "-" for _, cell in columns))
        yield table


def method_table(comparison: Comparison) -> Table:
    """One row for each method and start layer: what has become of the starts at the lowest layer."""
    rows = list(_lowest(comparison))
    label = rows[-1]["label"] if rows else ""
    table = Table(title=f"All methods at {label}", **STYLE)
    columns: list[Column] = [
        ("method", lambda r: r["method"]),
        ("start", lambda r: r["start"]),
        *_columns(comparison)[1:-1],
        _column(schema.WHOLE_MAPS, formats.deficit),
        _column(schema.BASELINE, formats.deficit),
    ]
    columns = [c for c in columns if any(c[1](row) != "" for row in rows)]
    for number, (heading, _) in enumerate(columns):
        table.add_column(heading, justify="left" if number < 2 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(cell(row) or "-" for _, cell in columns))
    return table


def _lowest(comparison: Comparison) -> Iterator[Record]:
    """The record of the lowest layer of each method and start."""
    for _, records in groupby(comparison.rows(), lambda r: (r["method"], r["start"])):
        *_, last = records
        yield last


def _amount(comparison: Comparison) -> list[str]:
    attributes = comparison.dataset.attrs
    if not {"images", "vectors"} <= set(attributes):
        return []
    images, vectors = attributes["images"], attributes["vectors"]
    where = "1 image" if images == 1 else f"each of {images} images"
    said = [f"measured: median of {schema.FORMULA} over pairs of {vectors} vectors on {where}"]
    if any(theory.error in comparison.dataset for theory in comparison.theories):
        alone = _errors_alone(comparison)
        said.append("of each theory log10(predicted / measured)" if alone else "errors in decades")
    if schema.WORST in comparison.dataset and bool(comparison.dataset[schema.WORST].notnull().any()):
        said.append("cos >=: certified for nonnegative starts")
    return ["; ".join(said)]


def _errors_alone(comparison: Comparison) -> bool:
    """Of many theories a table has the errors only: with the measurement they say what was predicted."""
    scored = any(theory.error in comparison.dataset for theory in comparison.theories)
    return scored and len(comparison.theories) > FEW


def _sampled(comparison: Comparison) -> bool:
    """Whether certified locations are a sample of those that there are."""
    certified, there = (comparison.total(name) for name in ("certified_positions", "locations"))
    return bool(certified and there and certified < there)


def _columns(comparison: Comparison) -> list[Column]:
    of = " of\nsample" if _sampled(comparison) else ""
    columns: list[Column] = [
        ("layer", lambda r: short_label(r["label"])),
        _column(schema.MEASURED, formats.deficit),
    ]
    for theory in comparison.theories:
        predicted = (_broken(theory.label), lambda r, t=theory.key: formats.deficit(r["predicted"][t]))
        heading = _broken(theory.label) if _errors_alone(comparison) else "error"
        error = (heading, lambda r, t=theory.key: formats.decades(r["error_decades"].get(t)))
        columns += [error] if _errors_alone(comparison) else [predicted, error]
    return [
        *columns,
        _cosine(schema.WORST, of),
        _cosine(schema.TYPICAL, of),
        _column("certified_share", formats.percent),
        _cosine(schema.MAP_UPPER),
        _column("certified_tau_1_upper", formats.ceiled, " <="),
        _cosine("certified_every_image_deficit_upper"),
        _column("dead_fraction", formats.percent),
    ]


def _column(name: str, form: Callable[[float | None], str], side: str = "") -> Column:
    return _broken(schema.declared_as(name).label) + side, lambda record: form(record.get(name))


def _cosine(name: str, of: str = "") -> Column:
    """A certified deficit, as the cosine that it leaves."""
    return f"{schema.declared_as(name).label}{of}\ncos >=", lambda r: formats.cosine_lower(r.get(name))


def _broken(label: str) -> str:
    """A heading with a line for each word."""
    return re.sub("[ -]", "\n", label)


def summary_lines(comparison: Comparison) -> list[str]:
    """How much was measured, the errors of each theory, violated bounds, and what could not be certified."""
    summary, lines = comparison.summary, _amount(comparison)
    labels = {theory.key: theory.label for theory in comparison.theories}
    for theory, median in summary["median_abs_error_decades"].items():
        if median is not None:
            p90, count = summary["p90_abs_error_decades"][theory], summary["layers_scored"][theory]
            lines.append(
                f"{labels[theory]}: |error| {median:.3f} decades at the median of {count} layers, "
                f"{p90:.3f} at the 90th percentile"
            )
    if summary.get("bounds_checked"):
        lines.append(
            f"certificates: {summary['violations']} violations in {summary['bounds_checked']} checks"
            f"{_nearest(comparison)}"
        )
    explained = [schema.declared_as(name) for name in THOROUGH if name in comparison.dataset]
    lines += [f"{said.label}: {said.meaning}" for said in explained]
    lines += _locations_said(comparison)
    for kind in schema.REASONS:
        entries = [entry for entry in comparison.not_applicable if entry["missing"] == kind.name]
        lines += [f"{kind.label}: {names}: {reason}" for reason, names in _by_reason(entries).items()]
    lines += [f"{method}: {said}" for method, plan in comparison.plans.items() if (said := plan.text())]
    for method, reason in comparison.not_predicted.items():
        lines.append(f"{schema.NOT_PREDICTED.label}: {method}: {reason}")
    return lines


def _nearest(comparison: Comparison) -> str:
    """How near the best of the starts that were tried came to a bound."""
    ratio = comparison.dataset.get("nearest_ratio")
    if ratio is None or not bool(ratio.notnull().any()):
        return ""
    return (
        f" by one-hot, optimised and random starts; the nearest came to {float(ratio.max()):.2f} of its bound"
    )


def _locations_said(comparison: Comparison) -> Iterator[str]:
    """Of which locations, and of which starts, certificates speak."""
    data = comparison.dataset
    if _sampled(comparison):
        certified, there = (comparison.total(name) for name in ("certified_positions", "locations"))
        yield f"certified at a sample of {certified} of {there} locations; more with --positions"
    worse = data.get("certified_worse_share_upper")
    if worse is not None and bool((worse > 0).any()):
        yield (
            f"the worst of a sample: at most {_percent_up(float(worse.max()))} of a layer's locations are "
            "worse (one-sided binomial bound, 95% confidence, each layer by itself)"
        )
    if partial := comparison.total("certified_partial_locations"):
        share = float(data["certified_arriving_share"].min())
        yield (
            f"at {partial} certified locations some starts arrive and others do not (at one layer only "
            f"{100 * share:.0f}% arrive at a location, on average): bounds are of those that do"
        )


def _by_reason(entries: list[dict[str, str]]) -> dict[str, str]:
    """Methods with their start layers by what prevents a certificate."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        found.setdefault(entry["reason"], []).append(f"{entry['method']} from {entry['start']}")
    return {reason: ", ".join(names) for reason, names in found.items()}


def sentence(comparison: Comparison, wanted: tuple[float, ...] = (0.9, 0.5)) -> str:
    """What the numbers say in words: from where maps are bound to agree, and to what degree."""
    parts = []
    for (method, start), records in groupby(comparison.rows(), lambda r: (r["method"], r["start"])):
        rows = list(records)
        name = "z+" if method == "lrp-alpha1beta0" else method
        what = "any two classes" if start == "logits" else f"any two nonnegative starts at {start}"
        parts.append(_certified_words(rows, name, what, wanted) or _measured_words(rows, name))
    return " ".join(parts)


def _certified_words(rows: list[Record], name: str, what: str, wanted: tuple[float, ...]) -> str:
    bounds = [r.get("certified_deficit_upper") for r in rows]
    for least in wanted:
        first = len(rows)
        while first > 0 and (bound := bounds[first - 1]) is not None and 1 - bound >= least:
            first -= 1
        if first < len(rows):
            worst, found = formats.cosine_lower(max(b for b in bounds[first:] if b is not None)), rows[first:]
            whose, beside = _those_that_arrive(found, what)
            return (
                f"From {found[0]['label']} down, {name} maps of {whose} agree to at least cos {worst} over "
                f"the channels at every certified location, whatever the network decides{beside}."
            )
    return ""


def _those_that_arrive(rows: list[Record], what: str) -> tuple[str, str]:
    """Of which starts a bound speaks: of all only where none fails to arrive; and what is said beside it."""
    partial = [r.get("certified_partial_locations") for r in rows]
    share = max(r.get("certified_worse_share_upper") or 0.0 for r in rows)
    worse = f" (a sample: at most {_percent_up(share)} of locations are worse)" if share else ""
    if not any(partial) and None not in partial:
        return what, worse
    count = sum(int(n) for n in partial if n is not None)
    beside = f"{worse}; at {count} of them some do not arrive, and differ" if count else worse
    return f"those {what.removeprefix('any two ')} that arrive", beside


def _percent_up(share: float) -> str:
    return f"{math.ceil(1000 * share) / 10:.1f}%"


def _measured_words(rows: list[Record], name: str) -> str:
    last = rows[-1]
    deficit = last.get("measured_deficit_median")
    if deficit is None:
        return f"For {name} nothing could be certified."
    return (
        f"For {name} there is no such guarantee; at {last['label']} the maps of two random starts have a "
        f"median cosine of {formats.cosine(deficit)}."
    )
