"""`conetheory rates`: how fast each operation of a network contracts, analytic beside power iteration."""

from __future__ import annotations

import json as json_format
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from conetheory.cli import console
from conetheory.cli.options import DRAWN, EVERYTHING, THEORIES, Drawing, Model, SeriesOptions
from conetheory.cli.values import whole

if TYPE_CHECKING:
    from pathlib import Path

    from conetheory.contraction import Rates
    from conetheory.progress import Progress

BUDGET = (
    "Vectors through the chain that may be spent; what is left out is named with its cost. "
    "Default: as many as cost what 400 do on VGG-16."
)


def run_rates(
    model: Model,
    /,
    *,
    start: Annotated[str, Parameter(metavar="LAYER", help="Start layer.", group=DRAWN)] = "logits",
    budget: Annotated[int | None, whole("N", BUDGET, 1), Parameter(group=THEORIES)] = None,
    everything: Annotated[bool, Parameter(help=EVERYTHING, group=THEORIES)] = False,
    drawing: Drawing = Drawing(),
    options: SeriesOptions = SeriesOptions(),
) -> None:
    """Rates of contraction, operation by operation, at the first image: where is the decision forgotten?"""
    from conetheory.chain import RelevanceChain
    from conetheory.cli.request import request
    from conetheory.contraction import Rates, rates
    from conetheory.runs.series import run_series

    asked = request("rates", model, options)
    passes = float("inf") if everything else budget
    settings = {"start": start, "vectors": drawing.vectors, "seed": drawing.seed, "passes": passes}

    def compute(name: str, progress: Progress) -> Rates:
        placed = {"device": asked.device, "dtype": asked.dtype, "parameters": asked.methods[name]}
        chain = RelevanceChain(asked.network, asked.images.tensor[:1], name, **placed)
        return rates(chain, **settings, progress=progress)

    found = run_series(asked, Rates, settings, compute)
    records = {name: found.of(name).records for name in map(str, found.dataset["method"].values)}
    (asked.folder / "rates.json").write_text(json_format.dumps(records, indent=1) + "\n")
    paths = [asked.folder / "rates.nc", asked.folder / "rates.json", *_drawn(found, asked.folder)]
    if options.output.json:
        print(json_format.dumps(records, indent=2))
        return
    _present(found)
    console.say(console.out(), f"Written: {', '.join(map(str, paths))}")


def _present(found: Rates) -> None:
    from conetheory.report.rate_tables import (
        file_legend,
        left_out_line,
        rate_legend,
        rate_sentence,
        rate_tables,
    )

    stdout = console.out()
    for name in map(str, found.dataset["method"].values):
        one = found.of(name)
        start = str(one.dataset["start"].values[0])
        for table in rate_tables(one.records, f"{name} from {start}"):
            console.show(stdout, table)
        legend = [*rate_legend(one.records), "In the files alone:", *file_legend()]
        for line in [*legend, rate_sentence(one.records)]:
            console.say(stdout, line)
        if line := left_out_line(one.left_out, one.spent):
            console.say(stdout, line)


def _drawn(found: Rates, out: Path) -> list[Path]:
    from conetheory.plotting.rates import rates_figure

    paths = []
    for name in map(str, found.dataset["method"].values):
        paths.append(out / f"rates-{name}.png")
        rates_figure(found.of(name).dataset).savefig(paths[-1], dpi=150)
    return paths
