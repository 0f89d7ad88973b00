"""Pictures from files and folders as a batch that a network takes."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from conetheory.counts import checked_seed, checked_whole
from conetheory.errors import InputError, one_line
from conetheory.networks.edge import Model, as_network, shape_of
from conetheory.networks.ops import Shape
from conetheory.networks.preprocess import to_rgb
from conetheory.networks.zoo import Network

SUFFIXES = frozenset(
    [".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"]
)
# colour photographs in scikit-image's wheel, everyday scenes first
PHOTOGRAPHS = (
    "chelsea.png",
    "coffee.png",
    "astronaut.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "retina.jpg",
    "hubble_deep_field.jpg",
    "ihc.png",
)


@dataclass(frozen=True, eq=False)
class Images:
    """A batch of preprocessed pictures.

    Attributes
    ----------
    tensor
        `(N, C, H, W)`, as the network takes it.
    names
        of the pictures.
    labels
        class indices, where known.
    skipped
        `(path, reason)` for each picture of a folder that couldn't be read.
    """

    tensor: Tensor
    names: tuple[str, ...]
    labels: tuple[int, ...] | None = None
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.tensor)

    @property
    def shape(self) -> Shape:
        """Of one of them."""
        return shape_of(self.tensor) or ()

    def part(self, first: int, stop: int) -> tuple[list[int], Tensor]:
        """Some of them, those that can be read.

        Parameters
        ----------
        first, stop
            from a number on, up to another.

        Returns
        -------
        tuple
            their numbers and their tensor.
        """
        some = self.tensor[first:stop]
        return list(range(first, first + len(some))), some

    def sha256(self, first: int, stop: int) -> str:
        """What some of them are made of, in short.

        Parameters
        ----------
        first, stop
            from a number on, up to another.

        Returns
        -------
        str
            the sha256 of their numbers, or of their files.
        """
        return hashlib.sha256(self.tensor[first:stop].contiguous().numpy().tobytes()).hexdigest()


@dataclass(frozen=True)
class Entry:
    """A picture's file, what it is called, the class that its folder says, whether it was named itself."""

    path: Path
    name: str
    label: int | None
    explicit: bool


def load_images(
    paths: Path | str | Sequence[Path | str] | None,
    network: Model,
    limit: int | None = None,
    seed: int | None = None,
) -> Images:
    """Read pictures with the network's own preprocessing.

    Greys, palettes, CMYK, 16-bit and transparent (over white) pictures become RGB, and EXIF orientation is
    applied. In an ImageFolder tree, `DIR/CLASS/*.jpg`, the labels are the network's outputs that the folders
    name, by class name or number, or in sorted order where there is one folder for each output. A broken
    picture in a folder is skipped and listed.

    Parameters
    ----------
    paths
        a picture, a folder (read recursively, sorted by path), or a sequence of both; None stands for
        `bundled_images`, always the first ones.
    network
        whose preprocessing and classes these are.
    limit
        how many at most.
    seed
        of a random choice of `limit` of them, in sorted order; None takes the first.

    Returns
    -------
    Images
        `(N, C, H, W)`, float32, with names, labels and what was skipped.

    Raises
    ------
    InputError
        for a broken picture that was named itself, a folder without readable pictures, and a path that
        doesn't exist.
    """
    network = as_network(network)
    if paths is None:
        return bundled_images(network, limit)
    if limit is not None:
        checked_whole(limit, "the limit of images", 1)
    if seed is not None:
        checked_seed(seed)
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    entries = listed(given, network)
    order = range(len(entries)) if seed is None else np.random.default_rng(seed).permutation(len(entries))
    read, skipped = _read_all(entries, order, network, limit)
    if not read:
        raise InputError(f"none of the {len(skipped)} images could be read; {skipped[0][0]}: {skipped[0][1]}")
    chosen = [entries[i] for i in sorted(read)]
    labels = [entry.label for entry in chosen if entry.label is not None]
    return Images(
        torch.stack([read[i] for i in sorted(read)]),
        tuple(entry.name for entry in chosen),
        tuple(labels) if len(labels) == len(chosen) else None,
        tuple(skipped),
    )


