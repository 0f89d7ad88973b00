"""The results of a folder, put together by network: what a report is made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import xarray as xr

from conetheory import schema
from conetheory.errors import InputError
from conetheory.results.comparison import Comparison, compare
from conetheory.results.dataset import Result
from conetheory.results.explanation import Explanation
from conetheory.results.joining import join_methods
from conetheory.results.verdict import Outcome, Verdict, verdicts
from conetheory.schema import WEIGHTS

KINDS = ("comparison", "sanity", "classes", "maps")


@dataclass(frozen=True)
class Findings:
    """One network with its weights, and the results that there are of it.

    Attributes
    ----------
    network
        its name.
    weights
        their sha256, empty where unknown.
    comparison
        measured, predicted and certified.
    sanity, classes, maps
        datasets of those results.
    sources
        the files, as (path under the folder, attributes).
    """

    network: str
    weights: str
    comparison: Comparison | None
    sanity: xr.Dataset | None
    classes: xr.Dataset | None
    maps: xr.Dataset | None
    sources: tuple[tuple[str, dict[str, Any]], ...]

    @classmethod
    def of(cls, comparison: Comparison) -> Findings:
        """Of one comparison alone, from wherever it is."""
        said = comparison.dataset.attrs
        network, weights = str(said.get("network", "unnamed")), str(said.get(WEIGHTS, ""))
        return cls(network, weights, comparison, None, None, None, (("", dict(said)),))

    @cached_property
    def verdicts(self) -> list[Verdict]:
        comparison = None if self.comparison is None else self.comparison.dataset
        return verdicts(comparison, self.sanity, self.classes)

    @cached_property
    def explanations(self) -> list[Explanation]:
        return [] if self.comparison is None else self.comparison.explanations

    @property
    def methods(self) -> list[str]:
        """All methods that any of the results knows, in their order."""
        parts = (self.comparison and self.comparison.dataset, self.sanity, self.classes, self.maps)
        return list(
            dict.fromkeys(str(m) for data in parts if data is not None for m in data["method"].values)
        )

    @property
    def headline(self) -> str:
        """The verdicts as one sentence."""
        groups = {outcome: [v for v in self.verdicts if v.outcome is outcome] for outcome in Outcome}
        words = {
            Outcome.DEPENDS: ("depends on the decision", "depend on the decision"),
            Outcome.SPATIAL: ("keeps only a spatial weighting of it", "keep only a spatial weighting of it"),
            Outcome.BLIND: ("does not depend on it", "do not depend on it"),
            Outcome.BORDERLINE: ("is borderline", "are borderline"),
            Outcome.OPEN: ("is not decided", "are not decided"),
        }
        found = [(words[o][len(vs) > 1], vs) for o, vs in groups.items() if vs]
        if not found:
            return f"{self.network}: no verdict, as nothing was measured of how far the maps differ"
        clauses = [f"{_named([v.method for v in vs])} {text}" for text, vs in found]
        if not groups[Outcome.DEPENDS]:
            clauses[0] = clauses[0].replace("weighting of it", "weighting of the decision")
            clauses[0] = clauses[0].replace("depend on it", "depend on the decision")
        return f"On {self.network}, {_listed(clauses, '; ')}."


def load_findings(folder: str | Path) -> list[Findings]:
    """Every result under a folder, by network and weights.

    Where a method is there twice, the joined and then the newest file is taken, and what others predict or
    certify of it is laid over its measurement. Files of other kinds are passed over.

    Parameters
    ----------
    folder
        looked through whole.

    Returns
    -------
    list of Findings
        one for each network with its weights.

    Raises
    ------
    InputError
        where there are no results.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of results")
    found = [(path, Result.load(path).dataset) for path in folder.rglob("*.nc")]
    known = [(path, data) for path, data in found if data.attrs.get("kind") in KINDS]
    if not known:
        raise InputError(f"{folder} holds no results to report: run demo, compare, sanity or explain first")
    known.sort(key=lambda one: str(one[1].attrs.get("created", "")), reverse=True)
    known.sort(key=lambda one: one[0].stem != one[1].attrs["kind"])
    networks: dict[tuple[str, str], list[tuple[str, xr.Dataset]]] = {}
    for path, data in known:
        key = str(data.attrs.get("network", "unnamed")), str(data.attrs.get(WEIGHTS, ""))
        networks.setdefault(key, []).append((path.relative_to(folder).as_posix(), data))
    return [_findings(*key, files) for key, files in sorted(networks.items())]


def _findings(network: str, weights: str, files: Sequence[tuple[str, xr.Dataset]]) -> Findings:
    parts: dict[str, list[xr.Dataset]] = {}
    used = []
    for kind in KINDS:
        found = [(path, data) for path, data in files if data.attrs["kind"] == kind]
        parts[kind], sources = (_laid_over if kind == "comparison" else _new_methods)(found)
        used += [(path, dict(data.attrs)) for path, data in found if path in sources]
    comparison, *others = (_joined(parts[kind]) for kind in KINDS)
    return Findings(
        network, weights, None if comparison is None else Comparison(comparison), *others, sources=tuple(used)
    )


def _new_methods(files: Sequence[tuple[str, xr.Dataset]]) -> tuple[list[xr.Dataset], list[str]]:
    """Of each file the methods that no earlier one has; and the files that have such."""
    seen: set[str] = set()
    kept, used = [], []
    for path, data in files:
        new = [m for m in data["method"].values if str(m) not in seen]
        seen |= {str(m) for m in new}
        if new:
            kept.append(data.sel({"method": new}))
            used.append(path)
    return kept, used


def _laid_over(files: Sequence[tuple[str, xr.Dataset]]) -> tuple[list[xr.Dataset], list[str]]:
    """A comparison for each method: of its first measurement, with what other files predict or certify of it;
    and the files that it is made of.
    """
    measured = sorted(files, key=lambda one: schema.MEASURED not in one[1])  # stable
    kept: dict[str, xr.Dataset] = {}
    used = []
    for path, data in measured:
        for method in map(str, data["method"].values):
            one = data.sel({"method": [method]})
            try:
                if method not in kept:
                    kept[method] = one
                elif _parts(one) - _parts(kept[method]):
                    kept[method] = compare(Result(kept[method]), Result(one)).dataset
                else:
                    continue
            except InputError:  # of other parameters, starts or layers: the first one counts
                continue
            used.append(path)
    return list(kept.values()), used


def _parts(data: xr.Dataset) -> set[str]:
    """Which of measurement, prediction and certificate a dataset holds values of."""
    return {
        said.part for name, said in schema.known(data).items() if said.part and data[name].notnull().any()
    }


def _joined(datasets: Sequence[xr.Dataset]) -> xr.Dataset | None:
    return join_methods([Result(data) for data in datasets]).dataset if datasets else None


def _named(methods: Sequence[str], most: int = 4) -> str:
    return _listed(methods) if len(methods) <= most else f"{len(methods)} methods"


def _listed(words: Sequence[str], comma: str = ", ") -> str:
    last: Callable[[str], str] = lambda text: f"{comma}{text}" if comma != ", " else f" and {text}"  # noqa: E731
    return comma.join(words[:-1]) + last(words[-1]) if len(words) > 1 else words[0]
