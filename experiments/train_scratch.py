"""Train torchvision's VGG-16 (no batch norm) and ResNet-50 from scratch on Imagenette, on one GPU.

    python -m experiments.train_scratch resnet50 --data imagenette --out resnet50.safetensors
    python -m experiments.train_scratch vgg16 --data imagenette --out vgg16.safetensors

DATA/train/CLASS/*, DATA/val/CLASS/* (9,469 and 3,925 photographs of 10 classes). They are decoded once, to
bytes on the GPU, and cropped, resized and flipped there; bfloat16, channels last.

The learning rate warms up and falls along a cosine of the share of the epochs or of the minutes that are
over, whichever is larger: it always comes to its end within --minutes. Pictures grow with it, 128 pixels for
the first half, 192 until four fifths, 224 for the rest. A training step costs 25 and 93 GFLOP an image at 224
pixels (ResNet-50, VGG-16), a third of that at 128; at 100 and 200 TFLOP/s, which eager bfloat16 convolutions
should reach on an H100 or H200, an epoch takes about 1.5 and 2.7 s on average, and the 150 epochs fit into
the 9 minutes. These are estimates; the JSON says what a run took.

ResNet-50: SGD, as usual. VGG-16 has nothing that keeps its scale: He initialisation by the fan in, AdamW with
a small rate and clipped gradients.

OUT holds float16 weights, scored after rounding, with the recipe in their metadata and in a JSON beside them.
OUT.state (weights, optimiser, random numbers; read without executing code) is written every few epochs, and a
run that was cut off goes on from there; its minutes count.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from math import cos, inf, log, pi
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models
from torchvision.datasets import ImageFolder
from torchvision.transforms import functional as transforms

from conetheory.networks.preprocess import IMAGENET_MEAN, IMAGENET_STD, to_rgb
from experiments.train_cifar10 import save_trained

SIZES = ((0.5, 128), (0.8, 192), (1.0, 224))  # up to which share of the training, at how many pixels
WARM = 0.05  # share of the training in which the learning rate rises
STORED = 256 / 224  # side of the stored training pictures, in units of the final size


@dataclass(frozen=True)
class Recipe:
    optimiser: str
    lr: float
    decay: float
    clip: float = inf
    batch: int = 128
    epochs: int = 150
    smoothing: float = 0.1


RECIPES = {
    "resnet50": Recipe("SGD", 0.1, 5e-4),
    "vgg16": Recipe("AdamW", 2e-4, 5e-2, clip=1.0),
}


# ---------------------------------------------------------------- pictures


def load_split(folder: Path, resize: int, crop: int, limit: int | None) -> tuple[Tensor, Tensor, list[str]]:
    """Bytes `(N, 3, crop, crop)`, labels and class names; short side to `resize`, middle cropped."""
    source = ImageFolder(str(folder))
    chosen = source.samples[:: max(1, len(source) // limit)] if limit else source.samples
    pictures = torch.empty((len(chosen), 3, crop, crop), dtype=torch.uint8)

    def read(i: int) -> None:
        with Image.open(chosen[i][0]) as image:
            small = transforms.resize(to_rgb(image), [resize], antialias=True)
            pictures[i] = transforms.pil_to_tensor(transforms.center_crop(small, [crop, crop]))

    with ThreadPoolExecutor() as pool:
        list(pool.map(read, range(len(chosen))))
    return pictures, torch.tensor([label for _, label in chosen]), source.classes


def normalised(pictures: Tensor) -> Tensor:
    """Bytes, or floats in [0, 255], as the networks take them: channels last, ImageNet's mean and scale."""
    mean, std = (
        pictures.new_tensor(v, dtype=torch.float32).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return ((pictures / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def augmented(pictures: Tensor, size: int, rng: torch.Generator) -> Tensor:
    """Random crops (area 0.25 to 1, aspect 3:4 to 4:3), resized and flipped: `(N, 3, size, size)`."""
    n, device = len(pictures), pictures.device

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=rng, device=device)

    area, stretch = uniform(0.25, 1.0).sqrt(), (uniform(-1, 1) * log(4 / 3) / 2).exp()
    width, height = (area * stretch).clamp(max=1), (area / stretch).clamp(max=1)
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    theta = torch.zeros((n, 2, 3), device=device)
    theta[:, 0, 0], theta[:, 0, 2] = width * flip, (1 - width) * uniform(-1, 1)
    theta[:, 1, 1], theta[:, 1, 2] = height, (1 - height) * uniform(-1, 1)
    grid = F.affine_grid(theta, [n, 3, size, size], align_corners=False)
    return F.grid_sample(pictures.float(), grid, padding_mode="reflection", align_corners=False)


# ---------------------------------------------------------------- networks


def build(name: str, classes: int) -> nn.Module:
    """The network, initialised."""
    if name == "resnet50":
        return models.resnet50(num_classes=classes, zero_init_residual=True)
    model = models.vgg16(num_classes=classes)
    he(model)
    return model


def he(model: nn.Module) -> None:
    """He initialisation by the fan in; the last layer starts near zero."""
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    nn.init.normal_(layers[-1].weight, std=0.01)


def optimiser_of(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Weights decay; biases and batch norms don't."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": recipe.decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimiser == "SGD":
        return torch.optim.SGD(groups, recipe.lr, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, recipe.lr)


def accuracy(model: nn.Module, pictures: Tensor, labels: Tensor, batch: int = 250) -> float:
    model.eval()
    with torch.inference_mode():
        pairs = zip(pictures.split(batch), labels.split(batch), strict=True)
        hits = sum((model(normalised(x)).argmax(1) == y).sum() for x, y in pairs)
    return int(hits) / len(labels)


# ---------------------------------------------------------------- training


def rate(progress: float) -> float:
    """The learning rate as a share of its peak."""
    return progress / WARM if progress < WARM else (1 + cos(pi * (progress - WARM) / (1 - WARM))) / 2


def side(progress: float, final: int) -> int:
    """The pictures' side, a multiple of 32."""
    pixels = next(s for share, s in SIZES if progress <= share)
    return max(32, round(pixels * final / SIZES[-1][1] / 32) * 32)


class Training:
    """A network in training, which can be written to a file and taken up again."""

    def __init__(self, model: nn.Module, recipe: Recipe, *, size: int, seconds: float, seed: int) -> None:
        self.model, self.recipe, self.size, self.limit = model, recipe, size, seconds
        self.device = next(model.parameters()).device
        self.optimiser = optimiser_of(model, recipe)
        self.rng = torch.Generator(self.device).manual_seed(seed)
        self.epoch, self.step, self.before, self.begun = 0, 0, 0.0, time.perf_counter()

    @property
    def seconds(self) -> float:
        return self.before + time.perf_counter() - self.begun

    def progress(self, steps: int) -> float:
        return min(1.0, max(self.step / steps, self.seconds / self.limit))

    def run(self, pictures: Tensor, labels: Tensor, every: int, state: Path) -> None:
        """Train until the epochs or the minutes are over."""
        steps = self.recipe.epochs * -(-len(labels) // self.recipe.batch)
        while (progress := self.progress(steps)) < 1:
            pixels = side(progress, self.size)
            loss = self._one_epoch(pictures, labels, pixels, steps)
            self.epoch += 1
            print(f"epoch {self.epoch}: {pixels} px, loss {loss:.4f}, {self.seconds:.0f} s", flush=True)
            if self.epoch % every == 0 or self.progress(steps) >= 1:
                self.save(state)

    def _one_epoch(self, pictures: Tensor, labels: Tensor, pixels: int, steps: int) -> float:
        self.model.train()
        total = torch.zeros((), device=self.device)
        order = torch.randperm(len(labels), generator=self.rng, device=self.device)
        for index in order.split(self.recipe.batch):
            self.step += 1
            if len(index) == 1 < len(order):  # a batch norm can't do with one
                continue
            for group in self.optimiser.param_groups:
                group["lr"] = self.recipe.lr * rate(self.progress(steps))
            x = normalised(augmented(pictures[index], pixels, self.rng))
            with torch.autocast(self.device.type, torch.bfloat16):
                logits = self.model(x)
            loss = F.cross_entropy(logits.float(), labels[index], label_smoothing=self.recipe.smoothing)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
            self.optimiser.step()
            total += loss.detach() * len(index)
        return total.item() / len(labels)

    def save(self, path: Path) -> None:
        """Write the state; the file appears whole or not at all."""
        state = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        state |= {
            "rng": self.rng.get_state(),
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = path.with_suffix(path.suffix + ".partial")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rng.set_state(state["rng"].cpu())
        self.epoch, self.step, self.before = state["epoch"], state["step"], state["seconds"]
        self.begun = time.perf_counter()


def main(
    model: Annotated[str, typer.Argument(help="resnet50 or vgg16")],
    data: Annotated[Path, typer.Option(help="tree with train/CLASS and val/CLASS")],
    out: Annotated[Path, typer.Option(help="the safetensors file to write")],
    minutes: Annotated[float, typer.Option(help="of training and reading, earlier runs included")] = 9.0,
    epochs: Annotated[int | None, typer.Option(help="default: the recipe's")] = None,
    batch: int | None = None,
    lr: float | None = None,
    size: Annotated[int, typer.Option(help="final side of the pictures")] = 224,
    every: Annotated[int, typer.Option(help="epochs between two states")] = 25,
    limit: Annotated[int | None, typer.Option(help="about this many pictures a split (smoke runs)")] = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Train, round to float16, score the rounded network on the validation pictures, and save."""
    begun = time.perf_counter()
    if model not in RECIPES:
        raise SystemExit(f"there is a recipe for {' and '.join(RECIPES)}, not for {model}")
    given = {k: v for k, v in {"epochs": epochs, "batch": batch, "lr": lr}.items() if v is not None}
    recipe = Recipe(**(asdict(RECIPES[model]) | given))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(seed)
    pictures, labels, classes = load_split(data / "train", *[round(STORED * size)] * 2, limit)
    held_out = load_split(data / "val", round(STORED * size), size, limit)
    reading = time.perf_counter() - begun
    network = build(model, len(classes)).to(device, memory_format=torch.channels_last)
    training = Training(network, recipe, size=size, seconds=max(1.0, 60 * minutes - reading), seed=seed)
    state = out.with_suffix(out.suffix + ".state")
    out.parent.mkdir(parents=True, exist_ok=True)
    if state.exists():
        training.load(state)
    training.run(pictures.to(device), labels.to(device), every, state)
    rounded = {name: t.half().contiguous() for name, t in network.state_dict().items()}
    network.load_state_dict(rounded)
    made = {
        "network": model,
        "validation_accuracy": accuracy(network, held_out[0].to(device), held_out[1].to(device)),
        "validation_images": len(held_out[1]),
        "train_images": len(labels),
        "classes": ", ".join(classes),
        "recipe": f"{asdict(recipe)}, sizes {SIZES}, final {size}",
        "epochs": training.epoch,
        "seconds_reading": round(reading, 1),
        "seconds_training": round(training.seconds, 1),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "data": f"ImageFolder tree {data.name}",
        "torch": str(torch.__version__),
        "script": "experiments/train_scratch.py",
    }
    kept = {k: v for k, v in rounded.items() if not k.endswith("num_batches_tracked")}
    save_trained(kept, made, out)
    return made


if __name__ == "__main__":
    typer.run(main)
