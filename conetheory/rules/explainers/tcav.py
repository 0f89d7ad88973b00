"""Testing with concept activation vectors (Kim et al. 2018), by captum.

A concept's vector c is the unit normal of a linear classifier between the activations of its examples and
those of random images. TCAV's score of a class k is the share of images whose directional derivative
`<c, grad_h f_k>` at the layer h is positive. It gives no map, but its sensitivity to the class can be
measured: what forgets the class has the same scores for all, so the spread of `score` over classes, held
against its scatter over runs, says whether it does. And as the derivative is c times the chain of `gradient`
from the logits to the layer, the CSC of `gradient` at that layer says it for all concepts at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import xarray as xr
from scipy.optimize import minimize
from scipy.special import expit
from torch import Tensor, nn

from conetheory.counts import checked_seed, checked_whole
from conetheory.errors import InputError
from conetheory.networks.edge import Model, as_network, shape_of
from conetheory.networks.graph import Graph
from conetheory.networks.images import load_images
from conetheory.networks.zoo import Network
from conetheory.rules.explainer import Explainer
from conetheory.rules.explainers import forward
from conetheory.rules.registry import register

RANDOM = "random"
PENALTY = 0.01  # of the classifier, as in the authors' code
HELD_OUT = 1 / 3
BATCH = 32
Pictures = Tensor | str | Path


@register(
    "tcav",
    family="concepts",
    description="how often a concept's direction raises a class: a score, no map",
    equation="the share of images with <c, grad_h f_k> > 0,  c the concept's direction at a layer h",
    source="Kim et al. 2018",
)
@dataclass(frozen=True)
class Tcav(Explainer):
    """In the registry so that it is found; see `tcav_scores`."""

    is_linear = False

    def bind(self, graph: Graph) -> Tcav:
        raise InputError(
            "tcav gives scores of classes and concepts, no map: "
            "use conetheory.rules.explainers.tcav.tcav_scores"
        )


def tcav_scores(
    network: Model,
    images: Tensor,
    concepts: Mapping[str, Pictures],
    layer: str,
    targets: Sequence[int],
    *,
    random: Pictures,
    runs: int = 5,
    seed: int = 0,
) -> xr.Dataset:
    """TCAV of the classes `targets` on preprocessed images `(N, C, H, W)`.

    concepts: the examples of each, as preprocessed images or a folder of pictures. random: images that
    show none of them in particular. Each run draws two disjoint lots of these, each as many as the smallest
    concept has (or half of all): one is what the concepts are told from, and the other told from it is the
    concept `random`, the scatter that a score has to stand out from.

    Variables: `score` (concept, target, run); `derivative`, the mean of the directional derivatives; and
    `accuracy` (concept, run) of the classifier on the third of the examples that it was not fitted to.
    Raises `InputError` where the network can't be cut at the layer and where the examples are too few.
    """
    runs, seed = checked_whole(runs, "runs"), checked_seed(seed)
    if runs < 1 or not concepts or RANDOM in concepts:
        raise InputError(f"tcav needs a run and a concept, none of them called {RANDOM!r}")
    network = as_network(network, shape_of(images))
    model = _Cut(network.graph, layer)
    examples = {name: _pictures(given, network) for name, given in concepts.items()}
    lots = _lots(_pictures(random, network), min(map(len, examples.values())), runs, seed)
    found = [
        _run(model, images, examples | {RANDOM: null}, against, targets, seed + run)
        for run, (null, against) in enumerate(lots)
    ]
    dims = (("concept", "target", "run"), ("concept", "target", "run"), ("concept", "run"))
    parts = [np.stack(part, -1) for part in zip(*found, strict=True)]
    return xr.Dataset(
        dict(zip(("score", "derivative", "accuracy"), zip(dims, parts, strict=True), strict=True)),
        coords={"concept": [*examples, RANDOM], "target": list(targets), "run": list(range(runs))},
    )


def _run(
    model: nn.Module,
    images: Tensor,
    examples: Mapping[str, Tensor],
    against: Tensor,
    targets: Sequence[int],
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores and mean derivatives `(concepts, targets)` and the classifiers' accuracies `(concepts,)`."""
    captum = forward.captum("concept")
    every = [*examples.values(), against]
    concepts = [
        captum.Concept(i, "concept", [x.to(images) for x in pictures.split(BATCH)])
        for i, pictures in enumerate(every)
    ]
    pairs = [[concept, concepts[-1]] for concept in concepts[:-1]]
    keys = [f"{one.id}-{other.id}" for one, other in pairs]
    with TemporaryDirectory() as folder, forward.differentiable(), _undisturbed():
        tcav = captum.TCAV(model, ["below"], classifier=_classifier(seed), save_path=folder)
        found = [tcav.interpret(images.clone(), pairs, target=int(k)) for k in targets]
    score, derivative = (
        np.array([[float(scores[key]["below"][name][0]) for scores in found] for key in keys])
        for name in ("sign_count", "magnitude")
    )
    return score, derivative, np.array([tcav.cavs[key]["below"].stats["accs"] for key in keys])


