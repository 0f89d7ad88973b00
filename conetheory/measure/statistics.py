"""What is kept of the deficits of one start layer at one layer: counts, and sums that no order changes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conetheory.measure import histogram

HELD = 64  # tensors that are kept one by one, before they become one


class LayerStatistics:
    """What is kept of one start layer at one layer; row 0 is the measurement, the others its bootstrap.

    It is kept on the chain's device until someone reads it: a number that is asked for there makes the
    sweep wait. Counts are whole numbers and sums are kept image by image, so that nothing depends on the
    order in which, or on the place where, images were seen.

    Parameters
    ----------
    rows
        one more than there are bootstrap replicates.
    device
        the chain's.
    """

    def __init__(self, rows: int, device: torch.device) -> None:
        self._counts = torch.zeros((rows, histogram.BINS), dtype=torch.float64, device=device)
        self._dead = torch.zeros((), dtype=torch.int64, device=device)
        self._live: Tensor | None = None
        self._pairs: Tensor | None = None
        self._open: Tensor | None = None
        self._sums: list[Tensor] = []
        self._flattened: list[Tensor] = []
        self.total = 0

    def add(self, deficits: Tensor, live: Tensor, channels: int) -> None:
        """Add locations of some images, until `weigh`.

        Parameters
        ----------
        deficits
            `(images, locations, pairs)`, NaN where they are dead.
        live
            `(images, locations)`, how many channels are.
        channels
            how many there are.
        """
        told_apart = len(self._counts) > 1  # not without a bootstrap
        apart = deficits if told_apart else deficits.reshape(-1, 1)
        self._pairs = histogram.pair_histograms(apart, self._pairs)
        summed = torch.nansum(deficits, (1, 2))
        self._open = summed if self._open is None else self._open + summed
        dead = torch.isnan(deficits)
        self._dead += dead.sum()
        if self._live is None:
            self._live = torch.zeros(channels + 1, dtype=torch.int64, device=deficits.device)
        self._live.index_add_(0, live.flatten(), (~dead).sum(-1).flatten())
        self.total += deficits.numel()

    def weigh(self, weights: Tensor) -> None:
        """Count what was added of some images, in each row by its weights `(images, rows, pairs)`."""
        if self._pairs is None or self._open is None:
            return
        if len(self._counts) > 1:
            self._count(weights.transpose(0, 1).flatten(1), self._pairs.flatten(0, 1))
        else:
            self._counts += self._pairs
        _keep(self._sums, self._open)
        self._pairs = self._open = None

    def _count(self, weights: Tensor, pairs: Tensor) -> None:
        """Add `weights @ pairs`, exactly, as all are whole; of the bins one in ten holds something.

        Which do, a GPU would have to be waited for to tell: there all are multiplied.
        """
        if pairs.device.type == "cpu":
            where = pairs.any(0).nonzero()[:, 0]
            self._counts.index_add_(1, where, weights @ pairs[:, where])
        else:
            self._counts.addmm_(weights, pairs)

    def add_flattened(self, deficits: Tensor) -> None:
        """Add the deficits of whole maps, `(images, pairs)`."""
        _keep(self._flattened, deficits)

    def record(self) -> dict[str, Any]:
        """What was found, as `take` takes it up; of the counts the bins that hold something.

        A bin that is empty in the measurement is so in each of its resamples.
        """
        counts = self.counts
        where = np.flatnonzero(counts[0])
        found = counts[:, where]
        return {
            "where": where.astype(np.int32),
            "counts": found.astype(np.min_scalar_type(int(found.max(initial=0)))),
            "sums": self.sums,
            "flattened": self.flattened,
            "dead": self.dead,
            "live": self.live,
            "total": self.total,
        }

    def take(self, record: Mapping[str, Any]) -> None:
        """Add what was found of other images, that come after those that were seen.

        Parameters
        ----------
        record
            of statistics with as many rows.
        """
        where = torch.from_numpy(np.asarray(record["where"], np.int64))
        self._counts.index_add_(1, where, torch.from_numpy(np.asarray(record["counts"], np.float64)))
        for kept, name in ((self._sums, "sums"), (self._flattened, "flattened")):
            if len(record[name]):
                _keep(kept, torch.from_numpy(np.asarray(record[name])))
        self._dead += record["dead"]
        if (live := record.get("live")) is not None and len(live):  # which older ones do not know
            found = torch.from_numpy(np.asarray(live, np.int64))
            self._live = found if self._live is None else self._live + found
        self.total += record["total"]

    @property
    def counts(self) -> np.ndarray:
        """Histograms `(rows, BINS)` of the deficits."""
        return self._counts.cpu().numpy()

    @property
    def dead(self) -> int:
        return int(self._dead)

    @property
    def live(self) -> np.ndarray:
        """How many pairs are at locations with so many live channels, `(channels + 1,)`."""
        return np.empty(0, np.int64) if self._live is None else self._live.cpu().numpy()

    @property
    def sums(self) -> np.ndarray:
        """The sum of the deficits of each image."""
        return torch.cat(self._sums).cpu().numpy() if self._sums else np.empty(0)

    @property
    def mean(self) -> float:
        """The mean over everything that is alive: sums of images, added without rounding between."""
        live = self.total - self.dead
        return math.fsum(self.sums) / live if live > 0 else float("nan")

    @property
    def flattened_median(self) -> float:
        """The median deficit of whole maps, NaN where none is alive."""
        values = self.flattened
        live = values[~np.isnan(values)]
        return float(np.median(live)) if len(live) else float("nan")

    @property
    def flattened(self) -> np.ndarray:
        """The deficits of whole maps, image by image."""
        if not self._flattened:
            return np.empty(0)
        return torch.cat([part.flatten() for part in self._flattened]).cpu().numpy()


def _keep(held: list[Tensor], found: Tensor) -> None:
    """Add a tensor to those that are kept: small ones cost more than what is in them."""
    held.append(found)
    if len(held) > HELD:
        held[:] = [torch.cat([part.flatten() for part in held])]
