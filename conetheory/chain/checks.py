"""What a chain is given, checked: dtype, device, images and start vectors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from conetheory.errors import InputError, one_line
from conetheory.networks.ops import Shape

Start = Tensor | Callable[[Shape], Tensor]


class Placement(TypedDict, total=False):
    """In which dtype and on which device a chain is; those of the images where it isn't said."""

    dtype: torch.dtype | None
    device: str | torch.device | None


def checked_dtype(dtype: Any) -> torch.dtype:
    """A dtype that chains are made in.

    Parameters
    ----------
    dtype
        `torch.float32` or `torch.float64`.

    Returns
    -------
    torch.dtype
        the same.

    Raises
    ------
    InputError
        for any other.
    """
    if dtype not in (torch.float32, torch.float64):
        raise InputError(f"dtype must be torch.float32 or torch.float64, not {dtype}")
    return dtype


def checked_device(device: str | torch.device) -> torch.device:
    """A device that this machine has.

    Parameters
    ----------
    device
        as torch names it, or one itself.

    Returns
    -------
    torch.device
        that device.

    Raises
    ------
    InputError
        where it is absent or no device.
    """
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {str(device)!r} is not available: {one_line(error)}") from error
    return found


def checked_images(images: Tensor, shape: Shape) -> Tensor:
    """Images as a batch that the network takes.

    Parameters
    ----------
    images
        `(N, *shape)`; one image may come without the first axis.
    shape
        of one image.

    Returns
    -------
    Tensor
        `(N, *shape)`.

    Raises
    ------
    InputError
        for another shape, no images, integers, NaN and infinite values.
    """
    if not (isinstance(images, Tensor) and images.is_floating_point() and images.numel()):
        raise InputError(f"images must be a floating-point tensor (N, {', '.join(map(str, shape))}), N >= 1")
    images = images if images.ndim == len(shape) + 1 else images.unsqueeze(0)
    if tuple(images.shape[1:]) != tuple(shape):
        raise InputError(f"the images are {tuple(images.shape[1:])}, the network takes {tuple(shape)}")
    if not bool(torch.isfinite(images).all()):
        raise InputError("the images hold NaN or infinite values")
    return images


def checked_vectors(start: Start, name: str, images: int, shape: Shape) -> Tensor:
    """The vectors that a start stands for at a layer.

    Parameters
    ----------
    start
        `(images, vectors, *shape)`, or a function that makes it from the shape.
    name
        of the layer, for errors.
    images
        how many there are.
    shape
        of the layer.

    Returns
    -------
    Tensor
        `(images, vectors, *shape)`.

    Raises
    ------
    InputError
        for another shape, or what is no tensor and no array.
    """
    vectors = start(shape) if callable(start) else start
    if isinstance(vectors, np.ndarray):
        vectors = torch.from_numpy(np.ascontiguousarray(vectors))
    if not isinstance(vectors, Tensor):
        raise InputError(f"vectors at {name!r} are a tensor or an array, not {type(vectors).__name__}")
    if tuple(vectors.shape[2:]) != tuple(shape) or len(vectors) != images:
        raise InputError(
            f"vectors at {name!r} must be ({images} images, count, {', '.join(map(str, shape))}), "
            f"not {tuple(vectors.shape)}"
        )
    return vectors


def device_of(name: str) -> str:
    """The device that a command's option stands for.

    Parameters
    ----------
    name
        `auto` (CUDA where there is any), `cpu`, `cuda` or `cuda:NUMBER`.

    Returns
    -------
    str
        as torch names it.

    Raises
    ------
    InputError
        for another name, and for one that this machine lacks.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise InputError(f"unknown device {name!r}; give auto, cpu or cuda")
    if name != "cpu" and not torch.cuda.is_available():
        raise InputError(f"device {name!r} is not available: this machine or this torch has no CUDA")
    if name != "cpu" and int(name.partition(":")[2] or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {name!r} is not available: there are {torch.cuda.device_count()} CUDA devices"
        )
    return name
