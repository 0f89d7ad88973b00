"""The demo: the main job on the bundled network, with maps, classes, randomisation and the report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from conetheory.cli.compare import present, study_of
from conetheory.cli.job import Job, Task
from conetheory.report import write_report
from conetheory.report.comparison_tables import sentence
from conetheory.results.dataset import Result
from conetheory.results.joining import join_methods
from conetheory.runs import store
from conetheory.runs.progress import shown
from conetheory.runs.study import Study
from conetheory.saliency.classes import class_sensitivity
from conetheory.saliency.maps import explain_maps
from conetheory.saliency.pictures import PREDICTED, RUNNER_UP
from conetheory.sanity import sanity_check

MODEL = "cifar10_cnn"
METHODS = ("lrp-alpha1beta0", "lrp-alpha2beta1", "gradient")
PARTS: dict[str, Callable[..., Result]] = {
    "maps": partial(explain_maps, targets=(PREDICTED, RUNNER_UP)),
    "classes": class_sensitivity,
    "sanity": sanity_check,
}


def run_demo(task: Task, job: Job) -> None:
    """Measure, predict and certify three methods; then all the rest, and one page of it."""
    study = study_of(task, job)
    store.refuse_others([_path(study, part) for part in PARTS], study.origin)
    comparison = study.run()
    paths = [*store.write_all(comparison, study.folder), *_rest(study), write_report(study.folder)]
    present(task, comparison, paths, job.options.output.json, sentence(comparison))


def _rest(study: Study) -> list[Path]:
    """maps.nc, classes.nc and sanity.nc."""
    names = list(study.images.names)
    with shown() as progress:
        for done, (part, compute) in enumerate(PARTS.items()):
            progress("maps, classes, randomisation", done, len(PARTS))
            each = [compute(study.network, study.images.tensor, m, names=names) for m in study.methods]
            store.save(join_methods(each), study.origin, _path(study, part))
    return [_path(study, part) for part in PARTS]


def _path(study: Study, part: str) -> Path:
    return study.folder / f"{part}.nc"
