"""What a study does with each method: settings that are checked before anything runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from conetheory.counts import DEFAULT_VECTORS, VECTORS, checked_seed, checked_whole
from conetheory.errors import InputError
from conetheory.predict.registry import applies, find, theories
from conetheory.rules.registry import Method

PLANNED = "planned"  # certificates: of one image, where the budget affords them


@dataclass(frozen=True)
class Settings:
    """What a study does, beside its network, images and methods.

    Parameters
    ----------
    starts
        layers that relevance starts from.
    vectors
        per image and start.
    seed
        of vectors and locations.
    bootstrap
        replicates for the band of the median.
    layers
        to say something about (None: the network's).
    theories
        by name (None: the usual ones that the budget affords).
    predict, certify
        images, from the first, that are predicted and certified (None: all; certify by default: one,
        where the budget affords it); a theory of the drawn vectors sees all of them.
    budget
        of `runs.plan`, in vectors through the chain for each image (None: twelve times what measuring
        costs); what is asked for by name it does not limit.
    positions
        locations per layer and image for theories and certificates (None: what is affordable).
    device
        where chains are, as torch names it.
    dtype
        of chains that are measured.
    parameters
        of the rule.
    repro
        choices of the paper's own code (`rules.repro.CHOICES`).
    measure
        whether to measure.
    batch
        images that share a chain while they are measured; no result depends on it.
    memory
        bytes that a process may take (None: whatever it takes): blocks are halved until all fits in them.

    Raises
    ------
    InputError
        where nothing is asked for.
    """

    starts: tuple[str, ...] = ("logits",)
    vectors: int = DEFAULT_VECTORS
    seed: int = 0
    bootstrap: int = 100
    layers: tuple[str, ...] | None = None
    theories: tuple[str, ...] | None = None
    predict: int | None = None
    certify: int | Literal["planned"] | None = PLANNED
    budget: float | None = None
    positions: int | None = None
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    parameters: dict[str, Any] = field(default_factory=dict)
    repro: tuple[str, ...] = ()
    measure: bool = True
    batch: int = 1
    memory: float | None = None

    def __post_init__(self) -> None:
        plain = {
            "vectors": checked_whole(self.vectors, "vectors", 2, VECTORS),
            "seed": checked_seed(self.seed),
        }
        least = {"bootstrap": 0, "batch": 1, "predict": 0, "certify": 0, "positions": 1}
        for name, lowest in least.items():
            value = getattr(self, name)
            if (value is not None and value != PLANNED) or name in ("bootstrap", "batch"):
                plain[name] = checked_whole(value, name, lowest)
        for name, value in plain.items():  # numpy's own integers are no JSON
            object.__setattr__(self, name, value)
        if self.budget is not None and not self.budget >= 0:
            raise InputError(f"budget must be at least 0 vectors, not {self.budget}")
        if not self.measure and self.theories == () and self.certify == 0:
            raise InputError("nothing is asked for: neither to measure nor to predict nor to certify")
        if self.memory is not None and not self.memory > 0:
            raise InputError(f"memory must be more than 0 bytes, not {self.memory}")
        for name in self.theories or ():
            find(name)

    def certifies(self, number: int) -> bool:
        return _among(number, 1 if self.certify == PLANNED else self.certify)

    def predicts(self, number: int) -> bool:
        return _among(number, self.predict)


def check_applies(method: Method, settings: Settings) -> None:
    """Raise `InputError` where nothing that is asked for says anything about the method."""
    if settings.measure or (settings.certify != 0 and method.backpropagated):
        return
    asked = settings.theories or theories()
    refused = [found for theory in asked if (found := applies(theory, method)) is not None]
    if len(refused) == len(asked):
        reasons = "; ".join(dict.fromkeys(found.reason for found in refused))
        raise InputError(f"nothing that is asked for applies: {reasons}")


def _among(number: int, first: int | None) -> bool:
    """Whether an image is one of the first so many (None: all)."""
    return first is None or number < first
