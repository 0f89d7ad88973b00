"""`conetheory sanity` and `conetheory classes`: do maps depend on the parameters, and on the class?"""

from __future__ import annotations

import json as json_format
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conetheory.cli import console
from conetheory.cli.options import OPTIONS, distinct

if TYPE_CHECKING:
    import torch

    from conetheory.networks import Graph
    from conetheory.progress import Progress
    from conetheory.results.class_distances import Classes
    from conetheory.results.dataset import Sanity
    from conetheory.runs.series import Series

Model, Weights, Images, Limit = (OPTIONS[n][0] for n in ("model", "weights", "images", "limit"))
Method, Parameter, Seed = (OPTIONS[n][0] for n in ("method", "set", "seed"))
Device, Dtype, Out, Resume, Json = (OPTIONS[n][0] for n in ("device", "dtype", "out", "resume", "json"))
LAYER = "Layer to randomise (repeatable). (default: the paper's, else at most 9 of the network's)"
SCHEME = "How: reset (as torch initialises the layer), permute, or model (as the network's authors do)."
TARGET = "The explained class: predicted, or label where the folders of the images name it."
SMOOTH = "Noisy copies of each image for smooth MPRT; 0 leaves it out."
PAIR = "Two classes A,B (numbers or names) to compare on every image (repeatable)."
WHOLE = "Images for which the maps of all classes are compared. (default: 1)"


