"""What `conetheory sanity` and `classes` print of a method: numbers for JSON, text for the table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import xarray as xr

from conetheory import schema
from conetheory.results.class_distances import Classes, tracking
from conetheory.results.dataset import Sanity

CLASS_COLUMNS = (
    schema.DISTANCE,
    "class_distance_sampled",
    "predicted_class_distance",
    "class_distance_worst",
    "movable_share",
    "effective_rank",
)
# What others report of the same maps, in records alone: SSM of Maess et al. 2025, the diagnostic of CASE.
BESIDE = ("ssm", "top_overlap")
Record = dict[str, Any]


def sanity_records(sanity: Sanity) -> list[Record]:
    """By method: median SSIM after each cascade and what the chain below leaves of it, both by layer; the
    same with another logit; the rise of complexity (efficient MPRT). Where maps have no SSIM, as those of
    vectors, the first measure that there is (`shown_measure`), under its own name.
    """
    found, measure = [], shown_measure(sanity)
    for name in sanity.dataset["method"].values:
        one = sanity.dataset.sel({"method": name})
        curve = one["similarity_median"].sel({"mode": "cascading", "measure": measure})
        found.append(
            {
                "method": str(name),
                f"{measure}_median": _along(curve, "layer"),
                "rank_one_bound": _along(one["rank_one_bound"].sel({"measure": measure}), "layer"),
                f"random_logit_{measure}_median": _number(
                    one["random_logit_median"].sel({"measure": measure})
                ),
                "efficient_mprt_median": _number(one["efficient_mprt_median"]),
            }
        )
    return found


def shown_measure(sanity: Sanity) -> str:
    """SSIM, or the first measure of those that there are."""
    names = [str(name) for name in sanity.dataset["measure"].values]
    return "ssim" if "ssim" in names else names[0]


def sanity_rows(sanity: Sanity) -> list[dict[str, str]]:
    """The records as text, with what the chain below leaves in brackets."""
    rows, measure = [], shown_measure(sanity)
    for record in sanity_records(sanity):
        bounds = record["rank_one_bound"]
        cells = {
            f"from {layer}": f"{_text(value, '.3f')} ({_text(bounds[layer], '.2f')})"
            for layer, value in record[f"{measure}_median"].items()
        }
        logit, rise = record[f"random_logit_{measure}_median"], record["efficient_mprt_median"]
        rows.append(
            {
                "method": record["method"],
                **cells,
                "random logit": _text(logit, ".3f"),
                "eMPRT": _text(rise, "+.2f"),
            }
        )
    return rows


def class_records(classes: Classes) -> list[Record]:
    """By method: medians over the images; `pairs` has the distance of the asked pairs of classes, if any."""
    kept = (*CLASS_COLUMNS, *BESIDE, "pair_distance")
    medians = classes.dataset[[n for n in kept if n in classes.dataset]]
    medians = medians.median("image")
    found = []
    for name in medians["method"].values:
        one = medians.sel({"method": name})
        pairs = {"pairs": _along(one["pair_distance"], "pair")} if "pair_distance" in one else {}
        beside = {k: _number(one[k]) for k in BESIDE if k in one}
        numbers = {k: _number(one[k]) for k in CLASS_COLUMNS} | beside
        found.append({"method": str(name), **numbers, **pairs})
    return found


def class_rows(classes: Classes) -> list[dict[str, str]]:
    """The records as text."""
    return [
        {
            "method": record["method"],
            **{schema.declared_as(name).label: _text(record[name], ".3g") for name in CLASS_COLUMNS},
            **{f"pair {pair}": _text(value, ".3g") for pair, value in record.get("pairs", {}).items()},
        }
        for record in class_records(classes)
    ]


def tracking_sentence(classes: Classes) -> str:
    """How the predicted class distance follows the measured one over the methods."""
    found = tracking(classes)
    if found.methods < 3:
        return (
            f"Distances are {schema.FORMULA}; predicted: that of random classes, from the chain's spectrum "
            "alone."
        )
    return (
        f"Over {found.methods} methods with a prediction, its rank correlation with the distance of random "
        f"classes is {found.correlation:.3f} (95% interval {found.lower:.3f} to {found.upper:.3f})."
    )


def _along(values: xr.DataArray, dim: str) -> Mapping[str, float | None]:
    return {str(name): _number(value) for name, value in zip(values[dim].values, values.values, strict=True)}


def _number(value: Any) -> float | None:
    """None for NaN, which JSON does not have."""
    return None if math.isnan(value) else float(value)


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
