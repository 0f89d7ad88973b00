"""Train what is missing above a trunk on Imagenette, on the processor, and go on where a run was cut off.

    python -m experiments.train_imagenette --trunk resnet50v2_stages1to3.safetensors --images imagenette
    python -m experiments.train_imagenette --recipe vgg16 --trunk vgg16.safetensors --images imagenette

IMAGES/train/CLASS/*, IMAGES/val/CLASS/* (9,469 and 3,925 photographs of ten classes). Frozen layers see each
picture and its mirror image once; what they give is kept as float16 in the cache, with checkpoints and the
trained weights, by default in the user's cache folder. The networks and their recipes: `partly_frozen`.

The trained network's kernels are rounded to float16. It is then scored on all validation pictures from their
float16 features, and on some of them again through `networks.load` and the picture itself. Weights are in
CACHE/RECIPE.safetensors. RESULTS/train-RECIPE.json has the accuracy as a share, the recipe, seed, sha256 of
trunk, pictures and weights, and the minutes, by the clock and of the processor, interrupted runs included.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from safetensors.torch import save_file
from torch import Tensor, nn

from conetheory import networks
from conetheory.errors import ConeTheoryError
from conetheory.networks import Network, weights
from conetheory.networks.preprocess import Preprocess
from conetheory.runs import store
from experiments.frozen_features import Features, Pictures, features
from experiments.partly_frozen import HEAD, RECIPES, Phase, Recipe, from_trunk
from experiments.resumable import Examples, Ledger, TimeLeft, Training, accuracy, decisions, minutes

RESULTS = Path(__file__).parent / "results"
CHECKED = 100  # validation pictures that are also decided through the network itself
PROGRESS = TimeLeft()


def default_cache() -> Path:
    """The user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "conetheory-train"


@dataclass(frozen=True, eq=False)
class Job:
    """One network, the pictures, of which the first `count` are trained on, and the folder of it all."""

    recipe: Recipe
    train: Pictures
    held_out: Pictures
    count: int
    seed: int
    mirrored: bool
    cache: Path

    def run(self, number: int) -> Path:
        """The folder of what depends on the first so many phases."""
        settings = [asdict(phase.settings) for phase in self.recipe.phases[:number]]
        return store.folder(self.cache / f"run-{key([settings, self.count, self.seed, self.mirrored])}")

    def features(self, frozen: nn.Module, pixels: int, split: str, mirrored: bool, folder: Path) -> Features:
        """Of a split, computed by the traced network: its batch norms are folded."""
        pictures = self.train.blocks(self.count) if split == "train" else self.held_out
        name = f"{split}-{pixels}" + ("-mirrored" if mirrored else "")
        graph = functools.cache(lambda: networks.trace(frozen, (3, pixels, pixels)))  # not where all is there
        preprocess, forward = Preprocess().resized(pixels, pixels), lambda x: graph().forward(x)
        return features(forward, pictures, preprocess, folder / name, mirrored=mirrored, progress=PROGRESS)


