"""Commands that give one result for each method: the request, one file a method, their union."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conetheory.cli import console
from conetheory.runs import store as files
from conetheory.runs.store import Kind

if TYPE_CHECKING:
    import torch

    from conetheory.networks import Images, Network


Compute = Callable[[str, console.Report], Kind]


PARTS = "parts"  # folder of the files of single methods, beside the file of all


@dataclass(frozen=True)
class Request:
    """A network, images and methods `{name: parameters}` that are all known to exist."""

    network: Network
    images: Images
    methods: dict[str, dict[str, Any]]
    device: str
    dtype: torch.dtype
    out: Path
    resume: bool
    lenient: bool

    @property
    def names(self) -> list[str]:
        """The images' names, each used once."""
        taken: dict[str, int] = {}
        found = []
        for name in self.images.names:
            taken[name] = taken.get(name, 0) + 1
            found.append(name if taken[name] == 1 else f"{name} ({taken[name]})")
        return found


def run_series(asked: Request, kind: type[Kind], settings: dict[str, Any], compute: Compute[Kind]) -> Kind:
    """Every method's result, from its file where that may be taken up, and their union, saved as KIND.nc.

    Where all methods were asked for, one that can't be run here is left out with a note.
    """
    from conetheory.errors import ConeTheoryError, InputError
    from conetheory.results.joining import join_methods

    whole_path, parts = asked.out / f"{kind.kind}.nc", files.folder(asked.out / PARTS)
    paths = {method: parts / f"{kind.kind}-{method}.nc" for method in asked.methods}
    origin = files.origin(kind.kind, asked.network)
    files.refuse_others([whole_path, *paths.values()], origin)
    images = replace(asked.images, names=tuple(asked.names))
    settings = {"dtype": str(asked.dtype), **settings}
    done: list[Kind] = []
    for number, (method, parameters) in enumerate(asked.methods.items(), 1):
        identity = files.identity(kind.kind, asked.network, images, parameters, settings)
        try:
            done.append(one_result(kind, method, paths[method], identity, compute, resume=asked.resume))
        except ConeTheoryError as error:
            if not asked.lenient:
                raise
            console.note(f"{method}: left out: {error}")
            continue
        console.note(f"{method}: {number} of {len(asked.methods)} methods done")
    if not done:
        raise InputError("none of the methods can be run on this network")
    whole = join_methods(done)
    return files.save(whole, origin, whole_path)


def one_result(
    kind: type[Kind],
    method: str,
    path: Path,
    identity: dict[str, Any],
    compute: Compute[Kind],
    *,
    resume: bool,
) -> Kind:
    """A method's result, from its file where that may be taken up, else computed and written at once."""
    found, reason = files.reusable(kind, path, method, identity)
    if found is not None and resume:
        console.note(f"{method}: taken from {path}")
        return found
    if reason:
        console.note(f"{method}: {reason}; it is run again and replaced")
    begun, count = time.perf_counter(), len(identity["images"])
    with console.progress() as report:
        result = compute(method, report)
    plural = "" if count == 1 else "s"
    console.note(f"{method}: {count} image{plural} in {time.perf_counter() - begun:.1f} s")
    return files.save(result, identity, path)
