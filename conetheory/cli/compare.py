"""The main job from the command line: a study of what was asked for, and what it found as text."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from conetheory.chain.checks import device_of
from conetheory.cli import console
from conetheory.cli.division import parts_of, run_divided
from conetheory.cli.job import COMPARE, CSC, Job, Task
from conetheory.cli.options import CertifyOptions, TheoryOptions
from conetheory.cli.request import dtype_of, read_images, read_network
from conetheory.cli.values import bytes_of, distinct
from conetheory.errors import InputError
from conetheory.networks import Network
from conetheory.predict.registry import find, theories
from conetheory.report.comparison_tables import comparison_tables, method_table, summary_lines
from conetheory.report.origin_tables import origin_legend, origin_tables
from conetheory.results.comparison import Comparison
from conetheory.results.plan import CERTIFY, MEASURE, stages_in
from conetheory.results.verdict import verdicts
from conetheory.rules.repro import chosen
from conetheory.runs import store
from conetheory.runs.methods import ALL, chosen_methods
from conetheory.runs.progress import note
from conetheory.runs.settings import PLANNED, Settings
from conetheory.runs.source import Source
from conetheory.runs.study import Study

FAILED = 1  # the exit code where a verdict is one that --fail-if names
MANY = 3  # methods above which there is one row a method in place of a table each


def run_task(task: Task, job: Job) -> int:
    """Run one of the commands with the options that were given, and give its exit code."""
    study = study_of(task, job)
    found = run_divided(study, job.options.division)
    if found is None:
        return 0
    comparison = Comparison(found.dataset)
    present(task, comparison, store.write_all(comparison, study.folder), job.options.output.json)
    return failed(comparison, job.options.fail_if)


def failed(comparison: Comparison, outcomes: Sequence[str]) -> int:
    """The exit code: `FAILED` where a method's verdict is one of these, each named on stderr, else 0."""
    wanted = {outcome.upper() for outcome in outcomes}
    found = [v for v in verdicts(comparison.dataset) if v.outcome.name in wanted]
    for verdict in found:
        note(f"{verdict.method}: {verdict.text}")
    return FAILED if found else 0


def study_of(task: Task, job: Job) -> Study:
    """Check the cheap options first, then the network, its layers, the images and the folder."""
    asked, output = job.options, job.options.output
    device, dtype = device_of(asked.placement.device), dtype_of(asked.placement.dtype)
    asked_for = _asked_for(task, job)
    methods = chosen_methods(asked.methods.method, asked.methods.parameters)
    network = read_network(job.model, asked.network).to(device=device)
    images = read_images(network, asked.images, stream=True)
    settings = Settings(
        starts=_starts(task, network, asked.start),
        vectors=asked.drawing.vectors,
        seed=asked.drawing.seed,
        predict=job.theories.predict_images,
        positions=job.sample.positions,
        device=device,
        dtype=dtype,
        memory=None if asked.memory is None else bytes_of(asked.memory),
        **asked_for,
        repro=chosen(asked.methods.repro),
    )
    out = store.folder(output.out or Path("out") / (task.folder or f"{task.name}-{network.name}"))
    lenient = ALL in asked.methods.method
    kept = out, output.resume, lenient
    source = Source.of(network, job.model, asked.network.weights, asked.network.shape)
    divided = {"parts": parts_of(asked.division), "source": source}
    return Study(network, images, methods, *kept, settings=settings, command=task.name, **divided)


def present(
    task: Task, comparison: Comparison, paths: Sequence[Path], json: bool, last: str | None = None
) -> None:
    """Tables, verdicts, what else there is to say, and where it is written; or JSON and nothing else."""
    if json:
        whole = task.measures and task.predicts
        judged = {"verdicts": [one.record() for one in verdicts(comparison.dataset)]}
        words = {"explanation": [one.record() for one in comparison.explanations]}
        short = comparison.summary | judged | words
        print(json_format.dumps(short, indent=2) if whole else comparison.to_json())
        return
    stdout = console.out()
    many = comparison.dataset.sizes["method"] > MANY
    for table in [method_table(comparison)] if many else comparison_tables(comparison):
        console.show(stdout, table)
    for table in () if many else origin_tables(comparison):
        console.show(stdout, table)
    if task.measures:
        console.show_verdicts(stdout, verdicts(comparison.dataset), "Does the map depend on the decision?")
    said = [*summary_lines(comparison), *origin_legend(comparison), *([last] if last else [])]
    for one in comparison.explanations:
        console.say(stdout, f"{one.method} from {one.start}", "bold")
        console.say(stdout, f"{one.text}\n")
    for line in [*said, f"Written: {', '.join(map(str, paths))}; one .nc for each method"]:
        console.say(stdout, line)


def _asked_for(task: Task, job: Job) -> dict[str, Any]:
    """What is measured, predicted and certified, by options or by a file."""
    if job.plan.plan is not None:
        return _by_file(task, job)
    asked = {"measure": task.measures, "theories": _theories(task, job.theories)}
    budget = float("inf") if job.plan.everything else job.plan.budget
    return asked | {"certify": _certified(task, job.certified), "budget": budget}


def _by_file(task: Task, job: Job) -> dict[str, Any]:
    """The stages of `--plan`, as though each had been asked for by its name."""
    named = job.theories.theory or job.certified.certify_images is not None
    if job.plan.everything or job.plan.budget is not None or named:
        raise InputError("--plan says what is run: leave --theory, --certify-images, --budget and the like")
    stages = stages_in(cast(Path, job.plan.plan))
    theories = tuple(find(name).name for name in stages if name not in (MEASURE, CERTIFY))
    certify = int(CERTIFY in stages and task.certifies)
    return {"measure": task.measures and MEASURE in stages, "theories": theories, "certify": certify}


def _theories(task: Task, asked: TheoryOptions) -> tuple[str, ...] | None:
    """By name; None: those that the budget affords."""
    if not task.predicts:
        return ()
    names = {find(name).name for name in asked.theory}
    return tuple(name for name in theories() if name in names) or None


def _starts(task: Task, network: Network, asked: Sequence[str]) -> tuple[str, ...]:
    starts = asked or (network.starts if task is CSC else ("logits",))
    for start in starts:
        if network.resolve(start) == "input":
            raise InputError(f"start {start!r} has no layer below it")
    return tuple(distinct(starts, network.resolve))


def _certified(task: Task, asked: CertifyOptions) -> Any:
    """Images to certify: none, all (None), so many, or one where the budget affords it."""
    if not task.certifies:
        return 0
    if asked.certify_images == 0 and not task.measures:
        raise InputError("--certify-images must be at least 1 where nothing else is done, not 0")
    return PLANNED if asked.certify_images is None and task is COMPARE else asked.certify_images