@contextmanager
def _undisturbed() -> Iterator[None]:
    """torch's generator is left as it was, and captum 0.9's use of an old name in numpy is passed over."""
    with torch.random.fork_rng([]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "numpy.core is deprecated", DeprecationWarning)
        yield


class _Cut(nn.Module):
    """The network as a module whose child `below` ends at the layer, for captum's hooks."""

    def __init__(self, graph: Graph, layer: str) -> None:
        super().__init__()
        below, self.graph = forward.split_at(graph, layer)
        self.below = _Below(below)

    def forward(self, images: Tensor) -> Tensor:
        return forward.outputs_of(self.graph, self.below(images))


class _Below(nn.Module):
    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, images: Tensor) -> Tensor:
        return forward.outputs_of(self.graph, images)


def _classifier(seed: int) -> Any:
    """A logistic regression for captum, which hands over activations with their concepts' numbers."""

    class Logistic(forward.captum("concept").Classifier):
        def __init__(self) -> None:
            self.normal, self.labels = np.zeros(0), []

        def train_and_eval(self, dataloader: Any, **kwargs: Any) -> dict[str, float]:
            x, numbers = (torch.cat(part).cpu().double().numpy() for part in zip(*dataloader, strict=True))
            self.labels = sorted({int(n) for n in numbers})
            y = np.where(numbers == self.labels[1], 1.0, -1.0)
            order = np.random.default_rng(seed).permutation(len(y))
            held, fitted = np.split(order, [max(1, round(HELD_OUT * len(y)))])
            normal, offset = logistic(x[fitted], y[fitted])
            self.normal = normal / max(np.linalg.norm(normal), np.finfo(float).tiny)
            return {"accs": float(np.mean(y[held] * (x[held] @ normal + offset) > 0))}

        def weights(self) -> Tensor:
            return torch.from_numpy(np.stack([-self.normal, self.normal]))

        def classes(self) -> list[int]:
            return self.labels

    return Logistic()


def logistic(x: np.ndarray, y: np.ndarray, penalty: float = PENALTY) -> tuple[np.ndarray, float]:
    """w and b that minimise `mean log(1 + exp(-y (x w + b))) + penalty |w|^2 / 2`, y = 1 or -1."""

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        w, b = parameters[:-1], parameters[-1]
        margin = y * (x @ w + b)
        slope = -y * expit(-margin) / len(y)
        value = np.logaddexp(0, -margin).mean() + penalty * (w @ w) / 2
        return value, np.append(x.T @ slope + penalty * w, slope.sum())

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return found[:-1], float(found[-1])


def _pictures(given: Pictures, network: Network) -> Tensor:
    return given if isinstance(given, Tensor) else load_images(given, network).tensor


def _lots(pictures: Tensor, count: int, runs: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Two disjoint lots of random images for each run."""
    count = min(count, len(pictures) // 2)
    if count < 2:
        raise InputError("tcav needs at least 2 examples of each concept and 4 random images")
    for run in range(runs):
        order = np.random.default_rng([seed, run]).permutation(len(pictures))
        yield pictures[order[:count]], pictures[order[count : 2 * count]]
