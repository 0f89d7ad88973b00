"""One call: which explanations of a network depend on what it decides?"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor, nn

from conetheory import networks
from conetheory.chain.checks import checked_images, device_of
from conetheory.counts import checked_whole
from conetheory.errors import InputError
from conetheory.networks import Images, Network
from conetheory.networks.edge import Model, as_network, shape_of
from conetheory.report import html_of, write
from conetheory.report.findings import Findings
from conetheory.report.verdict_tables import MARKS
from conetheory.results.comparison import Comparison
from conetheory.results.explanation import Explanation
from conetheory.results.verdict import Verdict
from conetheory.rules.parameters import refuse_unknown
from conetheory.rules.registry import find
from conetheory.runs import store
from conetheory.runs.methods import ALL, chosen_methods
from conetheory.runs.settings import Settings
from conetheory.runs.study import Study

METHODS = ("lrp-alpha1beta0",)  # as on the command line


class Verdicts(Mapping[str, Verdict]):
    """The verdict on each method, under any of its names; as text, a line for each."""

    def __init__(self, found: Sequence[Verdict]) -> None:
        self._found = {verdict.method: verdict for verdict in found}

    def __getitem__(self, method: str) -> Verdict:
        return self._found[_named(method, self._found)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __str__(self) -> str:
        width = max(map(len, self._found), default=0)
        return "\n".join(f"{m:{width}}  {MARKS[v.outcome]} {v.text}" for m, v in self._found.items())

    __repr__ = __str__


class Explanations(tuple[Explanation, ...]):
    """One for each method and start layer; as text, a paragraph for each."""

    def __str__(self) -> str:
        return "\n".join(f"{one.method} from {one.start}: {one.text}" for one in self)

    __repr__ = __str__


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found of each method: numbers by layer in `comparison`, and what they say in `verdict`."""

    comparison: Comparison

    @cached_property
    def _findings(self) -> Findings:
        return Findings.of(self.comparison)

    @property
    def verdict(self) -> Verdicts:
        return Verdicts(self._findings.verdicts)

    @property
    def explanation(self) -> Explanations:
        """What the numbers say in words: where the decision is lost, to what, what is left, what helps."""
        return Explanations(self._findings.explanations)

    @property
    def summary(self) -> dict[str, Any]:
        """Errors of the theories in decades, and how many of the certified bounds were violated."""
        return self.comparison.summary

    def of(self, *methods: str) -> Audit:
        """The part of these methods, by any of their names. Raises `InputError`."""
        return Audit(self.comparison.of(*(_named(method, self.comparison.methods) for method in methods)))

    def to_dataframe(self) -> pd.DataFrame:
        """A row for each method, start and layer."""
        return self.comparison.to_dataframe()

    def plot(self, path: str | Path | None = None) -> Any:
        """The figure: measured, predicted and certified, layer by layer; saved where a path is given."""
        return self.comparison.plot(path)

    def report(self, path: str | Path) -> Path:
        """Write a report; the suffix is its format: .html, .md or .pdf. Raises `InputError`."""
        return write([self._findings], Path(path))

    def __str__(self) -> str:
        return f"{self._findings.headline}\n{self.verdict}\n\n{self.explanation}".rstrip()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_of(self._findings)


def audit(
    model: str | Model,
    images: Tensor | Images | str | Path | Sequence[str | Path] | None = None,
    methods: str | Sequence[str] = METHODS,
    *,
    weights: str | Path | None = None,
    limit: int | None = None,
    start: str | Sequence[str] = "logits",
    parameters: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    name: str | None = None,
    device: str = "auto",
    **settings: Any,
) -> Audit:
    """Measure, predict and certify whether explanations depend on the network's decision.

    Parameters
    ----------
    model
        a name, a module of yours (which is traced), a `Network` (see `networks.load`) or a `Graph`.
    images
        preprocessed `(N, C, H, W)`, or pictures: files or folders; None: the bundled photographs.
    methods
        names, or `all` for every registered method that the network allows.
    weights, limit
        as `networks.load` and `networks.load_images` take them.
    start
        layers that relevance starts from.
    parameters
        of rules; each goes to the methods that have it.
    out, resume
        a folder for what is found, stage by stage, and whether to take up what it holds.
    name
        what results call the network; None is its own name, or its class's.
    device
        auto (CUDA where there is some), cpu or cuda.
    **settings
        any other of `Settings`: vectors, seed, theories, certify, budget, dtype, ...

    Returns
    -------
    Audit
        a verdict on each method, and the numbers it rests on.

    Raises
    ------
    InputError
        for what can't be used as it is.
    """
    taken = {each.name for each in fields(Settings)} - {"starts", "parameters", "device"}
    refuse_unknown("audit", settings, taken | {*signature(audit).parameters} - {"settings"})
    device = device_of(device)
    network = _network(model, weights, images, name)
    pictures = _images(images, network, limit)
    network = network.to(device=device)
    starts = (start,) if isinstance(start, str) else tuple(start)
    names = [methods] if isinstance(methods, str) else list(methods)
    study = Study(
        network,
        pictures,
        chosen_methods(names, dict(parameters or {})),
        None if out is None else store.folder(Path(out)),
        resume,
        ALL in names,
        settings=Settings(starts=starts, device=device, **settings),
    )
    return Audit(study.run())


def _named(method: str, known: Collection[str]) -> str:
    """A method as results call it, which may be asked for by another of its names: `lrp-zplus`."""
    if method in known:
        return method
    try:
        return find(method).name
    except InputError:
        return method


def _network(model: str | Model, weights: Any, images: Any, name: str | None) -> Network:
    shape = shape_of(images.tensor if isinstance(images, Images) else images)
    if isinstance(model, str | nn.Module):
        return networks.load(model, weights, shape, name=name)
    network = as_network(model)
    return network if name is None else replace(network, name=name)


def _images(images: Any, network: Network, limit: int | None) -> Images:
    if isinstance(images, Images):
        return images
    if isinstance(images, Tensor):
        limit = None if limit is None else checked_whole(limit, "limit", 1)
        kept = checked_images(images, network.graph.input_shape)[:limit]
        return Images(kept, tuple(str(number) for number in range(len(kept))))
    return networks.stream_images(images, network, limit)
