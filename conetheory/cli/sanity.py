"""`conetheory sanity` and `conetheory classes`: do maps depend on the parameters, and on the class?"""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from conetheory.cli import console
from conetheory.cli.options import ImageSeriesOptions, Model, SeedOptions
from conetheory.cli.values import distinct, whole

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from conetheory.results.class_distances import Classes
    from conetheory.results.dataset import Sanity
    from conetheory.runs.series import Series

LAYER = "Layer to randomise (repeatable). (default: the paper's, else at most 9 of the network's)"
SCHEME = "How: reset (as torch initialises the layer), permute, or model (as the network's authors do)."
TARGET = "The explained class: predicted, or label where the folders of the images name it."
SMOOTH = "Noisy copies of each image for smooth MPRT; 0 leaves it out."
PAIR = "Two classes A,B (numbers or names) to compare on every image (repeatable)."
WHOLE = "Images for which the maps of all classes are compared. (default: 1)"


Scheme = Literal["reset", "permute", "model"]
Target = Literal["predicted", "label"]


def run_sanity(
    model: Model,
    /,
    *,
    layer: Annotated[tuple[str, ...], Parameter(metavar="LAYER", help=LAYER)] = (),
    scheme: Annotated[Scheme, Parameter(metavar="SCHEME", help=SCHEME)] = "reset",
    target: Annotated[Target, Parameter(metavar="CLASS", help=TARGET)] = "predicted",
    smooth: Annotated[int, whole("N", SMOOTH)] = 0,
    paper_ssim: Annotated[bool, Parameter(help="SSIM as the paper's code has it.")] = False,
    random: SeedOptions = SeedOptions(),
    options: ImageSeriesOptions = ImageSeriesOptions(),
) -> None:
    """Randomise the network layer by layer: do the maps change? (Adebayo et al. 2018)"""
    from conetheory.cli.division import run_divided
    from conetheory.cli.request import image_series, request
    from conetheory.errors import InputError
    from conetheory.runs.kinds import RandomisedSettings
    from conetheory.saliency.similarity import PAPER, Ssim
    from conetheory.sanity import Sanity

    asked = request("sanity", model, options, stream=True)
    if target == "label" and asked.images.labels is None:
        raise InputError("the folders of the images don't name their classes; use --target predicted")
    settings = RandomisedSettings(
        layers=_layers(asked, layer),
        scheme=scheme,
        seed=random.seed,
        smooth=smooth,
        ssim=PAPER if paper_ssim else Ssim(),
        target=target,
        device=asked.device,
        dtype=asked.dtype,
    )
    found = run_divided(image_series("sanity", model, asked, settings, options), options.division)
    if found is not None:
        present_sanity(Sanity(found.dataset), asked.folder, options.output.json)


def present_sanity(sanity: Sanity, folder: Path, json: bool) -> None:
    """The figure, the table or JSON, and what is to be noted."""
    from conetheory.plotting.sanity import sanity_figure
    from conetheory.report.map_tables import sanity_records, sanity_rows, shown_measure
    from conetheory.runs.progress import note

    figure = _drawn(sanity_figure(sanity.dataset), folder, "sanity")
    if json:
        print(json_format.dumps(sanity_records(sanity), indent=2))
    else:
        _report(sanity_rows(sanity), [folder / "sanity.nc", figure], shown_measure(sanity))
    if "left_out" in sanity.dataset.attrs:
        note(f"left out: {sanity.dataset.attrs['left_out']}")
    fewest, images = int(sanity.dataset["live_images"].min()), sanity.dataset.sizes["image"]
    if fewest < images:
        note(f"some randomised networks have maps of {fewest} of {images} images only (live_images)")


def run_classes(
    model: Model,
    /,
    *,
    top: Annotated[int, whole("K", "Classes of largest logit to compare.", 2)] = 10,
    whole_images: Annotated[int, whole("N", WHOLE), Parameter(name="--whole", show_default=False)] = 1,
    pair: Annotated[tuple[str, ...], Parameter(metavar="A,B", help=PAIR)] = (),
    random: SeedOptions = SeedOptions(),
    options: ImageSeriesOptions = ImageSeriesOptions(),
) -> None:
    """Explain other classes of the same image: does the map change?"""
    from conetheory.cli.division import run_divided
    from conetheory.cli.request import image_series, request
    from conetheory.results.class_distances import Classes
    from conetheory.saliency.classes import ClassSettings

    asked = request("classes", model, options, stream=True)
    pairs = tuple(dict.fromkeys(_pair(asked, text) for text in pair))
    settings = ClassSettings(
        top=top, whole=whole_images, pairs=pairs, seed=random.seed, device=asked.device, dtype=asked.dtype
    )
    found = run_divided(image_series("classes", model, asked, settings, options), options.division)
    if found is not None:
        present_classes(Classes(found.dataset), asked.folder, options.output.json)


def present_classes(classes: Classes, folder: Path, json: bool) -> None:
    """The figure, the table or JSON, and how predictions follow."""
    from conetheory.plotting.classes import classes_figure
    from conetheory.report.map_tables import class_records, class_rows, tracking_sentence

    figure = _drawn(classes_figure(classes.dataset), folder, "classes")
    if json:
        print(json_format.dumps(class_records(classes), indent=2))
    else:
        _report(class_rows(classes), [folder / "classes.nc", figure])
        console.say(console.out(), tracking_sentence(classes))


def _drawn(figure: Figure, folder: Path, name: str) -> Path:
    """The path of a figure in the folder, where it is saved."""
    path = folder / f"{name}.png"
    figure.savefig(path, dpi=150)
    return path


def _report(rows: list[dict[str, str]], paths: Sequence[Path], measure: str = "") -> None:
    from rich.table import Table

    from conetheory.report.comparison_tables import STYLE
    from conetheory.schema.labels import broken, short_label

    stdout = console.out()
    table = Table(**STYLE)
    for number, name in enumerate(rows[0]):
        table.add_column(broken(short_label(name)), justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(text.replace(" (", "\n(") if stdout.is_terminal else text for text in row.values()))
    console.show(stdout, table)
    if measure:
        said = "SSIM" if measure == "ssim" else measure
        console.say(
            stdout,
            f"Median {said} with the untouched map; in brackets what the chain below leaves of any "
            "relevance.",
        )
    console.say(stdout, f"Written: {', '.join(map(str, paths))}")


def _layers(asked: Series, names: tuple[str, ...]) -> tuple[str, ...] | None:
    """The asked layers, each once, whatever it was called; None for the usual ones."""
    from conetheory.networks.randomise import own_operations

    return tuple(distinct(names, lambda name: own_operations(asked.network.graph, name))) or None


def _pair(asked: Series, text: str) -> tuple[int, int]:
    from conetheory.errors import InputError
    from conetheory.saliency.pictures import class_index

    first, comma, second = text.partition(",")
    if not comma:
        raise InputError(f"--pair takes two classes A,B, not {text!r}")
    return class_index(asked.network, first), class_index(asked.network, second)
