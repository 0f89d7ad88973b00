"""The study: methods x images on one network, measured, predicted, certified, checked and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from conetheory.errors import ConeTheoryError
from conetheory.progress import Progress
from conetheory.results.comparison import Comparison
from conetheory.results.joining import join_methods
from conetheory.rules.repro import reproduced
from conetheory.runs import method as one_method
from conetheory.runs import store
from conetheory.runs.divided import Divided
from conetheory.runs.progress import note
from conetheory.runs.settings import Settings, check_applies


@dataclass(frozen=True)
class Study(Divided):
    """What `conetheory compare` and its parts do, for the command line and for a notebook.

    Parameters
    ----------
    network
        a module, a `Graph` or a `Network`.
    images
        preprocessed, with their names.
    methods
        `{name: parameters}`, all known to exist.
    out
        a folder, or None for results that are not kept.
    resume
        take up what the folder holds with the same settings.
    lenient
        a method that can't be run here is left out with its reason.
    settings
        what is done.
    command
        by which results are told apart in a folder.
    parts
        how it is divided into units, each of which is kept; None: a method is one piece of work.
    source
        where the network is from, if other processes can load it themselves.

    Raises
    ------
    InputError
        where nothing that is asked for says anything of a method, where `logits` are asked for of a
        trunk, which has none, and where `out` holds other results.
    """

    settings: Settings = field(default_factory=Settings)
    command: str = "compare"

    def __post_init__(self) -> None:
        super().__post_init__()
        if "logits" in self.settings.starts:
            _ = self.network.graph.classes
        for name in self.methods if not self.lenient else ():
            method = reproduced(name, self.settings.repro, parameters=self.methods[name])
            check_applies(method, self.settings)
        if self.out is not None:
            store.refuse_others([self.out / "comparison.nc", *map(self.path, self.methods)], self.origin)

    @property
    def origin(self) -> dict[str, str]:
        """What tells its results from those that must not be replaced."""
        return store.origin(self.command, self.network)

    def path(self, method: str) -> Path:
        """The file of a method."""
        return self.folder / f"{method}.nc"

    def run(self, client: Any = None, *, log_json: bool = False) -> Comparison:
        """Every method, joined; what can't be run is an error, or left out with a note if lenient.

        Parameters
        ----------
        client
            a dask `Client` (None: the one that is active here, if any), or an executor of
            `concurrent.futures`, by which units are computed.
        log_json
            tell of each unit by a line of JSON, for programs.

        Returns
        -------
        Comparison
            of all methods.

        Raises
        ------
        InputError
            where a method can't be run, and where units can't be kept or joined.
        """
        client = self.client(client)
        if self.parts is not None or client is not None:
            return Comparison(self.run_units(client, log_json).dataset)
        done = []
        for method in self.methods:
            try:
                done.append(self.run_method(method))
            except ConeTheoryError as error:
                if not self.lenient:
                    raise
                note(f"{method}: left out: {error}")
        return store.marked(join_methods(done), self.origin)

    def run_method(self, method: str) -> Comparison:
        """One method, from its file where that may be taken up; stages are saved as they are done."""
        if self.out is None:
            return self.timed(method, lambda progress: self._computed(method, progress))
        path, identity = self.path(method), self._identity(method)
        begun = self.taken_up(Comparison, method, path, identity)
        left = () if begun is None else store.left_of(begun)
        if begun is not None and not left:
            return begun

        def save(found: Comparison, left: Sequence[str] = ()) -> Comparison:
            return store.save(found, identity, path, left)

        options = {"save": save} | ({} if begun is None else {"begun": begun, "left": left})
        return save(self.timed(method, lambda progress: self._computed(method, progress, **options)))

    def _computed(self, method: str, progress: Progress, **options: Any) -> Comparison:
        settings = replace(self.settings, parameters=self.methods[method])
        options |= {"told": note}
        return one_method.run(self.network, self.images, method, settings, progress, **options)

    def _identity(self, method: str) -> dict[str, Any]:
        kept = asdict(self.settings).items()
        settings = {k: v for k, v in kept if k not in ("device", "batch", "parameters")}
        return self.identity(self.command, method, settings | {"dtype": str(self.settings.dtype)})
