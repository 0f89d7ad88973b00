"""What a command was asked, checked by name before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from conetheory import networks
from conetheory.chain.checks import device_of
from conetheory.cli.division import parts_of
from conetheory.cli.options import ImageOptions, ImageSeriesOptions, NetworkOptions, SeriesOptions
from conetheory.errors import InputError
from conetheory.networks import Images, Network
from conetheory.runs import store
from conetheory.runs.methods import ALL, chosen_methods
from conetheory.runs.progress import note
from conetheory.runs.series import ImageSeries, Series
from conetheory.runs.source import Source

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def request(command: str, model: str, asked: SeriesOptions, *, stream: bool = False) -> Series:
    """The request of a command that gives one result a method; stream: as `read_images` has it."""
    device, dtype = device_of(asked.placement.device), dtype_of(asked.placement.dtype)
    methods = chosen_methods(asked.methods.method, asked.methods.parameters)
    network = read_network(model, asked.network)
    images = read_images(network, asked.images, stream=stream)
    out = store.folder(asked.output.out or Path("out") / f"{command}-{network.name}")
    lenient = ALL in asked.methods.method
    return Series(network, images, methods, out, asked.output.resume, lenient, device=device, dtype=dtype)


def image_series(
    kind: str, model: str, request: Series, settings: Any, options: ImageSeriesOptions
) -> ImageSeries:
    """The request of a command that looks at one image after the other, as it is divided."""
    names = ("network", "images", "methods", "out", "resume", "lenient")
    source = Source.of(request.network, model, options.network.weights, options.network.shape)
    divided = {"parts": parts_of(options.division), "source": source}
    given: dict[str, Any] = {name: getattr(request, name) for name in names}
    return ImageSeries(**given, settings=settings, command=kind, **divided)


def read_network(model: str, asked: NetworkOptions) -> Network:
    """The network with its weights, at the shape and by the name that were given."""
    return networks.load(model, asked.weights, asked.shape, name=asked.name)


def read_images(network: Network, asked: ImageOptions, *, stream: bool = False) -> Images:
    """The pictures, with a note on each that is left out; stream: many are read as they are needed."""
    if stream:
        images = networks.stream_images(list(asked.images) or None, network, asked.limit, note)
    else:
        images = networks.load_images(list(asked.images) or None, network, asked.limit)
    for path, reason in images.skipped:
        note(f"left out {path}: {reason}")
    return images


def dtype_of(name: str) -> torch.dtype:
    if name not in DTYPES:
        raise InputError(f"unknown dtype {name!r}; known: {', '.join(DTYPES)}")
    return DTYPES[name]
