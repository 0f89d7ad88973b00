"""What the demo adds to the main job: maps, class sensitivity, randomisation, and the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from conetheory.cli import console
from conetheory.runs import store as files

if TYPE_CHECKING:
    from conetheory.cli.job import Job
    from conetheory.results.dataset import Result

PARTS = ("maps", "classes", "sanity")


def demo_files(out: Path) -> list[Path]:
    """What the demo writes beside the files of the main job."""
    return [out / f"{name}.nc" for name in PARTS]


def finish_demo(job: Job) -> list[Path]:
    """Write maps.nc, classes.nc, sanity.nc and report.html into the job's folder."""
    from conetheory.report import write_report
    from conetheory.results.joining import join_methods
    from conetheory.saliency.classes import class_sensitivity
    from conetheory.saliency.maps import explain_maps
    from conetheory.sanity import sanity_check

    network, images, names = job.network, job.images.tensor, list(job.images.names)
    with console.progress() as report:
        parts: dict[str, Callable[[str], Result]] = {
            "maps": lambda method: explain_maps(network, images, method, names=names),
            "classes": lambda method: class_sensitivity(network, images, method, names=names),
            "sanity": lambda method: sanity_check(network, images, method, names=names),
        }
        paths = demo_files(job.out)
        for done, (name, path) in enumerate(zip(PARTS, paths, strict=True)):
            report("maps, classes, randomisation", done, len(PARTS))
            whole = join_methods([parts[name](method) for method in job.methods])
            files.save(whole, job.origin, path)
    return [*paths, write_report(job.out)]
