"""Many pictures: listed at once, each read where it is needed, none of them kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from conetheory.counts import checked_whole
from conetheory.errors import InputError
from conetheory.networks.edge import Model, as_network
from conetheory.networks.images import Entry, Images, listed, load_images, read_picture
from conetheory.networks.ops import Shape
from conetheory.networks.zoo import Network

HELD = 64  # pictures up to which all are held in memory: 40 MB of 3 x 224 x 224


class StreamedImages(Images):
    """Pictures by number, decoded whenever a part of them is asked for.

    A broken one in a folder keeps its number, is left out of every part, and told of once. `tensor` is all
    that can be read, at once.

    Parameters
    ----------
    entries
        their files.
    network
        whose preprocessing this is.
    told
        is given a line on a picture that is left out.
    """

    entries: tuple[Entry, ...]
    network: Network
    told: Callable[[str], object]
    _broken: set[int]
    _hashes: dict[Entry, bytes]

    def __init__(
        self, entries: Sequence[Entry], network: Network, told: Callable[[str], object] = lambda line: None
    ) -> None:
        labels = [entry.label for entry in entries if entry.label is not None]
        values = {
            "entries": tuple(entries),
            "network": network,
            "told": told,
            "names": tuple(entry.name for entry in entries),
            "labels": tuple(labels) if len(labels) == len(entries) else None,
            "skipped": (),
            "_broken": set(),
            "_hashes": {},
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"StreamedImages: {len(self)} pictures from {self.entries[0].path} on"

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def shape(self) -> Shape:
        return self.network.graph.input_shape

    @property
    def tensor(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """All that can be read, `(N, C, H, W)`: as much memory as it says."""
        return self.part(0, len(self))[1]

    def part(self, first: int, stop: int) -> tuple[list[int], Tensor]:
        """The numbers and the tensor of those from a number on, up to another, that can be read."""
        numbers, found = [], []
        for number in range(first, min(stop, len(self))):
            entry = self.entries[number]
            try:
                found.append(read_picture(entry.path, self.network))
            except InputError as error:
                if entry.explicit:
                    raise InputError(f"image {entry.path}: {error}") from error
                if number not in self._broken:
                    self._broken.add(number)
                    self.told(f"left out {entry.path}: {error}")
                continue
            numbers.append(number)
        return numbers, torch.stack(found) if found else torch.empty((0, *self.shape))

    def sha256(self, first: int, stop: int) -> str:
        """Of the files of some of them."""
        found = hashlib.sha256()
        for entry in self.entries[first:stop]:
            if entry not in self._hashes:
                self._hashes[entry] = _hash(entry.path)
            found.update(self._hashes[entry])
        return found.hexdigest()


def _hash(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        raise InputError(f"image {path} can't be read: {error.strerror}") from error


def stream_images(
    paths: Path | str | Sequence[Path | str] | None,
    network: Model,
    limit: int | None = None,
    told: Callable[[str], object] = lambda line: None,
) -> Images:
    """Pictures for a study: up to 64 as `load_images` reads them, more are read as they are needed.

    Of more than 64 the limit counts files, and a broken one in a folder is left out when it is met, with a
    line.

    Parameters
    ----------
    paths
        as `load_images` takes them.
    network
        whose preprocessing and classes these are.
    limit
        how many at most.
    told
        is given that line.

    Returns
    -------
    Images
        with names and labels.

    Raises
    ------
    InputError
        as `load_images`.
    """
    network = as_network(network)
    if limit is not None:
        checked_whole(limit, "the limit of images", 1)
    if paths is not None and (limit is None or limit > HELD):
        given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        entries = listed(given, network)[:limit]
        if len(entries) > HELD:
            return StreamedImages(entries, network, told)
    return load_images(paths, network, limit)
