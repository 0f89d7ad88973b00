"""The main job from the command line: a study of what was asked for, and what it found as text."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from conetheory import networks
from conetheory.chain.checks import device_of
from conetheory.cli import console
from conetheory.cli.options import Task, distinct
from conetheory.cli.request import DTYPES, given_parameters, one_of, read_images
from conetheory.errors import InputError
from conetheory.networks import Network
from conetheory.predict.registry import find, theories, usual
from conetheory.report.comparison_tables import comparison_tables, method_table, summary_lines
from conetheory.report.origin_tables import origin_legend, origin_tables
from conetheory.report.verdict_tables import verdict_tables
from conetheory.results.comparison import Comparison
from conetheory.results.verdict import verdicts
from conetheory.rules.repro import chosen
from conetheory.runs import store
from conetheory.runs.methods import ALL, chosen_methods
from conetheory.runs.settings import Settings
from conetheory.runs.study import Study

MANY = 3  # methods above which there is one row a method in place of a table each


def run_task(task: Task, given: dict[str, Any]) -> None:
    """Run one of the commands with the options that were given."""
    study = study_of(task, given)
    comparison = study.run()
    present(task, comparison, store.write_all(comparison, study.out), given["json"])


def study_of(task: Task, given: dict[str, Any]) -> Study:
    """Check the cheap options first, then the network, its layers, the images and the folder."""
    device, dtype = device_of(given["device"]), one_of("dtype", given["dtype"], DTYPES)
    asked, predicted = given["method"], _theories(task, given)
    methods = chosen_methods(asked, given_parameters(given))
    network = networks.load(given["model"], given.get("weights")).to(device=device)
    images = read_images(network, given)
    settings = Settings(
        starts=_starts(task, network, given.get("start")),
        vectors=given["vectors"],
        seed=given["seed"],
        theories=predicted,
        predict=given.get("predict_images"),
        certify=_certified(task, given),
        positions=given.get("positions"),
        device=device,
        dtype=dtype,
        measure=task.measures,
        repro=chosen(given.get("repro")),
    )
    out = store.folder(given["out"] or Path("out") / (task.folder or f"{task.name}-{network.name}"))
    options = {"settings": settings, "command": task.name}
    return Study(network, images, methods, out, given["resume"], ALL in asked, **options)


def present(
    task: Task, comparison: Comparison, paths: Sequence[Path], json: bool, last: str | None = None
) -> None:
    """Tables, verdicts, what else there is to say, and where it is written; or JSON and nothing else."""
    if json:
        whole = task.measures and task.predicts
        said = {"explanation": [one.record() for one in comparison.explanations]}
        short = comparison.summary | said
        typer.echo(json_format.dumps(short, indent=2) if whole else comparison.to_json())
        return
    stdout = console.out()
    many = comparison.dataset.sizes["method"] > MANY
    for table in [method_table(comparison)] if many else comparison_tables(comparison):
        stdout.print(table)
    for table in () if many else origin_tables(comparison):
        stdout.print(table)
    if task.measures:
        stdout.print(verdict_tables(verdicts(comparison.dataset), "Does the map depend on the decision?"))
    said = [*summary_lines(comparison), *origin_legend(comparison), *([last] if last else [])]
    for one in comparison.explanations:
        stdout.print(f"{one.method} from {one.start}", style="bold", markup=False)
        stdout.print(f"{one.text}\n", soft_wrap=True, markup=False)
    for line in [*said, f"Written: {', '.join(map(str, paths))}; one .nc for each method"]:
        stdout.print(line, soft_wrap=True, markup=False)


def _theories(task: Task, given: dict[str, Any]) -> tuple[str, ...]:
    if not task.predicts:
        return ()
    asked = [find(name).name for name in given.get("theory") or usual()]
    return tuple(name for name in theories() if name in asked)


def _starts(task: Task, network: Network, asked: list[str] | None) -> tuple[str, ...]:
    starts = asked or (network.starts if task.name == "csc" else ("logits",))
    for start in starts:
        if network.resolve(start) == "input":
            raise InputError(f"start {start!r} has no layer below it")
    return tuple(distinct(starts, network.resolve))


def _certified(task: Task, given: dict[str, Any]) -> int | None:
    """Images to certify: none, all (None), or so many."""
    if not task.certifies:
        return 0
    asked = given.get("certify_images")
    if asked == 0 and not task.measures:
        raise InputError("--certify-images must be at least 1 where nothing else is done, not 0")
    return 1 if asked is None and task.name == "compare" else asked