def run_sanity(
    model: Model,
    weights: Weights = None,
    images: Images = None,
    limit: Limit = None,
    method: Method = ["lrp-alpha1beta0"],  # noqa: B006 (typer copies it)
    layer: Annotated[list[str] | None, typer.Option(help=LAYER, show_default=False)] = None,
    scheme: Annotated[str, typer.Option(help=SCHEME)] = "reset",
    target: Annotated[str, typer.Option(help=TARGET)] = "predicted",
    smooth: Annotated[int, typer.Option(metavar="N", min=0, help=SMOOTH)] = 0,
    paper_ssim: Annotated[
        bool, typer.Option("--paper-ssim", help="SSIM as the paper's code has it.")
    ] = False,
    set: Parameter = None,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "float32",
    out: Out = None,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Randomise the network layer by layer: do the maps change? (Adebayo et al. 2018)"""
    given = locals()
    from conetheory.cli.request import request
    from conetheory.report.map_tables import sanity_records, sanity_rows, shown_measure
    from conetheory.runs.progress import note
    from conetheory.runs.series import run_series
    from conetheory.saliency.similarity import PAPER, Ssim
    from conetheory.sanity import Sanity, SanitySettings, sanity_check

    asked = request("sanity", given)
    settings = SanitySettings(
        layers=_layers(asked, layer),
        scheme=scheme,
        seed=seed,
        smooth=smooth,
        ssim=PAPER if paper_ssim else Ssim(),
        device=asked.device,
        dtype=asked.dtype,
    )
    options = {"targets": _targets(asked, target), "fresh": _fresh(asked, model, scheme, seed)}

    def compute(name: str, progress: Progress) -> Sanity:
        mine = SanitySettings(**{**vars(settings), "parameters": asked.methods[name]})
        return sanity_check(
            asked.network, asked.images.tensor, name, mine, names=asked.names, progress=progress, **options
        )

    sanity = run_series(asked, Sanity, _described(settings) | {"target": target}, compute)
    if json:
        typer.echo(json_format.dumps(sanity_records(sanity), indent=2))
    else:
        _report(sanity_rows(sanity), asked, "sanity.nc", shown_measure(sanity))
    if "left_out" in sanity.dataset.attrs:
        note(f"left out: {sanity.dataset.attrs['left_out']}")
    fewest = int(sanity.dataset["live_images"].min())
    if fewest < len(asked.images):
        note(
            f"some randomised networks have maps of {fewest} of {len(asked.images)} images only (live_images)"
        )


def run_classes(
    model: Model,
    weights: Weights = None,
    images: Images = None,
    limit: Limit = None,
    method: Method = ["lrp-alpha1beta0"],  # noqa: B006 (typer copies it)
    top: Annotated[int, typer.Option(metavar="K", min=2, help="Classes of largest logit to compare.")] = 10,
    whole: Annotated[int, typer.Option(metavar="N", min=0, help=WHOLE, show_default=False)] = 1,
    pair: Annotated[list[str] | None, typer.Option(metavar="A,B", help=PAIR, show_default=False)] = None,
    set: Parameter = None,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "float32",
    out: Out = None,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Explain other classes of the same image: does the map change?"""
    given = locals()
    from conetheory.cli.request import request
    from conetheory.report.map_tables import class_records, class_rows, tracking_sentence
    from conetheory.results.class_distances import Classes
    from conetheory.runs.series import run_series
    from conetheory.saliency.classes import ClassSettings, class_sensitivity

    asked = request("classes", given)
    pairs = tuple(dict.fromkeys(_pair(asked, text) for text in pair or ()))
    settings = ClassSettings(
        top=top, whole=whole, pairs=pairs, seed=seed, device=asked.device, dtype=asked.dtype
    )

    def compute(name: str, progress: Progress) -> Classes:
        mine = ClassSettings(**{**vars(settings), "parameters": asked.methods[name]})
        return class_sensitivity(
            asked.network, asked.images.tensor, name, mine, progress=progress, names=asked.names
        )

    classes = run_series(asked, Classes, _described(settings), compute)
    if json:
        typer.echo(json_format.dumps(class_records(classes), indent=2))
    else:
        _report(class_rows(classes), asked, "classes.nc")
        typer.echo(tracking_sentence(classes))


def _report(rows: list[dict[str, str]], asked: Series, file: str, measure: str = "") -> None:
    from rich.table import Table

    table = Table()
    for number, name in enumerate(rows[0]):
        table.add_column(name, no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    console.out().print(table)
    if measure:
        said = "SSIM" if measure == "ssim" else measure
        typer.echo(
            f"Median {said} with the untouched map; in brackets what the chain below leaves of any relevance."
        )
    typer.echo(f"Written: {asked.out / file}")


def _described(settings: Any) -> dict[str, Any]:
    """Settings as JSON takes them, without what is the request's own."""
    plain = {k: v for k, v in asdict(settings).items() if k not in ("device", "dtype", "parameters")}
    return json_format.loads(json_format.dumps(plain))


def _layers(asked: Series, names: list[str] | None) -> tuple[str, ...] | None:
    """The asked layers, each once, whatever it was called; None for the usual ones."""
    from conetheory.networks.randomise import own_operations

    return tuple(distinct(names or (), lambda name: own_operations(asked.network.graph, name))) or None


def _targets(asked: Series, target: str) -> torch.Tensor | None:
    import torch

    from conetheory.errors import InputError

    if target not in ("predicted", "label"):
        raise InputError(f"--target is predicted or label, not {target!r}")
    if target == "predicted":
        return None
    if asked.images.labels is None:
        raise InputError("the folders of the images don't name their classes; use --target predicted")
    return torch.tensor(asked.images.labels).view(-1, 1)


def _fresh(asked: Series, model: str, scheme: str, seed: int) -> Graph | None:
    """The same network as its authors initialise it, for the scheme that wants it."""
    from conetheory import networks

    if scheme != "model":
        return None
    outputs = asked.network.graph.classes
    shape = asked.network.graph.input_shape
    return networks.load(model, f"random:{seed}", shape, [str(n) for n in range(outputs)]).graph


def _pair(asked: Series, text: str) -> tuple[int, int]:
    from conetheory.errors import InputError
    from conetheory.saliency.pictures import class_index

    first, comma, second = text.partition(",")
    if not comma:
        raise InputError(f"--pair takes two classes A,B, not {text!r}")
    return class_index(asked.network, first), class_index(asked.network, second)