def key(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def trained(job: Job, model: nn.Module) -> tuple[nn.Module, Examples, list[Ledger]]:
    """All phases; the last one's trained part, its validation pictures, and what each phase took."""
    carried: dict[str, Tensor] = {}
    ledgers = []
    for number, phase in enumerate(job.recipe.phases, start=1):
        ledgers.append(ledger := Ledger(job.run(number) / "minutes.json"))
        torch.manual_seed(job.seed)  # of what a phase adds to the network
        frozen, upper = phase.parts(model)
        fitting = {name: t for name, t in carried.items() if not name.startswith(f"{HEAD}.")}
        upper.load_state_dict(fitting, strict=False)
        folder = store.folder(job.run(number) / f"phase{number}")
        seen = (job.run(phase.below) if phase.below else job.cache) / "features"
        examples, held_out = of_phase(job, phase, frozen.eval(), seen)
        ledger.book("features")
        upper = upper.to(memory_format=torch.channels_last)
        training = Training(
            upper, [upper.get_submodule(n) for n in phase.held], phase.settings, job.seed, folder
        )
        training.run(examples, held_out, ledger, PROGRESS)
        carried = upper.state_dict()
    return upper, held_out, ledgers


def of_phase(job: Job, phase: Phase, frozen: nn.Module, folder: Path) -> tuple[Examples, Examples]:
    """Training pictures with their mirror images, and validation pictures, as the trained part sees them."""
    pixels = phase.settings.pixels
    held_out = Examples([job.features(frozen, job.recipe.pixels, "val", False, folder)], job.held_out.labels)
    asked = (False, True)[: 1 + job.mirrored]
    views = [job.features(frozen, pixels, "train", mirrored, folder) for mirrored in asked]
    return Examples(views, job.train.labels[: job.count]), held_out


def rounded(model: nn.Module) -> dict[str, Tensor]:
    """Kernels in float16, biases and batch norms in float32; counters left out."""
    return {
        name: (t.half() if t.ndim > 1 else t.float()).contiguous()
        for name, t in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def checked(network: Network, upper: nn.Module, job: Job, held_out: Examples) -> dict[str, int]:
    """On how many of some pictures the loaded network decides as the trained part does from its features."""
    count = len(held_out)
    index = [round(i * (count - 1) / max(1, min(CHECKED, count) - 1)) for i in range(min(CHECKED, count))]
    paths = [job.held_out.paths[i] for i in index]
    with torch.inference_mode():
        parts = (networks.load_images(paths[i : i + 20], network).tensor for i in range(0, len(paths), 20))
        found = torch.cat([network.graph.forward(part).argmax(1) for part in parts])
    same = found == decisions(upper, held_out, index)
    right = found == held_out.labels[index]
    return {"checked_images": len(index), "checked_same": int(same.sum()), "checked_right": int(right.sum())}


def write(path: Path, model: nn.Module, upper: nn.Module, held_out: Examples, known: dict) -> None:
    """The rounded weights, and what is known of them; the network has them from here on."""
    state = rounded(model)
    model.load_state_dict(state, strict=False)
    known["validation_accuracy"] = accuracy(upper, held_out, range(len(held_out)))
    partial = path.with_suffix(".partial")
    save_file(state, partial, metadata={"made": json.dumps(known)})  # one entry: more have no order
    partial.replace(path)


def main(
    trunk: Annotated[Path, typer.Option(help="safetensors file of the trained lower layers")],
    images: Annotated[Path, typer.Option(help="folder with train/CLASS and val/CLASS")],
    recipe: Annotated[str, typer.Option(help=" or ".join(RECIPES))] = "resnet50_v2",
    cache: Annotated[Path | None, typer.Option(help="features, checkpoints, weights")] = None,
    out: Annotated[Path, typer.Option(help="folder of train-RECIPE.json")] = RESULTS,
    limit: Annotated[int | None, typer.Option(help="pictures of a split (smoke runs)")] = None,
    train_limit: Annotated[int | None, typer.Option(help="training pictures, drawn at random")] = None,
    mirrored: Annotated[bool, typer.Option(help="train on mirror images too")] = True,
    epochs: Annotated[int | None, typer.Option(help="of each phase; default: the recipe's")] = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Train, round, score and save; what is in the cache is taken up."""
    try:
        return train(
            trunk, images, recipe, cache or default_cache(), out, limit, seed, mirrored, epochs, train_limit
        )
    except ConeTheoryError as error:
        raise SystemExit(str(error)) from error


def train(
    trunk: Path,
    images: Path,
    name: str,
    cache: Path,
    out: Path,
    limit: int | None = None,
    seed: int = 0,
    mirrored: bool = True,
    epochs: int | None = None,
    train_limit: int | None = None,
) -> dict[str, Any]:
    """As `main`, with a recipe's name; raises `ConeTheoryError`."""
    if name not in RECIPES:
        raise SystemExit(f"the recipes are {', '.join(RECIPES)}; there is none named {name}")
    recipe, state = RECIPES[name].lasting(epochs), weights.read(trunk)
    splits = (
        Pictures.of(images / "train", limit, shuffled=True),
        Pictures.of(images / "val", limit),
    )
    identity = {
        "trunk_sha256": hashlib.sha256(trunk.read_bytes()).hexdigest(),
        "train_sha256": splits[0].sha256,
        "validation_sha256": splits[1].sha256,
    }
    count = min(train_limit or len(splits[0].paths), len(splits[0].paths))
    job = Job(recipe, *splits, count, seed, mirrored, cache / f"{name}-{key(identity)}")
    torch.manual_seed(seed)
    model = from_trunk(recipe, len(job.train.classes), state, str(trunk))
    upper, held_out, ledgers = trained(job, model)
    made: dict[str, Any] = {
        "network": recipe.network,
        "classes": " ".join(job.train.classes),
        "seed": seed,
        "mirrored": mirrored,
        "train_images": count,
        "validation_images": len(held_out),
        "validation_pixels": recipe.pixels,
        "phases": [asdict(phase.settings) for phase in recipe.phases],
        "trunk": trunk.name,
        **identity,
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "script": "experiments/train_imagenette.py",
    }
    path = cache / f"{name}.safetensors"
    write(path, model, upper, held_out, made)
    shape = (3, recipe.pixels, recipe.pixels)
    loaded = networks.load(recipe.build(len(job.train.classes)), path, shape)
    made |= checked(loaded, upper, job, held_out)
    ledgers[-1].book("scoring")
    made["weights_sha256"] = loaded.provenance["weights_sha256"]
    made["file_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    made["minutes"], made["processor_minutes"] = (minutes(ledgers, which) for which in (0, 1))
    out.mkdir(parents=True, exist_ok=True)
    (out / f"train-{name}.json").write_text(json.dumps(made, indent=1) + "\n")
    print(f"weights: {path}", flush=True)
    return made


if __name__ == "__main__":
    typer.run(main)
