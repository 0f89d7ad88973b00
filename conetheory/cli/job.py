"""The main job from the command line: check everything first, run method by method, report."""

from __future__ import annotations

import json as json_format
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import typer

from conetheory import networks
from conetheory.chain.checks import device_of
from conetheory.cli import console
from conetheory.cli.chosen import ALL, chosen_methods, given_parameters
from conetheory.cli.demo import demo_files, finish_demo
from conetheory.cli.options import Task, distinct
from conetheory.errors import ConeTheoryError, InputError
from conetheory.networks import Images, Network
from conetheory.predict.theories import THEORIES
from conetheory.report.comparison_tables import comparison_tables, method_table, sentence, summary_lines
from conetheory.report.verdict_tables import verdict_tables
from conetheory.results.comparison import Comparison
from conetheory.results.joining import join_methods
from conetheory.results.verdict import verdicts
from conetheory.rules.repro import chosen, reproduced
from conetheory.runs import store as files
from conetheory.runs.series import one_result
from conetheory.runs.study import Settings, check_applies, run

DTYPES = {"float32": torch.float32, "float64": torch.float64}
MANY = 3  # methods above which there is one row a method in place of a table each
DEMO_METHODS = ["lrp-alpha1beta0", "lrp-alpha2beta1", "gradient"]


@dataclass(frozen=True)
class Job:
    """A request whose parts are all known to exist.

    methods: `{name: parameters}`. lenient: a method that can't be run here is left out with its reason.
    """

    command: str
    network: Network
    images: Images
    methods: dict[str, dict[str, Any]]
    settings: Settings
    out: Path
    resume: bool
    lenient: bool = False

    def settings_of(self, method: str) -> Settings:
        return replace(self.settings, parameters=self.methods[method])

    def identity(self, method: str) -> dict[str, Any]:
        """Everything that a method's result depends on."""
        kept = asdict(self.settings).items()
        settings = {k: v for k, v in kept if k not in ("device", "batch", "parameters")}
        settings["dtype"] = str(settings["dtype"])
        return files.identity(self.command, self.network, self.images, self.methods[method], settings)

    @property
    def origin(self) -> dict[str, str]:
        return files.origin(self.command, self.network)

    def path(self, method: str) -> Path:
        return self.out / f"{method}.nc"


def run_task(task: Task, model: str, given: dict[str, Any]) -> None:
    """Run one of the commands with the options that were given."""
    job = prepare(task, model, given)
    comparison = files.marked(join_methods(run_methods(job)), job.origin)
    paths = files.write_all(comparison, job.out)
    if task.name == "demo":
        paths += finish_demo(job)
    if given["json"]:
        whole = task.measures and task.predicts
        typer.echo(json_format.dumps(comparison.summary, indent=2) if whole else comparison.to_json())
        return
    stdout = console.out()
    many = len(job.methods) > MANY
    for table in [method_table(comparison)] if many else comparison_tables(comparison):
        stdout.print(table)
    if task.measures:
        stdout.print(verdict_tables(verdicts(comparison.dataset), "Does the map depend on the decision?"))
    for line in summary_lines(comparison):
        stdout.print(line, soft_wrap=True, markup=False)
    if task.name == "demo":
        stdout.print(sentence(comparison), soft_wrap=True, markup=False)
    stdout.print(
        f"Written: {', '.join(map(str, paths))}; one .nc for each method", soft_wrap=True, markup=False
    )


def prepare(task: Task, model: str, given: dict[str, Any]) -> Job:
    """Check the cheap options first, then the network, its layers, the images and the folder."""
    demo = task.name == "demo"
    asked, device = (DEMO_METHODS if demo else given["method"]), device_of(given["device"])
    dtype = one_of("dtype", given["dtype"], DTYPES)
    theories = _theories(task, given)
    methods = chosen_methods(asked, given_parameters(given))
    network = networks.load(model, given.get("weights")).to(device=device)
    images = read_images(network, given)
    settings = Settings(
        starts=_starts(task, network, given.get("start")),
        vectors=given["vectors"],
        seed=given["seed"],
        theories=theories,
        predict=given.get("predict_images"),
        certify=_certified(task, given),
        positions=given.get("positions"),
        device=device,
        dtype=dtype,
        measure=task.measures,
        repro=chosen(given.get("repro")),
    )
    out = given["out"] or Path("out") / ("demo" if demo else f"{task.name}-{network.name}")
    job = Job(task.name, network, images, methods, settings, files.folder(out), given["resume"], ALL in asked)
    for method in methods:
        if not job.lenient:
            check_applies(reproduced(method, settings.repro, **methods[method]), settings)
    written = [out / "comparison.nc", *map(job.path, methods), *(demo_files(out) if demo else ())]
    files.refuse_others(written, job.origin)
    return job


def run_methods(job: Job) -> list[Comparison]:
    """Every method; what can't be run is an error, or left out with a note where all were asked for."""
    done = []
    for method in job.methods:
        try:
            done.append(run_method(job, method))
        except ConeTheoryError as error:
            if not job.lenient:
                raise
            console.note(f"{method}: left out: {error}")
    return done


def run_method(job: Job, method: str) -> Comparison:
    """One method, from its file where that may be taken up; the file is written as soon as it is done."""

    def compute(method: str, report: console.Report) -> Comparison:
        return run(job.network, job.images.tensor, method, job.settings_of(method), report)

    return one_result(Comparison, method, job.path(method), job.identity(method), compute, resume=job.resume)


def read_images(network: Network, given: dict[str, Any]) -> Images:
    images = networks.load_images(given.get("images") or None, network, given["limit"])
    for path, reason in images.skipped:
        console.note(f"left out {path}: {reason}")
    return images


def _theories(task: Task, given: dict[str, Any]) -> tuple[str, ...]:
    if not task.predicts:
        return ()
    for name in given.get("theory") or ():
        one_of("theory", name, THEORIES)
    return tuple(name for name in THEORIES if name in (given.get("theory") or THEORIES))


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


def one_of(what: str, name: str, known: dict[str, Any]) -> Any:
    if name not in known:
        raise InputError(f"unknown {what} {name!r}; known: {', '.join(known)}")
    return known[name]
