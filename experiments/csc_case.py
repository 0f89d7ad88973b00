"""One network under the paper's CSC protocol: what is measured of a method, predicted and certified.

Every piece is one call of the main job and one file, which is taken up again where it was made of the same
network, images and settings.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from conetheory.chain.local import ENUMERABLE
from conetheory.networks import Images, Network
from conetheory.predict.registry import applies, theories
from conetheory.results.comparison import Comparison
from conetheory.rules.repro import reproduced
from conetheory.runs import store
from conetheory.runs.method import run
from conetheory.runs.settings import Settings
from experiments import device_figures
from experiments.method_table import parameters
from experiments.paper_networks import device_name

MAIN = ("lrp-alpha1beta0", "lrp-alpha2beta1")
MORE = (*MAIN, "gradient")  # methods that are measured on all images where the others have fewer


@dataclass(frozen=True)
class Protocol:
    """few: images for theory. many: vectors that it is held against there. others: images of methods that
    are not among `MORE` (None: all).
    positions: locations a layer of the local spectrum and of certificates where a column for each start unit
    is sent down; rows: the same where adjoint passes give the rows. batch: images that share a chain.
    """

    vectors: int = 5
    few: int = 8
    others: int | None = None
    many: int = 200
    positions: int = 30
    rows: int = 2
    batch: int = 8
    bootstrap: int = 100
    main: tuple[str, ...] = MAIN
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    patterns: Path | None = None
    account: bool = False


@dataclass(frozen=True, eq=False)
class Case:
    """One network with its images and the reference code's choices, and the folder of its pieces."""

    name: str
    network: Network
    images: Images
    protocol: Protocol
    out: Path
    repro: tuple[str, ...] = ()

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What every piece depends on."""
        digest = hashlib.sha256(self.images.tensor.numpy().tobytes()).hexdigest()
        return {"weights": self.network.provenance["weights_sha256"], "images": digest}

    def measured(self, method: str) -> Comparison:
        """All start layers, without theory."""
        images = self.images.tensor[: None if method in MORE else self.protocol.others]
        options = {"bootstrap": self.protocol.bootstrap, "theories": (), "certify": 0}
        return self._piece(method, method, images, starts=self.network.starts, **options)

    def theorised(self, method: str) -> Iterator[Comparison]:
        """Predictions and certificates, one start layer after the other, over the same images measured."""
        p = self.protocol
        rule = reproduced(method, self.repro, parameters=parameters(method, self.protocol.patterns))
        if not p.few or (
            not rule.nonnegative and all(applies(theory, rule) is not None for theory in theories())
        ):
            return
        few = self.images.tensor[: p.few]
        for start in self.network.starts if method in p.main else self.network.starts[:1]:
            options = {"vectors": p.many, "bootstrap": 0, "positions": self._positions(start)}
            yield self._piece(f"{method}-{start}", method, few, starts=(start,), **options)

    def banded(self, method: str) -> Iterator[Comparison]:
        """The local spectrum, where the plan has it, beside the measurement with its band, image by image."""
        start = self.network.starts[0]
        options = {"theories": ("local-spectrum",), "certify": 0, "positions": self._positions(start)}
        options |= {"starts": (start,), "bootstrap": self.protocol.bootstrap}
        for i, image in enumerate(self.images.tensor[: self.protocol.few].split(1)):
            yield self._piece(f"{method}-image{i}", method, image, **options)

    def _positions(self, start: str) -> int:
        units = int(np.prod(self.network.graph.shape(self.network.resolve(start))))
        return self.protocol.positions if units <= ENUMERABLE else self.protocol.rows

    def accounted(self, method: str, measured: Comparison) -> dict[str, Any]:
        """What the device did with a measurement."""
        p, data = self.protocol, measured.dataset

        def measure(device: str) -> xr.DataArray:
            options = {"bootstrap": 0, "theories": (), "certify": 0, "starts": self.network.starts}
            settings = self._settings(method, device=device, **options)
            found = run(self.network.to(device=device), self.images.tensor[:1], method, settings)
            return found.dataset["measured_deficit_median"]

        return device_figures.account(
            measure, int(data.attrs["images"]), float(data.attrs["seconds"]), p.device, p.dtype
        )

    def _settings(self, method: str, **options: Any) -> Settings:
        p = self.protocol
        shared = {"vectors": p.vectors, "batch": p.batch, "device": p.device, "dtype": p.dtype}
        shared |= {"repro": self.repro, "parameters": parameters(method, p.patterns)}
        return Settings(**(shared | options))

    def _piece(self, name: str, method: str, images: torch.Tensor, **options: Any) -> Comparison:
        """One call of the main job, from its file if it was made with the same settings."""
        p, settings = self.protocol, self._settings(method, **options)
        chosen = {k: str(v) for k, v in asdict(settings).items() if k not in ("device", "batch")}
        identity = self.identity | chosen | {"count": len(images)}
        path = store.folder(self.out / "parts" / self.name) / f"{name}.nc"
        found, _ = store.reusable(Comparison, path, method, identity)
        if found is None:
            begun = time.perf_counter()
            made = run(self.network, images, method, settings).dataset
            seconds = round(time.perf_counter() - begun, 2)
            made = made.assign_attrs(seconds=seconds, device=device_name(p.device), batch=p.batch)
            found = store.save(Comparison(made), identity, path)
        return found
