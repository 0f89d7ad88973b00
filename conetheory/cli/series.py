"""Commands that give one result for each method: the request, one file a method, their union."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from conetheory.runs import store as files
from conetheory.runs.series import Request

if TYPE_CHECKING:
    pass


def request(command: str, given: dict[str, Any]) -> Request:
    """Check the options of a command, by name, before anything runs."""
    from conetheory import networks
    from conetheory.chain.checks import device_of
    from conetheory.cli.chosen import ALL, chosen_methods, given_parameters
    from conetheory.cli.job import DTYPES, one_of, read_images

    device, dtype = device_of(given["device"]), one_of("dtype", given["dtype"], DTYPES)
    methods = chosen_methods(given["method"], given_parameters(given))
    network = networks.load(given["model"], given["weights"])
    images = read_images(network, given)
    out = files.folder(given["out"] or Path("out") / f"{command}-{network.name}")
    return Request(network, images, methods, device, dtype, out, given["resume"], ALL in given["method"])