def bundled_images(network: Model, limit: int | None = None) -> Images:
    """The colour photographs that scikit-image's wheel carries (no download), everyday scenes first.

    Parameters
    ----------
    network
        whose preprocessing this is.
    limit
        how many at most.

    Returns
    -------
    Images
        without labels.

    Raises
    ------
    InputError
        where scikit-image, or its photographs, are missing.
    """
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("the bundled photographs are those of scikit-image, which is not installed")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    present = [folder / name for name in PHOTOGRAPHS if (folder / name).is_file()]
    if not present:
        raise InputError("this scikit-image carries no photographs; give a folder of images")
    return load_images(present, network, limit)


def listed(given: Sequence[Path | str], network: Network) -> list[Entry]:
    """The files of pictures and folders, unread. Raises `InputError`."""
    if "" in given:
        raise InputError("the path of an image is empty; the current folder is called '.'")
    entries = [entry for path in given for entry in _entries(Path(path), network)]
    if not entries:
        raise InputError("no images were given")
    return entries


def _read_all(
    entries: Sequence[Entry], order: Iterable[int], network: Network, limit: int | None
) -> tuple[dict[int, Tensor], list[tuple[str, str]]]:
    """Tensors by index, up to `limit` of them, and the broken ones that were met on the way."""
    read, skipped = {}, []
    for i in order:
        if len(read) == limit:
            break
        try:
            read[int(i)] = read_picture(entries[i].path, network)
        except InputError as error:
            if entries[i].explicit:
                raise InputError(f"image {entries[i].path}: {error}") from error
            skipped.append((str(entries[i].path), str(error)))
    return read, skipped


def read_picture(path: Path, network: Network) -> Tensor:
    """A picture as the network takes it, `(C, H, W)`. Raises `InputError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oddities in metadata; a broken picture raises
            with Image.open(path) as image:
                image = to_rgb(ImageOps.exif_transpose(image))
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        reason = one_line(error).replace(f" {str(path)!r}", " it")
        raise InputError(f"is broken or no picture ({reason})") from error
    return network.preprocess(image)


def _entries(path: Path, network: Network) -> list[Entry]:
    if not path.exists():
        raise InputError(f"image {path} does not exist")
    if not path.is_dir():
        return [Entry(path, path.name, None, explicit=True)]
    files = sorted(
        Path(folder) / file
        for folder, _, found in os.walk(path, followlinks=True)
        for file in found
        if Path(file).suffix.lower() in SUFFIXES and not file.startswith(".")
    )
    if not files:
        raise InputError(f"folder {path} holds no images ({', '.join(sorted(SUFFIXES))})")
    names = [file.relative_to(path) for file in files]
    labels = _labels(names, network)
    return [
        Entry(file, name.as_posix(), labels.get(name.parts[0]), explicit=False)
        for file, name in zip(files, names, strict=True)
    ]


def _labels(names: Sequence[Path], network: Network) -> dict[str, int]:
    """The output of each class folder, empty where the folders or the network don't say it."""
    folders = sorted({name.parts[0] for name in names})
    if any(len(name.parts) == 1 for name in names):
        return {}
    outputs, *space = network.graph.shape(network.graph.output)
    if space:  # of a trunk
        return {}
    classes = [plain_name(name) for name in network.classes or ()]
    if all(classes.count(plain_name(folder)) == 1 for folder in folders):
        return {folder: classes.index(plain_name(folder)) for folder in folders}
    if all(folder.isdecimal() and int(folder) < outputs for folder in folders):
        return {folder: int(folder) for folder in folders}
    return dict(zip(folders, range(outputs), strict=True)) if len(folders) == outputs else {}


def plain_name(name: str) -> str:
    """A class's name as it is compared: case, underscores and spaces around don't matter."""
    return name.lower().replace("_", " ").strip()
