"""Where a network and its weights are from: what is sent to workers in its place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from conetheory import networks
from conetheory.errors import InputError
from conetheory.networks import Network
from conetheory.networks.ops import Shape
from conetheory.runs.store import SHA256


@dataclass(frozen=True)
class Source:
    """A network by what `networks.load` takes, and the sha256 that its weights must have."""

    model: str
    weights: str | None
    shape: Shape | None
    name: str
    sha256: str

    @classmethod
    def of(
        cls, network: Network, model: str, weights: str | Path | None, shape: Shape | None = None
    ) -> Source:
        """Of a network that was loaded like that; a file of weights by its whole path."""
        given = None if weights is None else str(weights)
        if given is not None and Path(given).is_file():
            given = str(Path(given).resolve())
        return cls(model, given, shape, network.name, network.provenance.get(SHA256, ""))

    def fresh(self, seed: int, outputs: int) -> Network:
        """The same network as its authors initialise it."""
        names = [str(number) for number in range(outputs)]
        return networks.load(self.model, f"random:{seed}", self.shape, names)

    def load(self, device: str = "cpu") -> Network:
        """The network on a device, once in each process. `InputError` for other weights than are meant."""
        return _loaded(self, device)


@lru_cache(maxsize=1)
def _loaded(source: Source, device: str) -> Network:
    network = networks.load(source.model, source.weights, source.shape, name=source.name)
    found = network.provenance.get(SHA256, "")
    if found != source.sha256:
        raise InputError(
            f"{source.weights or source.model} has other weights on this worker "
            f"(sha256 {found[:12]}, not {source.sha256[:12]}): put the same file everywhere"
        )
    return network.to(device=device)
