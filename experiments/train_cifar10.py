"""Train the paper's small CIFAR-10 network and write the weights that the package bundles.

    python -m experiments.train_cifar10                    # torchvision downloads CIFAR-10
    python -m experiments.train_cifar10 --data DIR         # DIR/train/CLASS/*.png|jpg, DIR/test/CLASS/*

Adam with a one-cycle learning rate, random flips and shifts of up to a tenth of the width, as in the
paper; bfloat16 where the processor has it. The float16 weights are scored *after* rounding, and the
accuracy, the recipe and the data's origin go into the safetensors metadata and a JSON beside it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.datasets import CIFAR10, ImageFolder

from conetheory.networks.cifar10 import CLASSES, Cifar10CNN

BUNDLED = Path(__file__).parents[1] / "conetheory" / "networks" / "bundled" / "cifar10_cnn.safetensors"


def load_split(data: Path | None, split: str, limit: int | None) -> tuple[Tensor, Tensor]:
    """All images of a split as uint8 `(N, 3, 32, 32)` and their labels `(N,)`."""
    if data is None:
        source = CIFAR10(".data/cifar10", train=split == "train", download=True)
        images, labels = source.data, source.targets
    else:
        source = ImageFolder(str(data / split))
        if tuple(source.classes) != CLASSES:
            raise SystemExit(f"{data / split} holds the classes {source.classes}, not {list(CLASSES)}")
        chosen = range(len(source)) if limit is None else range(0, len(source), max(1, len(source) // limit))
        pairs = [source[i] for i in track(chosen, f"reading {split}")]
        images, labels = np.stack([np.asarray(image) for image, _ in pairs]), [label for _, label in pairs]
    return torch.from_numpy(np.asarray(images)).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels)


def augment(images: Tensor, rng: torch.Generator, shift: int = 3) -> Tensor:
    """Random horizontal flips, and shifts of up to `shift` pixels with the edge repeated, for each image."""
    n, _, height, width = images.shape
    flip = torch.rand(n, generator=rng) < 0.5
    images = torch.where(flip[:, None, None, None], images.flip(-1), images)
    padded = F.pad(images, (shift,) * 4, mode="replicate")
    corner = torch.randint(0, 2 * shift + 1, (2, n, 1), generator=rng)
    rows, columns = corner[0] + torch.arange(height), corner[1] + torch.arange(width)
    shifted = padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return shifted.permute(0, 3, 1, 2)


def accuracy(model: nn.Module, images: Tensor, labels: Tensor, batch: int = 500) -> float:
    model.eval()
    with torch.inference_mode():
        hits = sum(
            (model(x.float() / 255).argmax(1) == y).sum().item()
            for x, y in zip(images.split(batch), labels.split(batch), strict=True)
        )
    return hits / len(images)


def train(
    images: Tensor,
    labels: Tensor,
    held_out: tuple[Tensor, Tensor],
    *,
    epochs: int,
    batch: int,
    lr: float,
    seed: int,
    bfloat16: bool,
) -> nn.Module:
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    model = Cifar10CNN().to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(model.parameters(), lr=lr)
    steps = epochs * -(-len(images) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps, pct_start=0.2)
    for epoch in range(epochs):
        model.train()
        started, total = time.perf_counter(), 0.0
        for index in torch.randperm(len(images), generator=rng).split(batch):
            x = augment(images[index].float() / 255, rng).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                loss = F.cross_entropy(model(x).float(), labels[index])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(index)
        print(
            f"epoch {epoch + 1}/{epochs}: loss {total / len(images):.4f}, "
            f"test {accuracy(model, *held_out):.4f}, {time.perf_counter() - started:.0f} s",
            flush=True,
        )
    return model


def save_trained(state: Mapping[str, Tensor], made: dict[str, Any], out: Path) -> None:
    """Write float16 weights, and how they were made: in their metadata, in a JSON beside them, to stdout."""
    out.parent.mkdir(parents=True, exist_ok=True)
    rounded = {name: tensor.half().cpu().contiguous() for name, tensor in state.items()}
    save_file(rounded, out, metadata={key: str(value) for key, value in made.items()})
    text = json.dumps(made, indent=2)
    out.with_suffix(".json").write_text(text + "\n")
    print(text)


def main(
    data: Annotated[Path | None, typer.Option(help="tree with train/ and test/; default: download")] = None,
    out: Annotated[Path, typer.Option(help="the safetensors file to write")] = BUNDLED,
    epochs: int = 16,
    batch: int = 128,
    lr: float = 2e-3,
    seed: int = 0,
    bfloat16: bool = True,
    limit: Annotated[int | None, typer.Option(help="about this many images per split (smoke runs)")] = None,
) -> dict:
    """Train, round to float16, score the rounded network on the test images, and save."""
    images, labels = load_split(data, "train", limit)
    held_out = load_split(data, "test", limit)
    started = time.perf_counter()
    recipe = dict(epochs=epochs, batch=batch, lr=lr, seed=seed, bfloat16=bfloat16)
    model = train(images, labels, held_out, **recipe).half().float()
    made = {
        "network": "Cifar10CNN",
        "test_accuracy": accuracy(model, *held_out),
        "test_images": len(held_out[0]),
        "train_images": len(images),
        "recipe": f"Adam, one-cycle learning rate, flips and shifts, {recipe}",
        "data": "torchvision CIFAR10" if data is None else f"ImageFolder tree {data.name}",
        "seconds": round(time.perf_counter() - started),
        "torch": torch.__version__,
        "script": "experiments/train_cifar10.py",
    }
    save_trained(model.state_dict(), made, out)
    return made


if __name__ == "__main__":
    typer.run(main)
