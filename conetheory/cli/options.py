"""The options of the commands: one table, from which each command takes its own."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from conetheory.counts import SEEDS, VECTORS


@dataclass(frozen=True)
class Task:
    """A command of the main job, which of its parts it does, and a folder of its own under `out`."""

    name: str
    help: str
    measures: bool = True
    predicts: bool = True
    certifies: bool = True
    folder: str = ""


MODEL = Argument(
    metavar="MODEL", help="A network's name; `conetheory models` lists them.", show_default=False
)
WEIGHTS = "torchvision weights name, .safetensors or .pth file, or random:SEED. (default: the model's own)"
IMAGES = "A picture, a folder or an ImageFolder tree (repeatable). (default: the bundled photographs)"
START = "Start layer (repeatable). (default: the paper's for csc, else logits)"
METHOD = "Method (repeatable), or all: every registered one that the network allows."
THEORY = "A theory, such as second-moment (repeatable). (default: local-spectrum, two-scale, mean-field)"
PREDICT = "Images that theories see, but for those of the very vectors. (default: all)"
CERTIFY = "Images to certify. (default: 1 for compare, else all)"
POSITIONS = "Locations per layer and image for theories and certificates. (default: what is affordable)"
BIAS = "What the rule does with biases: none, bach or signed, where it has the choice. (default: its own)"
EMPTY = "An output with one empty pool: drop its share, or renormalise. (default: drop)"
STABILISER = "Added to the pools, with their sign. (default: 0)"
REPRO = "A choice of the paper's own code, or icml2020 for all of them (repeatable)."
SET = "A parameter of the methods that have it, such as percentile=90 (repeatable)."
RESUME = "Take up the methods that OUT holds already with the same settings."

OPTIONS: dict[str, tuple[Any, Any]] = {
    "model": (Annotated[str, MODEL], ...),
    "weights": (Annotated[str | None, Option(metavar="W", help=WEIGHTS, show_default=False)], None),
    "images": (Annotated[list[str] | None, Option(metavar="DIR", help=IMAGES, show_default=False)], None),
    "limit": (Annotated[int | None, Option(metavar="N", min=1, help="Take the first N images.")], None),
    "method": (Annotated[list[str], Option(help=METHOD)], ["lrp-alpha1beta0"]),
    "start": (Annotated[list[str] | None, Option(metavar="LAYER", help=START, show_default=False)], None),
    "vectors": (
        Annotated[
            int, Option(metavar="K", min=2, max=VECTORS, help="Random vectors per image and start layer.")
        ],
        10,
    ),
    "seed": (
        Annotated[
            int, Option(metavar="S", min=0, max=SEEDS, help="Seed of the vectors and the sampled locations.")
        ],
        0,
    ),
    "device": (Annotated[str, Option(help="auto, cpu or cuda.")], "auto"),
    "dtype": (Annotated[str, Option(help="float32 or float64.")], "float32"),
    "theory": (Annotated[list[str] | None, Option(help=THEORY, show_default=False)], None),
    "predict_images": (Annotated[int | None, Option(metavar="N", min=1, help=PREDICT)], None),
    "certify_images": (Annotated[int | None, Option(metavar="N", min=0, help=CERTIFY)], None),
    "positions": (Annotated[int | None, Option(metavar="P", min=1, help=POSITIONS)], None),
    "bias": (Annotated[str | None, Option(help=BIAS, show_default=False)], None),
    "stabiliser": (Annotated[float | None, Option(metavar="EPS", help=STABILISER, show_default=False)], None),
    "empty_pool": (Annotated[str | None, Option(help=EMPTY, show_default=False)], None),
    "set": (Annotated[list[str] | None, Option(metavar="NAME=VALUE", help=SET, show_default=False)], None),
    "repro": (Annotated[list[str] | None, Option(metavar="CHOICE", help=REPRO, show_default=False)], None),
    "out": (
        Annotated[Path | None, Option(metavar="DIR", help="Folder for the results. (default: ./out/...)")],
        None,
    ),
    "resume": (Annotated[bool, Option("--resume", help=RESUME)], False),
    "json": (Annotated[bool, Option("--json", help="Print the results as JSON, and nothing else.")], False),
}


def distinct(names: Iterable[str], meaning: Callable[[str], Hashable]) -> list[str]:
    """The names without later ones that mean the same."""
    found: dict[Hashable, str] = {}
    for name in names:
        found.setdefault(meaning(name), name)
    return list(found.values())
