"""What every study is asked: a network, images, methods, and where to keep what is found."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conetheory.errors import InputError
from conetheory.networks import Images, Network
from conetheory.networks.edge import as_network
from conetheory.progress import Progress
from conetheory.runs import store
from conetheory.runs.progress import note, shown
from conetheory.runs.store import SHA256, Kind


@dataclass(frozen=True)
class Request:
    """A network, images and methods `{name: parameters}` that are all known to exist.

    out: a folder, or None for results that are not kept. resume: take up what it holds with the same
    settings. lenient: a method that can't be run here is left out with its reason.
    """

    network: Network
    images: Images
    methods: dict[str, dict[str, Any]]
    out: Path | None = None
    resume: bool = False
    lenient: bool = False

    def __post_init__(self) -> None:
        network = as_network(self.network, self.images.shape)
        if self.out is not None and SHA256 not in network.provenance:
            raise InputError(
                "files are told apart by the sha256 of the weights, which a Graph doesn't say: "
                "give the module, a Network (networks.load), or no folder"
            )
        object.__setattr__(self, "network", network)

    @property
    def folder(self) -> Path:
        """Where what is found is kept. Raises `InputError` where nothing is."""
        if self.out is None:
            raise InputError("these results are kept: give a folder for them")
        return self.out

    @property
    def names(self) -> list[str]:
        """The images' names, each used once."""
        return store.distinct(self.images.names)

    def identity(self, command: str, method: str, settings: dict[str, Any]) -> dict[str, Any]:
        """Everything that a method's result depends on."""
        own = self.names, self.methods[method], settings
        return store.identity(command, self.network, self.images, *own)

    def taken_up(self, kind: type[Kind], method: str, path: Path, identity: dict[str, Any]) -> Kind | None:
        """A method's result, whole or in part, from its file where that may be taken up."""
        found, reason = store.reusable(kind, path, method, identity)
        if found is not None and self.resume:
            left = store.left_of(found)
            note(f"{method}: taken from {path}" + (f", without {', '.join(left)}" if left else ""))
            return found
        if reason:
            note(f"{method}: {reason}; it is run again and replaced")
        return None

    def timed(self, method: str, compute: Callable[[Progress], Kind]) -> Kind:
        """A method's result, with its progress shown and its time told."""
        begun, count = time.perf_counter(), len(self.images)
        with shown() as progress:
            result = compute(progress)
        plural = "" if count == 1 else "s"
        note(f"{method}: {count} image{plural} in {time.perf_counter() - begun:.1f} s")
        return result
