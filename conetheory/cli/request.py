"""What a command was asked, checked by name before anything runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from conetheory import networks
from conetheory.chain.checks import device_of
from conetheory.errors import InputError
from conetheory.networks import Images, Network
from conetheory.runs import store
from conetheory.runs.methods import ALL, chosen_methods
from conetheory.runs.progress import note
from conetheory.runs.series import Series

DTYPES = {"float32": torch.float32, "float64": torch.float64}
RULE_OPTIONS = ("bias", "stabiliser", "empty_pool")


def request(command: str, given: dict[str, Any]) -> Series:
    """The request of a command that gives one result a method."""
    device, dtype = device_of(given["device"]), one_of("dtype", given["dtype"], DTYPES)
    methods = chosen_methods(given["method"], given_parameters(given))
    network = networks.load(given["model"], given["weights"])
    images = read_images(network, given)
    out = store.folder(given["out"] or Path("out") / f"{command}-{network.name}")
    return Series(
        network, images, methods, out, given["resume"], ALL in given["method"], device=device, dtype=dtype
    )


def given_parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of rules among a command's options, `--set NAME=VALUE` included."""
    own = {name: given[name] for name in RULE_OPTIONS if given.get(name) is not None}
    return own | dict(_pair(text) for text in given.get("set") or ())


def read_images(network: Network, given: Mapping[str, Any]) -> Images:
    """The pictures, with a note on each that is left out."""
    images = networks.load_images(given.get("images") or None, network, given["limit"])
    for path, reason in images.skipped:
        note(f"left out {path}: {reason}")
    return images


def one_of(what: str, name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise InputError(f"unknown {what} {name!r}; known: {', '.join(known)}")
    return known[name]


def _pair(text: str) -> tuple[str, Any]:
    """`NAME=VALUE` with a number, true, false or null as such, and anything else as text."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise InputError(f"--set takes NAME=VALUE, not {text!r}")
    try:
        return name.replace("-", "_"), json.loads(value)
    except ValueError:  # no JSON, or a number of more digits than Python reads
        return name.replace("-", "_"), value
