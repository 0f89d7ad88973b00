"""What the frozen part of a network makes of pictures, computed once and kept in a folder.

Blocks of 256 pictures, float16, one `.npy` file each, which appears whole or not at all: an interrupted
computation goes on at the block where it was. Blocks are mapped into memory, not read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import ImageFolder

from conetheory.errors import InputError
from conetheory.progress import Progress, silent

BLOCK = 256  # pictures in a file
BATCH = 32  # pictures at a time


@dataclass(frozen=True, eq=False)
class Pictures:
    """Files in folders by class, with the number of each one's class and the classes' names."""

    paths: tuple[Path, ...]
    labels: Tensor
    classes: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path, limit: int | None = None, *, shuffled: bool = False) -> Pictures:
        """Those of `folder/CLASS/*`, or `limit` of them: evenly, or the first in an order drawn once for all.

        Raises `InputError`.
        """
        try:
            source = ImageFolder(str(folder))
        except FileNotFoundError as error:  # of folders without pictures too
            raise InputError(f"{folder} holds no pictures in folders by class") from error
        order = torch.arange(len(source))
        if shuffled:
            order = torch.randperm(len(source), generator=torch.Generator().manual_seed(0))
        elif limit:
            order = order[:: max(1, len(source) // limit)]
        chosen = [source.samples[i] for i in order[:limit].tolist()]
        labels = torch.tensor([label for _, label in chosen])
        return cls(tuple(Path(path) for path, _ in chosen), labels, tuple(source.classes))

    def blocks(self, count: int) -> Pictures:
        """The first `count` pictures, rounded up to whole blocks: those that a longer run has too."""
        return replace(self, paths=self.paths[: -(-count // BLOCK) * BLOCK])

    @property
    def sha256(self) -> str:
        """Over names and bytes of the files, in order."""
        digest = hashlib.sha256()
        for path in self.paths:
            digest.update(f"{path.parent.name}/{path.name}\n".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Features:
    """float16 rows, one for each picture, in blocks."""

    blocks: Sequence[np.ndarray]

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    def rows(self, index: Sequence[int]) -> Tensor:
        """Some rows in float32, `(len(index), C, H, W)`, channels last."""
        found = np.stack([self.blocks[i // BLOCK][i % BLOCK] for i in index])
        return torch.from_numpy(found).float().contiguous(memory_format=torch.channels_last)


def features(
    frozen: Callable[[Tensor], Tensor],
    pictures: Pictures,
    preprocess: Callable[[Image.Image], Tensor],
    folder: Path,
    *,
    mirrored: bool = False,
    progress: Progress = silent,
) -> Features:
    """`frozen` of every picture, or of its mirror image, from the files in `folder` where they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    total, blocks = len(pictures.paths), []
    for start in range(0, total, BLOCK):
        path = folder / f"{start // BLOCK:04}.npy"
        if not path.exists():
            chosen = pictures.paths[start : start + BLOCK]
            write_whole(path, _block(frozen, chosen, preprocess, mirrored))
            progress(folder.name, min(start + BLOCK, total), total)
        blocks.append(np.load(path, mmap_mode="r"))
    return Features(blocks)


def _block(
    frozen: Callable[[Tensor], Tensor], paths: Sequence[Path], preprocess: Any, mirrored: bool
) -> np.ndarray:
    parts = []
    for start in range(0, len(paths), BATCH):
        x = torch.stack([_read(path, preprocess) for path in paths[start : start + BATCH]])
        y = frozen((x.flip(-1) if mirrored else x).contiguous(memory_format=torch.channels_last))
        if not torch.isfinite(y.half()).all():
            raise InputError("features are not finite in float16: is this the network's trunk?")
        parts.append(y.half().contiguous().numpy())
    return np.concatenate(parts)


def _read(path: Path, preprocess: Callable[[Image.Image], Tensor]) -> Tensor:
    with Image.open(path) as image:
        return preprocess(image)


def write_whole(path: Path, array: np.ndarray) -> None:
    """A file that appears whole or not at all."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, array)
    partial.replace(path)
