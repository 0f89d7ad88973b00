"""Studies that give one result for each method: one file a method, their union."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from conetheory.errors import ConeTheoryError, InputError
from conetheory.progress import Progress
from conetheory.results.joining import join_methods
from conetheory.runs import store
from conetheory.runs.progress import note
from conetheory.runs.request import Request
from conetheory.runs.store import Kind

Compute = Callable[[str, Progress], Kind]
PARTS = "parts"  # folder of the files of single methods, beside the file of all


@dataclass(frozen=True)
class Series(Request):
    """A request with the device and the dtype of the chains."""

    device: str = "cpu"
    dtype: torch.dtype = torch.float32


def run_series(asked: Series, kind: type[Kind], settings: dict[str, Any], compute: Compute[Kind]) -> Kind:
    """Every method's result, from its file where that may be taken up, and their union, saved as KIND.nc.

    Where all methods were asked for, one that can't be run here is left out with a note.
    """
    whole_path, parts = asked.folder / f"{kind.kind}.nc", store.folder(asked.folder / PARTS)
    paths = {method: parts / f"{kind.kind}-{method}.nc" for method in asked.methods}
    origin = store.origin(kind.kind, asked.network)
    store.refuse_others([whole_path, *paths.values()], origin)
    done: list[Kind] = []
    for number, (method, path) in enumerate(paths.items(), 1):
        identity = asked.identity(kind.kind, method, {"dtype": str(asked.dtype), **settings})
        try:
            found = asked.taken_up(kind, method, path, identity)
            if found is None:
                found = asked.timed(method, lambda progress, name=method: compute(name, progress))
                found = store.save(found, identity, path)
            done.append(found)
        except ConeTheoryError as error:
            if not asked.lenient:
                raise
            note(f"{method}: left out: {error}")
            continue
        note(f"{method}: {number} of {len(asked.methods)} methods done")
    if not done:
        raise InputError("none of the methods can be run on this network")
    return store.save(join_methods(done), origin, whole_path)
