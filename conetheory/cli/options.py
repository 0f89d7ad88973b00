"""Groups of options that commands share. A command takes each as one parameter, and the help as one panel.

A dataclass that is decorated with `group(title)` is written flat on the command line: each of its fields is
an option of the field's name. What it inherits and what it holds is written flat too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from cyclopts import Group, Parameter

from conetheory.cli.values import (
    known_methods,
    known_shape,
    known_shard,
    known_size,
    named_value,
    sizes,
    whole,
)
from conetheory.counts import DEFAULT_VECTORS, SEEDS, VECTORS

Kind = TypeVar("Kind")
# the panels of the help, in this order
NETWORK, METHODS = Group("Network and images", sort_key=1), Group("Methods", sort_key=2)
DRAWN, THEORIES = Group("Starts and draws", sort_key=3), Group("Theories and certificates", sort_key=4)
COMPUTATION, OUTPUT = Group("Computation", sort_key=5), Group("Output", sort_key=6)


def group(panel: Group | None = None) -> Callable[[type[Kind]], type[Kind]]:
    """Make a dataclass a group of options, in a panel of the help."""
    return Parameter(name="*", group=panel)


MODEL = (
    "A network's name (`conetheory models` lists them), or package.module:factory, path/to/file.py:factory."
)
Model = Annotated[str, Parameter(metavar="MODEL", help=MODEL)]
Outcome = Literal["depends", "spatial", "blind", "borderline", "open"]
Limit = Annotated[int | None, whole("N", "Take the first N images.", 1)]
Json = Annotated[bool, Parameter(help="Print the results as JSON, and nothing else.")]

WEIGHTS = "torchvision weights name, .safetensors or .pth file, or random:SEED. (default: the model's own)"
INPUT_SHAPE = "Shape of an input, such as 3,32,32; a module of yours needs it. (default: the network's own)"
NAME = "What results call the network. (default: its own name)"
PICTURES = "A picture, a folder or an ImageFolder tree (repeatable). (default: the bundled photographs)"
METHOD = "Method (repeatable), or all: every registered one that the network allows."
SET = "A parameter of the methods that have it, such as percentile=90 (repeatable)."
BIAS = "What the rule does with biases: none, bach or signed, where it has the choice. (default: its own)"
EMPTY = "An output with one empty pool: drop its share, or renormalise. (default: drop)"
STABILISER = "Added to the pools, with their sign. (default: 0)"
REPRO = "A choice of the paper's own code, or icml2020 for all of them (repeatable)."
START = "Start layer (repeatable). (default: the paper's for csc, else logits)"
THEORY = "A theory, such as second-moment (repeatable). (default: those that the budget affords)"
PREDICT = "Images that theories see, but for those of the very vectors. (default: all)"
CERTIFY = "Images to certify. (default: for compare 1, where the budget affords it, else all)"
BUDGET = (
    "Vectors through the chain to spend on an image at most. (default: twelve times what measuring costs)"
)
PLAN = "What to run: a JSON list of stages, or the plan of an earlier comparison.json."
EVERYTHING = "Leave nothing out, whatever it costs."
POSITIONS = "Locations per layer and image for theories and certificates. (default: what is affordable)"
FAIL_IF = "Exit with 1 where a method has this verdict (repeatable)."
SHARD = "Compute this one of N equal parts into OUT, such as 3/64, and no more; `merge OUT` joins them."
BLOCK = "Images a unit, for a study in parts. (default: 8 to 64, fewer of fewer than 128)"
THREADS = "Threads a unit, for a study in parts. (default: 1, or all cores where there is one unit)"
WORKERS = "Compute the units in so many processes here, by dask."
SCHEDULER = "Compute them on the dask cluster at this address."
SCHEDULER_FILE = "Compute them on the dask cluster whose scheduler wrote this file."
MEMORY = "Memory for a process, such as 4GB: blocks are chosen that fit. (default: all that it takes)"
LOG_JSON = "A line of JSON for each unit that is done, on stderr."
RESUME = "Take up the methods that OUT holds already with the same settings."


@group(NETWORK)
@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """Which weights."""

    weights: Annotated[str | None, Parameter(metavar="W", help=WEIGHTS)] = None
    input_shape: Annotated[
        str | None, Parameter(metavar="C,H,W", help=INPUT_SHAPE, validator=known_shape)
    ] = None
    name: Annotated[str | None, Parameter(metavar="NAME", help=NAME)] = None

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The shape of an input, where it was given."""
        return None if self.input_shape is None else sizes(self.input_shape)


@group(NETWORK)
@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """Which pictures."""

    images: Annotated[tuple[str, ...], Parameter(metavar="DIR", help=PICTURES)] = ()
    limit: Limit = None


