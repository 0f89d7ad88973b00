"""What the DeepLIFT rules share: a reference input, and differences from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import torch
from torch import Tensor

from conetheory.errors import InputError
from conetheory.rules.base import Rule


@dataclass(frozen=True, eq=False)
class DeepLift(Rule):
    """What the three have in common.

    reference: `zeros`, `mean` (of the batch), or a tensor `(C, H, W)` or `(N, C, H, W)`, preprocessed.
    measure: start vectors are multipliers. `multipliers` reads multipliers inside the network and
        contributions `m Delta x` at the input, so that maps are complete and chains compose; `contributions`
        reads contributions at every tensor, as the code of Sixt et al. does.
    pool: `gradient` sends a multiplier to the input that won (the deeplift package; not complete where
        another input wins at the reference). `rescale` sends `m Delta y / Delta x` to the winner at the
        image or, where the maximum fell, at the reference (captum; complete).
    """

    reference: Any = "zeros"
    measure: Measure = "multipliers"
    pool: Pool = "gradient"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.reference, Tensor) and self.reference not in ("zeros", "mean"):
            raise InputError(f"the reference must be zeros, mean or a tensor, not {self.reference!r}")

    def references(self, images: Tensor) -> Tensor:
        """The reference inputs `(1 or N, C, H, W)` of these images. Raises `InputError`."""
        if isinstance(self.reference, Tensor):
            reference = self.reference.to(images)
            reference = reference if reference.ndim == images.ndim else reference.unsqueeze(0)
            if reference.shape[1:] != images.shape[1:] or len(reference) not in (1, len(images)):
                raise InputError(
                    f"the reference is {tuple(self.reference.shape)}, the images are {tuple(images.shape)}"
                )
            if not bool(torch.isfinite(reference).all()):
                raise InputError("the reference holds NaN or infinite values")
            return reference
        if self.reference == "zeros":
            return torch.zeros_like(images[:1])
        if len(images) == 1:
            raise InputError("the mean of one image is that image: give another reference or more images")
        return images.mean(0, keepdim=True)

    def only(self, images: Tensor, image: int) -> Self:
        rows = self.references(images)
        return replace(self, reference=rows[image if len(rows) > 1 else 0])


Measure = Literal["multipliers", "contributions"]


Pool = Literal["gradient", "rescale"]
