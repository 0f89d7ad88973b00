"""What the experiments on the paper's networks share: networks, the talk's methods, options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer

from conetheory import networks
from conetheory.errors import InputError
from conetheory.networks import Images, Network
from conetheory.networks.sources import OWN
from conetheory.rules.registry import methods

NETWORKS = ("vgg16", "resnet50")  # of the paper
IMAGENET = "IMAGENET1K_V1"
PAPER = (  # of the talk
    *("lrp-alpha1beta0", "lrp-alpha2beta1", "deep-taylor", "excitation-bp", "guided-backprop", "deconvnet"),
    *("rectgrad", "pattern-attribution", "gradient", "lrp-0", "deeplift-rescale", "lrp-preset-a"),
)

Models = Annotated[list[str] | None, typer.Argument(help="default: vgg16 and resnet50")]
Pictures = Annotated[Path | None, typer.Option(help="a folder; default: photographs in scikit-image")]
Weights = Annotated[
    list[str] | None, typer.Option(help=f"one for each network in turn; default: {IMAGENET}, or bundled")
]
Limit = Annotated[int, typer.Option(help="images, a random choice")]
Methods = Annotated[list[str] | None, typer.Option(help="default: all that are backpropagated")]
OfTheTalk = Annotated[bool, typer.Option("--paper", help="the talk's methods where none are named")]
Patterns = Annotated[Path | None, typer.Option(help="file of fitted patterns")]
Size = Annotated[int | None, typer.Option(help="side of the input; default: the network's own")]


def device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"


def backpropagated(paper: bool = False) -> list[str]:
    """The methods of the talk, or all that go backwards through a network."""
    return list(PAPER) if paper else [m.name for m in methods() if m.backpropagated]


def with_weights(names: Sequence[str], weights: Sequence[str] | None) -> list[tuple[str, str | None]]:
    """Each network with the weights that are given for it, if any are."""
    if weights and len(weights) != len(names):
        raise SystemExit(f"{len(names)} networks ({', '.join(names)}) have {len(weights)} --weights")
    return list(zip(names, weights or [None] * len(names), strict=True))


def opened(
    name: str, weights: str | None, size: int | None, images: Path | None, limit: int
) -> tuple[Network, Images]:
    """A network, by default with ImageNet's weights or the bundled ones, and a random choice of images."""
    default = None if name in OWN else IMAGENET
    try:
        network = networks.load(name, weights or default, (3, size, size) if size else None)
        return network, networks.load_images(images, network, limit, seed=0)
    except InputError as error:
        raise SystemExit(str(error)) from error