@group(METHODS)
@dataclass(frozen=True, kw_only=True)
class MethodOptions:
    """Which methods, with which parameters."""

    method: Annotated[tuple[str, ...], Parameter(metavar="METHOD", help=METHOD, validator=known_methods)] = (
        "lrp-alpha1beta0",
    )
    set: Annotated[tuple[str, ...], Parameter(metavar="NAME=VALUE", help=SET)] = ()

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that were given, for the methods that have them. Raises `InputError`."""
        return dict(map(named_value, self.set))


@group(METHODS)
@dataclass(frozen=True, kw_only=True)
class RuleOptions(MethodOptions):
    """Which methods, and how their rules treat biases and empty pools."""

    bias: Annotated[str | None, Parameter(metavar="BIAS", help=BIAS)] = None
    stabiliser: Annotated[float | None, Parameter(metavar="EPS", help=STABILISER)] = None
    empty_pool: Annotated[str | None, Parameter(metavar="SHARE", help=EMPTY)] = None
    repro: Annotated[tuple[str, ...], Parameter(metavar="CHOICE", help=REPRO)] = ()

    @property
    def parameters(self) -> dict[str, Any]:
        """Those of options of their own, and those of `--set`, which win. Raises `InputError`."""
        own = {"bias": self.bias, "stabiliser": self.stabiliser, "empty_pool": self.empty_pool}
        return {name: value for name, value in own.items() if value is not None} | super().parameters


@group(DRAWN)
@dataclass(frozen=True, kw_only=True)
class SeedOptions:
    """What is drawn at random."""

    seed: Annotated[int, whole("S", "Seed of all that is drawn.", 0, SEEDS)] = 0


@group(DRAWN)
@dataclass(frozen=True, kw_only=True)
class Drawing(SeedOptions):
    """Which vectors are drawn."""

    vectors: Annotated[int, whole("K", "Random vectors per image and start layer.", 2, VECTORS)] = (
        DEFAULT_VECTORS
    )


@group(THEORIES)
@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """How much of a layer theories and certificates look at."""

    positions: Annotated[int | None, whole("P", POSITIONS, 1)] = None


@group(THEORIES)
@dataclass(frozen=True, kw_only=True)
class TheoryOptions:
    """What is predicted."""

    theory: Annotated[tuple[str, ...], Parameter(metavar="THEORY", help=THEORY)] = ()
    predict_images: Annotated[int | None, whole("N", PREDICT, 1)] = None


@group(THEORIES)
@dataclass(frozen=True, kw_only=True)
class CertifyOptions:
    """What is certified."""

    certify_images: Annotated[int | None, whole("N", CERTIFY)] = None


@group(THEORIES)
@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """What is run of what could be."""

    budget: Annotated[float | None, Parameter(metavar="N", help=BUDGET)] = None
    plan: Annotated[Path | None, Parameter(metavar="FILE", help=PLAN)] = None
    everything: Annotated[bool, Parameter(help=EVERYTHING)] = False


@group(COMPUTATION)
@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where and how precisely it is computed."""

    device: Annotated[str, Parameter(metavar="DEVICE", help="auto, cpu or cuda.")] = "auto"
    dtype: Annotated[str, Parameter(metavar="DTYPE", help="float32 or float64.")] = "float32"


@group(COMPUTATION)
@dataclass(frozen=True, kw_only=True)
class Division:
    """Whether a study comes in parts, and in which."""

    shard: Annotated[str | None, Parameter(metavar="I/N", help=SHARD, validator=known_shard)] = None
    block: Annotated[int | None, whole("N", BLOCK, 1)] = None
    threads_per_unit: Annotated[int | None, whole("N", THREADS, 1)] = None
    workers: Annotated[int | None, whole("N", WORKERS, 1)] = None
    scheduler: Annotated[str | None, Parameter(metavar="ADDRESS", help=SCHEDULER)] = None
    scheduler_file: Annotated[Path | None, Parameter(metavar="FILE", help=SCHEDULER_FILE)] = None
    log_json: Annotated[bool, Parameter(help=LOG_JSON)] = False


@group(OUTPUT)
@dataclass(frozen=True, kw_only=True)
class Output:
    """What is kept and what is printed."""

    out: Annotated[
        Path | None, Parameter(metavar="DIR", help="Folder for the results. (default: ./out/...)")
    ] = None
    resume: Annotated[bool, Parameter(help=RESUME)] = False
    json: Json = False


@group()
@dataclass(frozen=True, kw_only=True)
class SeriesOptions:
    """What every command asks that gives results of methods on a network's images."""

    network: NetworkOptions = field(default_factory=NetworkOptions)
    images: ImageOptions = field(default_factory=ImageOptions)
    methods: MethodOptions = field(default_factory=MethodOptions)
    placement: Placement = field(default_factory=Placement)
    output: Output = field(default_factory=Output)


@group()
@dataclass(frozen=True, kw_only=True)
class ImageSeriesOptions(SeriesOptions):
    """What the commands ask that look at one image after the other."""

    division: Division = field(default_factory=Division)


@group()
@dataclass(frozen=True, kw_only=True)
class StudyOptions(ImageSeriesOptions):
    """What the commands of the main job ask."""

    methods: RuleOptions = field(default_factory=RuleOptions)
    drawing: Drawing = field(default_factory=Drawing)
    start: Annotated[
        tuple[str, ...],
        Parameter(metavar="LAYER", help=START, group=DRAWN),
    ] = ()
    memory: Annotated[
        str | None, Parameter(metavar="SIZE", help=MEMORY, group=COMPUTATION, validator=known_size)
    ] = None
    fail_if: Annotated[tuple[Outcome, ...], Parameter(metavar="VERDICT", help=FAIL_IF, group=OUTPUT)] = ()
