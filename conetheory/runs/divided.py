"""A request that comes in units, each a method and a block of images, wherever they are computed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from conetheory.results.dataset import Result
from conetheory.runs.clients import active_client
from conetheory.runs.computing import compute
from conetheory.runs.division import Parts, Shard
from conetheory.runs.merging import joined_study
from conetheory.runs.request import Request
from conetheory.runs.source import Source
from conetheory.runs.units import UnitFolder, Work


@dataclass(frozen=True)
class Divided(Request):
    """What is asked, how it is divided and how it is called.

    settings: what is done. command: by which results are told apart in a folder. parts: how it is divided
    into units, each of which is kept; None: a method is one piece of work. source: where the network is from,
    if other processes can load it themselves.
    """

    settings: Any = None
    command: str = ""
    parts: Parts | None = None
    source: Source | None = None

    @cached_property
    def work(self) -> Work:
        """What is asked as its units see it."""
        named = self.network, self.images, self.methods, self.settings, self.parts or Parts()
        return Work(*named, command=self.command, lenient=self.lenient, source=self.source)

    def run_shard(self, shard: Shard, client: Any = None, *, log_json: bool = False) -> None:
        """Compute one shard's units into the folder, those that are not there yet.

        `runs.merging.merge` joins them.

        Parameters
        ----------
        shard
            which, of how many.
        client, log_json
            as `run` takes them.

        Raises
        ------
        InputError
            for units of another study in the folder.
        """
        mine, units = shard.share(self.work.units), UnitFolder(self.folder)
        compute(self.work, mine, units, str(shard), client=self.client(client), log_json=log_json)

    def client(self, given: Any) -> Any:
        """Who computes: who is given, else the dask client that is active here; None: this process."""
        return active_client() if given is None else given

    def run_units(self, client: Any, log_json: bool) -> Result:
        """All units, and their results joined; units that nobody wants to keep lie in a folder that goes."""
        if self.out is not None:
            return self._through(self.out, self.out, client, log_json)
        with tempfile.TemporaryDirectory() as folder:
            return self._through(Path(folder), None, client, log_json)

    def _through(self, folder: Path, out: Path | None, client: Any, log_json: bool) -> Result:
        units = UnitFolder(folder)
        compute(self.work, self.work.units, units, client=client, log_json=log_json)
        return joined_study(units, str(units.path), out)
