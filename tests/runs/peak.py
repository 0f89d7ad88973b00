"""The peak of memory of a study of so many images, in a process of its own; Linux only.

    python -m tests.runs.peak 20 150 > experiments/results/memory.json
    python -m tests.runs.peak files 100 5000 > experiments/results/memory-files.json

A tiny network on large images, of each of which everything is kept that a study can keep: what is predicted
and certified at all locations. Images are drawn where they are needed. With `files` many images are measured,
of which counts are kept: CIFAR-10's network and the gradient on files, which are read where they are needed,
in units of as many images as nobody asks for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from conetheory import networks
from conetheory.networks import Images
from conetheory.runs.division import Parts
from conetheory.runs.settings import Settings
from conetheory.runs.study import Study
from conetheory.runs.units import UnitFolder

ROOT = Path(__file__).parents[2]
SHAPE = (3, 48, 48)
METHODS = ("guided-backprop", "lrp-alpha1beta0")
SETTINGS = Settings(
    vectors=2,
    bootstrap=0,
    certify=None,
    positions=2**12,
    theories=("mean-field", "sampled-spectrum", "local-spectrum"),
)


class Noise(Images):
    """Images by number, none of them kept."""

    def __init__(self, count: int) -> None:
        for name, value in {"names": tuple(map(str, range(count))), "labels": None, "skipped": ()}.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int, ...]:
        return SHAPE

    def part(self, first: int, stop: int) -> tuple[list[int], torch.Tensor]:
        numbers = [*range(first, min(stop, len(self)))]
        draws = [torch.rand(SHAPE, generator=torch.Generator().manual_seed(n)) for n in numbers]
        return numbers, torch.stack(draws)

    def sha256(self, first: int, stop: int) -> str:
        return f"noise {first} {stop}"


def tiny() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 2, 3, padding=1)),
        *(nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8, 2)),
    )


def everything(count: int, folder: Path) -> Study:
    """All that can be kept of so many images."""
    network = networks.load(tiny(), input_shape=SHAPE, name="tiny")
    methods = {method: {} for method in METHODS}
    return Study(network, Noise(count), methods, folder / "out", settings=SETTINGS, parts=Parts(10))


def files(count: int, folder: Path) -> Study:
    """The measurement of so many files."""
    network, pictures = networks.load("cifar10_cnn"), folder / "pictures"
    pictures.mkdir()
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(pictures / f"{number:05}.png")
    images = networks.stream_images(pictures, network)
    settings = Settings(vectors=2, bootstrap=10, theories=(), certify=0)
    return Study(network, images, {"gradient": {}}, folder / "out", settings=settings, parts=Parts())


def measured(images: int, *kind: str) -> dict[str, Any]:
    """What a process of its own says of a study of so many images."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    command = [sys.executable, "-m", "tests.runs.peak", *kind, str(images)]
    found = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return json.loads(found.stdout)


def main(count: int, *kind: str) -> None:
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        found = (files if kind else everything)(count, Path(folder)).run()
        kept = sum(path.stat().st_size for path in UnitFolder(Path(folder) / "out").path.iterdir())
    lines = Path("/proc/self/status").read_text().splitlines()
    high = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    said = {"images": found.dataset.attrs["images"], "peak_bytes": 1024 * high, "kept_bytes": kept}
    print(json.dumps(said | {"cpu_seconds": round(time.process_time() - began, 1)}))


if __name__ == "__main__":
    kind = [text for text in sys.argv[1:] if text == "files"]
    counts = [int(text) for text in sys.argv[1 + len(kind) :]]
    if len(counts) == 1:
        main(*counts, *kind)
    else:
        studies = [measured(count, *kind) for count in counts]
        command = f"python -m tests.runs.peak {' '.join(sys.argv[1:])}"
        print(json.dumps({"command": command, "studies": studies}, indent=1))
