"""The units of a score, each computed once: a measurement, and what a theory knows after n images.

A measurement is of one image and one seed; its key is what it depends on: weights, image and its number,
method, start, layers, vectors, dtype. A theory's state is kept after each image; its key has the images so
far, and the code of the theory and of what it imports of `conetheory.predict` and `conetheory.theory`, so
that a changed theory is computed anew and no measurement with it.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import os
import pickle
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from torch import Tensor, nn

from conetheory.chain.relevance import RelevanceChain
from conetheory.measure.meter import CscMeter
from conetheory.networks.factory import is_factory, made
from conetheory.predict import Theory, find

MEASURED = 1  # of the measurement: one more where its numbers change
OF_A_THEORY = (
    "conetheory.predict.",
    "conetheory.theory.",
    "conetheory.chain.reach",
    "conetheory.rules.carried",
)
NOT_OF_IT = ("conetheory.predict.registry", "conetheory.predict.predictions", "conetheory.theory.theorems")


def default_cache() -> Path:
    """The user's cache folder, `XDG_CACHE_HOME` where it is set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "conetheory" / "scores"


def model_of(text: str) -> str | nn.Module:
    """A network's name as it is; what `module:factory` or `path/to/file.py:factory` makes."""
    return made(text) if is_factory(text) else text


def fingerprint(image: Tensor) -> str:
    """sha256 of a preprocessed image's numbers."""
    return hashlib.sha256(image.contiguous().numpy().tobytes()).hexdigest()


def code_of(theory: type[Theory]) -> str:
    """sha256 of the source of a theory's module and of what it imports of ours, however far."""
    sources: dict[str, str] = {}
    _gather(sys.modules[theory.__module__], sources)
    return hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()


def _gather(module: ModuleType, sources: dict[str, str]) -> None:
    sources[module.__name__] = _without_words(inspect.getsource(module))
    for value in vars(module).values():
        name = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)
        known = isinstance(name, str) and name.startswith(OF_A_THEORY) and name not in NOT_OF_IT
        if known and name not in sources:
            _gather(sys.modules[name], sources)


def _without_words(source: str) -> str:
    """Source without comments and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(getattr(node, "body", None), list):
            node.body = [each for each in node.body if not _is_text(each)]
    return ast.dump(tree)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


class Units:
    """Measurements and theories' states of one chain of images, from a folder or computed and put there.

    common: what every key has: weights, method, start, layers, vectors, dtype.
    """

    def __init__(self, folder: Path, **common: Any) -> None:
        self.folder, self.common = folder, common
        self.codes: dict[str, str] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def measured(
        self, chain: Callable[[], RelevanceChain], image: str, number: int, *, seed: int, bootstrap: int
    ) -> dict[str, np.ndarray]:
        """Histograms of the deficits at every layer, `(1 + bootstrap, bins)`, of one image and seed."""
        about = {**self.common, "image": image, "number": number, "seed": seed, "bootstrap": bootstrap}
        path = self._path("measured", {"version": MEASURED, **about}, "npz")
        if not path.is_file():
            options = {"vectors": self.common["vectors"], "layers": self.common["layers"]}
            meter = CscMeter([self.common["start"]], seed=seed, bootstrap=bootstrap, **options)
            meter.add(chain(), numbers=[number])  # its vectors are those of a run over all the images
            found = {layer: each.counts.astype(np.uint32) for (_, layer), each in meter.statistics.items()}
            _written(path, lambda file: np.savez_compressed(file, **found))
        with np.load(path) as saved:
            return {layer: saved[layer] for layer in saved.files}

    def theory(
        self, name: str, chains: Sequence[Callable[[], RelevanceChain]], images: Sequence[str], **options: Any
    ) -> tuple[Theory, float]:
        """A theory that has seen the images, and the seconds that it took for them.

        From the longest run of first images that is known; states are kept of 1, 2, 4, ... images and of the
        most.
        """
        self.codes.setdefault(name, code_of(find(name)))
        about = {**self.common, "name": name, "code": self.codes[name], "options": options}
        paths = [self._path(name, {**about, "images": images[: n + 1]}, "pickle") for n in range(len(images))]
        known = next((n for n in reversed(range(len(images))) if paths[n].is_file()), None)
        if known is None:
            theory, seconds = find(name)(self.common["start"], layers=self.common["layers"], **options), 0.0
        else:
            theory, seconds = pickle.loads(paths[known].read_bytes())
        for n in range(0 if known is None else known + 1, len(images)):
            chain, began = chains[n](), time.perf_counter()
            theory.add(chain)
            seconds += time.perf_counter() - began
            _written(paths[n], lambda file, state=(theory, seconds): pickle.dump(state, file))
            if n & (n - 1):  # images before this one, no power of two
                paths[n - 1].unlink(missing_ok=True)
        return theory, seconds

    def _path(self, kind: str, about: dict[str, Any], suffix: str) -> Path:
        digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()
        return self.folder / f"{kind}-{digest[:32]}.{suffix}"


def _written(path: Path, write: Callable[[Any], Any]) -> None:
    """All of a file or nothing, if the run is stopped."""
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        write(file)
    part.replace(path)
