"""Training that a kill at any moment does not undo: the weights come out as if there had been none.

What is random depends on the seed, the epoch and the step alone: the order of an epoch, which pictures are
mirrored, dropout. A checkpoint holds weights, batch norms' statistics, the optimiser and the step. Steps
since the last one are made again. The same bits need the same number of threads: how sums are split rounds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from conetheory.progress import Progress, silent
from experiments.frozen_features import Features

WARM = 0.2  # share of the steps in which the learning rate rises
EVERY = 120.0  # seconds between two checkpoints
MONITORED = 8  # one in so many validation pictures is looked at after an epoch


@dataclass(frozen=True)
class Settings:
    """pixels: side of the training pictures. smoothing: of the labels. clip: of the gradient's norm."""

    pixels: int
    epochs: int
    lr: float
    batch: int = 64
    decay: float = 0.05
    smoothing: float = 0.1
    clip: float = 1.0


@dataclass(frozen=True, eq=False)
class Examples:
    """The same pictures in one or more views (as they are, mirrored), and their labels."""

    views: Sequence[Features]
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: Tensor, view: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures by number, each in the view that is drawn for it."""
        x = torch.cat([self.views[int(v)].rows([int(i)]) for i, v in zip(index, view, strict=True)])
        return x.contiguous(memory_format=torch.channels_last), self.labels[index]


class Ledger:
    """Minutes spent, by what was done, in a file: those of interrupted runs count."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spent: dict[str, list[float]] = json.loads(path.read_text()) if path.exists() else {}
        self._last = (time.perf_counter(), time.process_time())

    def book(self, what: str) -> None:
        """The time since the last call goes to `what`."""
        now = (time.perf_counter(), time.process_time())
        before = self.spent.get(what, [0.0, 0.0])
        self.spent[what] = [b + (n - old) / 60 for b, n, old in zip(before, now, self._last, strict=True)]
        self._last = now
        replace_text(self.path, json.dumps(self.spent))


def minutes(ledgers: Sequence[Ledger], which: int) -> dict[str, float]:
    """What all of them have, by the clock (0) or of the processor (1)."""
    names = dict.fromkeys(what for ledger in ledgers for what in ledger.spent)
    return {n: round(sum(one.spent.get(n, (0.0, 0.0))[which] for one in ledgers), 1) for n in names}


class TimeLeft:
    """Progress in lines, at most one in ten seconds, with the time left at this run's pace."""

    def __init__(self, every: float = 10.0) -> None:
        self.every, self.told = every, 0.0
        self.begun: dict[str, tuple[float, int]] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        began, first = self.begun.setdefault(what, (now, done))
        if now - self.told < self.every and done < total:
            return
        self.told = now
        left = (now - began) / (done - first) * (total - done) / 60 if done > first else None
        said = "" if left is None else f", {left:.1f} min left"
        print(f"{what}: {done:,} of {total:,}{said}", flush=True)


def rate(progress: float) -> float:
    """One cycle: the learning rate as a share of its peak."""
    return progress / WARM if progress < WARM else (1 + cos(pi * (progress - WARM) / (1 - WARM))) / 2


class Training:
    """A network on its way; `held` modules keep their weights and statistics."""

    def __init__(
        self, model: nn.Module, held: Sequence[nn.Module], settings: Settings, seed: int, folder: Path
    ) -> None:
        self.model, self.held, self.settings, self.seed = model, held, settings, seed
        self.checkpoint = folder / "checkpoint.pt"
        for module in held:
            module.requires_grad_(False)
        free = [p for p in model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in free if p.ndim > 1], "weight_decay": settings.decay},
            {"params": [p for p in free if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, settings.lr)
        self.step = 0
        if self.checkpoint.exists():
            self.load()

    def run(
        self, examples: Examples, held_out: Examples, ledger: Ledger, progress: Progress = silent
    ) -> None:
        """All epochs, from where the checkpoint is."""
        batch = self.settings.batch
        per_epoch = max(1, len(examples) // batch)  # what is over after the last whole batch is left out
        total, saved = per_epoch * self.settings.epochs, time.monotonic()
        while self.step < total:
            epoch, k = divmod(self.step, per_epoch)
            order, views = drawn(len(examples), len(examples.views), self.seed, epoch)
            index = order[k * batch : (k + 1) * batch]
            loss = self._one_step(examples.batch(index, views[index]), total)
            self.step += 1
            progress(f"step (loss {loss:.3f})", self.step, total)
            if self.step % per_epoch == 0 or time.monotonic() - saved > EVERY:
                self.save()
                ledger.book("training")
                saved = time.monotonic()
            if self.step % per_epoch == 0:
                share = accuracy(self.model, held_out, range(0, len(held_out), MONITORED))
                print(f"epoch {epoch + 1}: one in {MONITORED} validation pictures {share:.4f}", flush=True)
                ledger.book("scoring")

    def _one_step(self, batch: tuple[Tensor, Tensor], total: int) -> float:
        self.model.train()
        for module in self.held:
            module.eval()
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.lr * rate((self.step + 1) / total)
        torch.manual_seed(self.seed * 1_000_003 + self.step)  # of dropout
        loss = F.cross_entropy(self.model(batch[0]), batch[1], label_smoothing=self.settings.smoothing)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        self.optimiser.step()
        return loss.item()

    def save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def load(self) -> None:
        state: dict[str, Any] = torch.load(self.checkpoint, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]


def drawn(count: int, views: int, seed: int, epoch: int) -> tuple[Tensor, Tensor]:
    """The order of an epoch, and the view of each picture."""
    rng = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(count, generator=rng), torch.randint(views, (count,), generator=rng)


@torch.inference_mode()
def decisions(model: nn.Module, examples: Examples, index: Sequence[int], batch: int = 64) -> Tensor:
    """The class that the model in evaluation mode gives to some pictures in their first view."""
    model.eval()
    parts = (index[i : i + batch] for i in range(0, len(index), batch))
    return torch.cat([model(examples.views[0].rows(part)).argmax(1) for part in parts])


def accuracy(model: nn.Module, examples: Examples, index: Sequence[int]) -> float:
    """The share of right decisions."""
    right = decisions(model, examples, index) == examples.labels[list(index)]
    return int(right.sum()) / len(right)


def replace_text(path: Path, text: str) -> None:
    """A file that appears whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)
