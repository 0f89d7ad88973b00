"""Studies that give one result for each method: one file a method, their union."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from conetheory.errors import ConeTheoryError, InputError
from conetheory.progress import Progress
from conetheory.results.dataset import Result
from conetheory.results.joining import join_methods
from conetheory.runs import store
from conetheory.runs.divided import Divided
from conetheory.runs.division import Parts
from conetheory.runs.kinds import KINDS, JoinedImages
from conetheory.runs.merging import PARTS
from conetheory.runs.progress import note
from conetheory.runs.request import Request
from conetheory.runs.store import Kind

Compute = Callable[[str, Progress], Kind]
TOGETHER = 64  # images that are held at a time


@dataclass(frozen=True)
class Series(Request):
    """A request with the device and the dtype of the chains."""

    device: str = "cpu"
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class ImageSeries(Divided):
    """A request for what is found of each image by itself; `command` is one of `KINDS`, with its settings."""

    @property
    def dtype(self) -> torch.dtype:
        return self.settings.dtype

    def run(self, client: Any = None, *, log_json: bool = False) -> Result:
        """Every method's result, joined and saved as KIND.nc.

        Parameters
        ----------
        client, log_json
            as `Study.run` takes them.

        Returns
        -------
        Result
            of the kind that `command` names.
        """
        kind, client = KINDS[self.command].result, self.client(client)
        if self.parts is None and client is None:
            return run_series(self, kind, plain_settings(self.settings), self._computed)
        store.refuse_others([self.folder / f"{kind.kind}.nc"], store.origin(self.command, self.network))
        found = self.run_units(client, log_json)
        found.save(self.folder / f"{kind.kind}.nc")
        return found

    def _computed(self, method: str, progress: Progress) -> Any:
        joined = JoinedImages(self.command)
        for unit in replace(self.work, parts=Parts(TOGETHER)).units:
            if unit.method == method:
                joined.take(self.work.record(unit, progress), unit.name)
        return joined.result()


def plain_settings(settings: Any) -> dict[str, Any]:
    """Settings as JSON takes them, without what is the request's own."""
    plain = {k: v for k, v in asdict(settings).items() if k not in ("device", "dtype", "parameters")}
    return json.loads(json.dumps(plain))


def run_series(
    asked: Series | ImageSeries, kind: type[Kind], settings: dict[str, Any], compute: Compute[Kind]
) -> Kind:
    """Every method's result, from its file where that may be taken up, and their union, saved as KIND.nc.

    Where all methods were asked for, one that can't be run here is left out with a note.
    """
    settings = {"dtype": str(asked.dtype), **settings}
    whole_path, parts = asked.folder / f"{kind.kind}.nc", store.folder(asked.folder / PARTS)
    paths = {method: parts / f"{kind.kind}-{method}.nc" for method in asked.methods}
    origin = store.origin(kind.kind, asked.network)
    store.refuse_others([whole_path, *paths.values()], origin)
    done: list[Kind] = []
    for number, (method, path) in enumerate(paths.items(), 1):
        identity = asked.identity(kind.kind, method, settings)
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
