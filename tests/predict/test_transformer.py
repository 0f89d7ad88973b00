"""vit_b_16 at 32 x 32 with random weights and 24 classes: the exact spectrum's band, and rollout's bound.

python -m pytest -m exhaustive tests/predict/test_transformer.py

Sweeps through 86 million weights are what costs, whatever the number of vectors, so a method has one: its
columns in float32, exact enough for deficits above `FLOOR`, and a random vector, held against what they
make of it. Spectrum and measurements are then of these columns. Layers are those that all relevance crosses:
others may get none, which would be looked up in float64.
"""

from __future__ import annotations

from functools import cache, reduce

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import vit_b_16

from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError, UnsupportedLayerError
from conetheory.measure.meter import measure_csc
from conetheory.networks import trace
from conetheory.networks.attention import Softmax
from conetheory.networks.graph import Graph
from conetheory.predict import predict_csc
from conetheory.rules.explainers.rollout import rollout
from conetheory.rules.registry import get_method, methods
from conetheory.theory.attention import rollout_tau_1_upper
from tests.networks.toys import random_images
from tests.toys import graph as toy

SHAPE, CLASSES, SEEDS, LAYERS, VECTORS = (3, 32, 32), 24, range(10), 10, 16
ROUNDING = 1e-3  # of the largest entry, where denominators are near zero; what is not linear is off by itself
FLOOR = 1e-11  # rounding of relevance in float32 is about 1e-14 of deficit; a thousand times that
LINEAR = [m.name for m in methods() if m.backpropagated and m.linear and not m.name.startswith("pattern")]


@cache
def network() -> Graph:
    torch.manual_seed(0)
    model = vit_b_16(image_size=SHAPE[1], num_classes=CLASSES).eval()
    nn.init.normal_(
        model.heads.head.weight, std=0.02
    )  # zero as torchvision makes it: nothing would come down
    return trace(model, SHAPE)


class Columns:
    """A linear chain by what it makes of one-hot starts, at some layers."""

    def __init__(self, chain: RelevanceChain, layers: list[str]) -> None:
        self.chain, self.kept = chain, {}
        hot, v = (t.to(chain.dtype) for t in (torch.eye(CLASSES)[None], torch.randn(1, 1, CLASSES)))
        for layer, parts in chain.sweep({"logits": torch.cat([hot, v], 1)}):
            if layer in layers:
                self.kept[layer], own = parts["logits"].split([CLASSES, 1], 1)
                error = (own - self._sent(v, layer)).abs().max()
                assert float(error) <= ROUNDING * float(own.abs().max()), layer

    def _sent(self, v: Tensor, layer: str) -> Tensor:
        return torch.einsum("nvk,nk...->nv...", v.to(self.chain.dtype), self.kept[layer])

    def sweep(self, starts):
        ((name, start),) = starts.items()
        v = start((CLASSES,)) if callable(start) else start
        yield from ((layer, {name: self._sent(v, layer)}) for layer in self.kept)

    def __len__(self) -> int:
        return len(self.chain)

    def __getattr__(self, name: str):
        return getattr(self.chain, name)


@pytest.mark.exhaustive
@pytest.mark.parametrize("method", LINEAR)
def test_the_exact_spectrum_lies_in_the_band_of_the_measurement(method):
    """In 90% of seeds x layers, from the logits of one image."""
    try:
        # differences of chains that have merged: the digits that are left are not float32's
        dtype = torch.float64 if get_method(method).family == "contrastive" else torch.float32
        opened = RelevanceChain(network(), random_images(1, *SHAPE), method, dtype=dtype)
    except (InputError, UnsupportedLayerError) as error:
        pytest.skip(str(error))
    known = opened.graph.cuts[:-1]
    layers = [known[i] for i in np.linspace(0, len(known) - 1, LAYERS).astype(int)]
    chain = Columns(opened, layers)
    predicted = predict_csc(chain, theory="local-spectrum", layers=layers).dataset["predicted_local_spectrum"]
    inside = []
    for seed in SEEDS:
        measured = measure_csc(chain, vectors=VECTORS, seed=seed, layers=layers, bootstrap=200).dataset
        low, high = (measured["measured_band"].sel(side=side).squeeze() for side in ("lower", "upper"))
        value = predicted.squeeze().sel(layer=measured["layer"])
        live = (value > FLOOR) & low.notnull()
        inside += ((low <= value) & (value <= high)).values[live.values].tolist()
    if not inside:
        pytest.skip(f"{method} has forgotten beyond float32 at every layer")
    print(method, np.mean(inside), len(inside))
    assert np.mean(inside) >= 0.9, (method, np.mean(inside), len(inside))


# ---------------------------------------------------------------- rollout


def bound(graph: Graph, x: Tensor) -> float:
    """What is left of the l1 distance of two distributions over tokens: the product of layers' tau_1.

    Logits of a row count from the middle of their range, which softmax does not see.
    """
    kept = 1.0
    for node, xs, _ in graph.run(x):
        if isinstance(node.op, Softmax):
            S = node.op.view.read(xs[0])
            b = float((S.amax(-1) - S.amin(-1)).max() / 2)
            kept *= rollout_tau_1_upper(S.shape[-1], b * (1 + 1e-15))
    return kept


def apart(graph: Graph, x: Tensor) -> Tensor:
    """Half the largest l1 distance of two rows of the rollout: at two tokens, the worst of all mixtures."""
    R = rollout(graph, x)[0]
    return (R[:, None] - R[None]).abs().sum(-1).max() / 2


def adversary(graph: Graph, x: Tensor, steps: int, size: float) -> list[Tensor]:
    """Images on the way to rows as far apart as gradient ascent finds."""
    found = [x]
    for _ in range(steps):
        with torch.inference_mode(False), torch.enable_grad():
            point = found[-1].clone().requires_grad_()
            (slope,) = torch.autograd.grad(apart(graph, point), point)
        found.append(found[-1] + size * slope / slope.norm().clamp(min=1e-300))
    return found


def check(graph: Graph, shape: tuple[int, ...], steps: int, size: float) -> None:
    images = adversary(graph, random_images(1, *shape), steps, size)
    distances = [float(apart(graph, x)) for x in images]
    assert max(distances) > distances[0]
    assert all(d <= bound(graph, x) for d, x in zip(distances, images, strict=True))


def test_no_image_that_an_adversary_finds_is_beyond_rollouts_bound():
    check(toy("transformer"), toy("transformer").input_shape, steps=12, size=2.0)


@pytest.mark.exhaustive
def test_nor_is_one_of_vit_b_16():
    check(network().to(dtype=torch.float64), SHAPE, steps=20, size=20.0)


def test_a_product_of_bounds_is_one_of_products():
    """For row-stochastic matrices half the l1 distance of rows contracts by tau_1, layer by layer."""
    rng = np.random.default_rng(0)
    layers = [rng.dirichlet(np.ones(5), 5) for _ in range(4)]
    tau = [np.abs(A[:, None] - A[None]).sum(-1).max() / 2 for A in layers]
    whole = reduce(lambda a, b: b @ a, layers)
    assert np.abs(whole[:, None] - whole[None]).sum(-1).max() / 2 <= np.prod(tau) * (1 + 1e-14)
