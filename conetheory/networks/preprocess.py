"""From a picture of any kind to the tensor that a network was trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from conetheory.errors import InputError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MAX_ASPECT = 50  # a strip scaled until its short side fits would fill the memory
FILTERS = {found.name.lower(): found for found in Image.Resampling}
FILTERS["nearest-exact"] = Image.Resampling.NEAREST
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Affine:
    """`scale * x + shift` per channel of `(..., 3, H, W)`."""

    scale: Triple
    shift: Triple

    def __call__(self, x: Tensor) -> Tensor:
        scale, shift = (x.new_tensor(v).view(3, 1, 1) for v in (self.scale, self.shift))
        return x * scale + shift


@dataclass(frozen=True)
class Preprocess:
    """Scale the short side to `resize` pixels, crop the middle `crop`, map to [0, 1], `(x - mean) / std`.

    The steps and their order are those of torchvision's `ImageClassification` transform; small images
    are scaled up. Called with a picture of any PIL mode, returns float32 `(3, *crop)`.
    """

    resize: int = 256
    crop: tuple[int, int] = (224, 224)
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    interpolation: str = "bilinear"

    def __call__(self, image: Image.Image) -> Tensor:
        image = to_rgb(image)
        if max(image.size) > MAX_ASPECT * min(image.size):
            raise InputError(f"a picture of {image.width} x {image.height} pixels is too narrow to crop")
        pixels = torch.from_numpy(np.array(self._cropped(self._scaled(image)))).movedim(-1, 0) / 255
        mean, std = (pixels.new_tensor(v).view(3, 1, 1) for v in (self.mean, self.std))
        return ((pixels - mean) / std).contiguous()

    def _scaled(self, image: Image.Image) -> Image.Image:
        """Its short side `resize` pixels long, its long side rounded down."""
        short = min(image.size)
        size = (self.resize * image.width // short, self.resize * image.height // short)
        return image if size == image.size else image.resize(size, FILTERS[self.interpolation])

    def _cropped(self, image: Image.Image) -> Image.Image:
        """The middle; black around a picture that is smaller."""
        height, width = self.crop
        left, top = (_middle(have, want) for have, want in ((image.width, width), (image.height, height)))
        return image.crop((left, top, left + width, top + height))

    def undo(self, tensor: Tensor) -> Tensor:
        """The picture back from `(..., 3, H, W)`, as `(..., H, W, 3)` in [0, 1], for plots."""
        mean, std = (tensor.new_tensor(v).view(3, 1, 1) for v in (self.mean, self.std))
        return (tensor * std + mean).clamp(0, 1).movedim(-3, -1)

    def resized(self, height: int, width: int) -> Preprocess:
        """The same preprocessing for inputs of another size, with the same share of the picture cropped."""
        resize = max(round(max(height, width) * self.resize / max(self.crop)), height, width)
        return replace(self, resize=resize, crop=(height, width))

    def then(self, affine: Affine) -> Preprocess:
        """This preprocessing followed by an affine change per channel, as one preprocessing."""
        std = tuple(s / a for s, a in zip(self.std, affine.scale, strict=True))
        mean = tuple(m - b * s for m, b, s in zip(self.mean, affine.shift, std, strict=True))
        return replace(self, mean=mean, std=std)


def _middle(have: int, want: int) -> int:
    """Where a length starts in the middle of another one, halves to the even number."""
    return round((have - want) / 2) if have >= want else -((want - have) // 2)


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB from any mode: transparency over white, 16-bit and float greys scaled to 8 bits."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bit(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    try:
        return image.convert("RGB")
    except ValueError as error:
        raise InputError(f"a picture of mode {image.mode} can't be converted to RGB") from error


def _eight_bit(pixels: np.ndarray) -> np.ndarray:
    """Greys in [0, 1] (floats), [0, 255] or [0, 65535] as 8-bit."""
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 65535):
        raise InputError(f"grey values from {low:g} to {high:g} are neither 8-bit nor 16-bit")
    top = (
        1 if pixels.dtype.kind == "f" and high <= 1 else 65535 if high > 255 or pixels.itemsize == 2 else 255
    )
    return np.round(pixels * (255 / top)).astype(np.uint8)
