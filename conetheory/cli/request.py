"""What a command was asked, checked by name before anything runs."""

from __future__ import annotations

from pathlib import Path

import torch

from conetheory import networks
from conetheory.chain.checks import device_of
from conetheory.cli.options import ImageOptions, NetworkOptions, SeriesOptions
from conetheory.errors import InputError
from conetheory.networks import Images, Network
from conetheory.runs import store
from conetheory.runs.methods import ALL, chosen_methods
from conetheory.runs.progress import note
from conetheory.runs.series import Series

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def request(command: str, model: str, asked: SeriesOptions) -> Series:
    """The request of a command that gives one result a method."""
    device, dtype = device_of(asked.placement.device), dtype_of(asked.placement.dtype)
    methods = chosen_methods(asked.methods.method, asked.methods.parameters)
    network = read_network(model, asked.network)
    images = read_images(network, asked.images)
    out = store.folder(asked.output.out or Path("out") / f"{command}-{network.name}")
    lenient = ALL in asked.methods.method
    return Series(network, images, methods, out, asked.output.resume, lenient, device=device, dtype=dtype)


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
