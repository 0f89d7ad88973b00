"""Commands that give one result for each method: the request, one file a method, their union."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from conetheory.cli import console, files

if TYPE_CHECKING:
    import torch

    from conetheory.networks import Images, Network
    from conetheory.results import Result

Kind = TypeVar("Kind", bound="Result")
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

    def identity(self, method: str, settings: dict[str, Any]) -> dict[str, Any]:
        """Everything that a method's result depends on."""
        return {
            "network": self.network.name,
            "weights_sha256": self.network.provenance["weights_sha256"],
            "images": self.names,
            "images_sha256": hashlib.sha256(self.images.tensor.numpy().tobytes()).hexdigest(),
            "dtype": str(self.dtype),
            "parameters": self.methods[method],
            **settings,
        }

    @property
    def names(self) -> list[str]:
        """The images' names, each used once."""
        taken: dict[str, int] = {}
        found = []
        for name in self.images.names:
            taken[name] = taken.get(name, 0) + 1
            found.append(name if taken[name] == 1 else f"{name} ({taken[name]})")
        return found


def request(command: str, given: dict[str, Any]) -> Request:
    """Check the options of a command, by name, before anything runs."""
    from conetheory import networks
    from conetheory.cli.chosen import ALL, chosen_methods, given_parameters
    from conetheory.cli.job import DTYPES, device_of, one_of, read_images

    device, dtype = device_of(given["device"]), one_of("dtype", given["dtype"], DTYPES)
    methods = chosen_methods(given["method"], given_parameters(given))
    network = networks.load(given["model"], given["weights"])
    images = read_images(network, given)
    out = files.folder(given["out"] or Path("out") / f"{command}-{network.name}")
    return Request(network, images, methods, device, dtype, out, given["resume"], ALL in given["method"])


def run_series(
    asked: Request,
    kind: type[Kind],
    settings: dict[str, Any],
    compute: Callable[[str, console.Report], Kind],
) -> Kind:
    """Every method's result, from its file where that may be taken up, and their union, saved as KIND.nc.

    Where all methods were asked for, one that can't be run here is left out with a note.
    """
    from conetheory.errors import ConeTheoryError, InputError
    from conetheory.joining import join_methods

    files.folder(asked.out / PARTS)
    done: list[Kind] = []
    for number, method in enumerate(asked.methods, 1):
        try:
            done.append(_one(asked, kind, method, settings, compute))
        except ConeTheoryError as error:
            if not asked.lenient:
                raise
            console.note(f"{method}: left out: {error}")
            continue
        console.note(f"{method}: {number} of {len(asked.methods)} methods done")
    if not done:
        raise InputError("none of the methods can be run on this network")
    whole = join_methods(done)
    whole.save(asked.out / f"{kind.kind}.nc")
    return whole


def _one(
    asked: Request,
    kind: type[Kind],
    method: str,
    settings: dict[str, Any],
    compute: Callable[[str, console.Report], Kind],
) -> Kind:
    path = asked.out / PARTS / f"{kind.kind}-{method}.nc"
    identity = asked.identity(method, settings)
    found, reason = files.reusable(kind, path, method, identity) if asked.resume else (None, "")
    if found is not None:
        console.note(f"{method}: taken from {path}")
        return found
    if reason:
        console.note(f"{method}: {reason}; run again")
    begun = time.perf_counter()
    with console.progress() as report:
        result = compute(method, report)
    console.note(f"{method}: {len(asked.images)} images in {time.perf_counter() - begun:.1f} s")
    return files.save(result, identity, path)
