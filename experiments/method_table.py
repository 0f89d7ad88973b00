"""Every method on one network: what has become of two starts at the input, predicted and judged.

    python -m experiments.method_table cifar10_cnn --patterns FILE
    python -m experiments.method_table squeezenet1_1 --weights FILE --images DIR --limit 16 --positions 16
    python -m experiments.method_table experiments.todays_networks:vit_s_16 --side 64 --limit 1
    python -m experiments.method_table experiments.todays_networks:convnext_tiny --side 64 --limit 1

From the logits: the measured median deficit at the input, over channels and of the whole map, the prediction
of whatever theory applies with its error in decades, the decades that were lost a layer with weights, and the
verdict, beside what the talk to the paper says of the method. Methods of whole maps explain <v, logits> for
the same random v. Writes methods-NAME.json and .md, method by method, so that nothing is lost when it is
stopped.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from torch import Tensor

from conetheory import networks
from conetheory.errors import ConeTheoryError
from conetheory.results.comparison import Comparison
from conetheory.results.layout import provenance
from conetheory.results.verdict import verdicts
from conetheory.rules.fitted_patterns import weighted
from conetheory.rules.registry import find, get_method, methods
from conetheory.runs.method import run
from conetheory.runs.settings import Settings

THEORIES = ("local-spectrum", "mean-field")  # whichever says something of a method
RESULTS = Path(__file__).parent / "results"
INSENSITIVE = (
    *("lrp-alpha1beta0", "lrp-alpha2beta1", "lrp-alpha5beta4", "deep-taylor", "excitation-bp"),
    *("pattern-attribution", "rectgrad", "deconvnet", "guided-backprop"),
)
SENSITIVE = (
    *("deeplift-rescale", "deeplift-revealcancel", "gradient", "lrp-0", "occlusion", "tcav"),
    *("integrated-gradients", "smoothgrad", "iba"),
)
FORMATS = {"error": "{:+.2f}", "a layer": "{:.3f}"}
COLUMNS = ("measured", "whole map", "random", "theory", "predicted", "error", "a layer", "verdict", "talk")


def row(found: Comparison, name: str, depth: int) -> dict[str, Any]:
    """One method's numbers at the input; depth: how many layers with weights there are."""
    data = found.dataset.isel(method=0, start=0, layer=-1)
    value = lambda key: float(data[key]) if key in data else float("nan")  # noqa: E731
    theory = next((t for t in found.theories if np.isfinite(value(t.predicted))), None)
    (judged,) = verdicts(found.dataset)
    measured, random = value("measured_deficit_median"), value("baseline_deficit")
    return {
        "measured": measured,
        "whole map": value("measured_flattened_deficit_median"),
        "random": random,
        "theory": theory.key if theory else found.not_predicted.get(name, "none applies"),
        "predicted": value(theory.predicted) if theory else None,
        "error": value(theory.error) if theory else None,
        "a layer": float(np.log10(random / measured)) / depth if measured > 0 else None,
        "verdict": judged.text,
        "talk": said_in_the_talk(name),
        "images": int(found.dataset.attrs["images"]),
    }


def result_of(
    network: networks.Network, images: Tensor, name: str, settings: dict[str, Any], keep: Path | None
) -> Comparison:
    """The comparison of one method, from the file where it is kept if there is one."""
    path = keep and keep / f"{name}.nc"
    if path and path.exists():
        return Comparison.load(path)
    found = run(network, images, name, Settings(**settings))
    if path:
        found.save(path)
    return found


def said_in_the_talk(name: str) -> str | None:
    return "insensitive" if name in INSENSITIVE else "sensitive" if name in SENSITIVE else None


def markdown(rows: dict[str, dict[str, Any]]) -> str:
    """The table of all methods."""
    lines = ["| method | " + " | ".join(COLUMNS) + " |", "| --- " * (len(COLUMNS) + 1) + "|"]
    for name, found in rows.items():
        cells = [_cell(key, found.get(key)) for key in COLUMNS] if "left out" not in found else []
        lines.append(
            f"| {name} | " + (" | ".join(cells) if cells else f"left out: {found['left out']}") + " |"
        )
    return "\n".join(lines) + "\n"


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value.replace("_", " ")
    if not np.isfinite(value):
        return "-"
    return FORMATS.get(key, "{:.1e}").format(value)


def parameters(name: str, patterns: Path | None, **choices: Any) -> dict[str, Any]:
    """What a method needs to run here: patterns from a file, and of the choices those that it has."""
    given = choices | ({"patterns": str(patterns)} if patterns else {})
    return {key: value for key, value in given.items() if key in find(name).parameters}


def main(
    model: Annotated[str, typer.Argument()] = "cifar10_cnn",
    weights: str | None = None,
    side: Annotated[int | None, typer.Option(help="height and width of the input")] = None,
    images: Annotated[
        list[Path] | None, typer.Option(help="default: the photographs in scikit-image")
    ] = None,
    limit: Annotated[int | None, typer.Option()] = None,
    method: Annotated[list[str] | None, typer.Option(help="default: all")] = None,
    patterns: Annotated[Path | None, typer.Option(help="file of fitted patterns")] = None,
    vectors: int = 10,
    positions: Annotated[int | None, typer.Option(help="locations of the local spectrum")] = None,
    predict: Annotated[int | None, typer.Option(help="images that theories see")] = None,
    few: Annotated[int, typer.Option(help="images and vectors for methods of whole maps")] = 4,
    keep: Annotated[Path | None, typer.Option(help="folder of one netCDF a method, taken up again")] = None,
    out: Path = RESULTS,
    name: Annotated[str | None, typer.Option(help="of the files; default: the model")] = None,
    smoke: bool = False,
) -> dict[str, Any]:
    """Write OUT/methods-NAME.json and .md."""
    network = networks.load(model, weights, input_shape=None if side is None else (3, side, side))
    depth = len(weighted(network.graph))
    limit = 1 if smoke else limit
    loaded = networks.load_images(images, network, limit)
    settings: dict[str, Any] = {"vectors": 3 if smoke else vectors, "positions": positions}
    settings |= {"layers": ("input",), "predict": predict, "theories": THEORIES}
    of = provenance(network, images=len(loaded), vectors=vectors, few=few, layers_with_weights=depth)
    result: dict[str, Any] = {"provenance": of}
    out.mkdir(parents=True, exist_ok=True)
    rows = result["methods"] = {}
    for each in method or [m.name for m in methods()]:
        whole = not get_method(each, **parameters(each, patterns)).backpropagated
        chosen = settings | {"parameters": parameters(each, patterns), "bootstrap": 0, "certify": 0}
        chosen |= {"vectors": min(few, settings["vectors"])} if whole else {}
        try:
            rows[each] = row(
                result_of(network, loaded.tensor[: few if whole else None], each, chosen, keep), each, depth
            )
        except ConeTheoryError as error:
            rows[each] = {"left out": str(error)}
        print(each, rows[each], flush=True)
        (out / f"methods-{name or network.name}.json").write_text(json.dumps(result, indent=1) + "\n")
        (out / f"methods-{name or network.name}.md").write_text(markdown(rows))
    return result


if __name__ == "__main__":
    typer.run(main)
