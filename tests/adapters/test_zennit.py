"""Whole networks against zennit (0.5 and 1.0): ZPlus and AlphaBeta, bias-free and Bach, the same stabiliser.

zennit adds `eps sign(z)` to every denominator, those of averages and sums too, as our `stabiliser` does.
Two differences are of meaning, and are bridged openly: where a residual sum has signed terms, zennit's
`Norm` divides by the signed sum, while ours takes the two pools; the torchvision ResNet is therefore given
`PooledSum`, our rule for sums written as a zennit hook, and zennit's own `Norm` is met on a network whose
terms are nonnegative. zennit 0.5 keeps the eps of a batch norm that it has
merged, and so computes another network (by 5e-6 a layer); it is set to zero, as zennit 1 does.
VGG-11 has a small classifier here: the 100 million weights of its own add nothing.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from conetheory.chain.relevance import RelevanceChain
from conetheory.networks import trace
from tests.adapters.models import NETWORKS, network
from tests.networks.toys import random_images

canonizers = pytest.importorskip("zennit.canonizers", reason="zennit is not installed")
from zennit.composites import LayerMapComposite, layer_map_base  # noqa: E402, TID253
from zennit.core import BasicHook, Stabilizer  # noqa: E402, TID253
from zennit.layer import Sum  # noqa: E402, TID253
from zennit.rules import AlphaBeta, NoMod, ZPlus  # noqa: E402, TID253
from zennit.torchvision import ResNetCanonizer  # noqa: E402, TID253
from zennit.types import Linear as AnyLinear  # noqa: E402, TID253

EPS = 1e-6
LARGE = {"vgg11_bn": pytest.mark.exhaustive, "resnet18": pytest.mark.slow}
TOLERANCE = 1e-11


METHODS = {"lrp-alpha1beta0": (1.0, 0.0), "lrp-alpha2beta1": (2.0, 1.0)}


class PooledSum(BasicHook):
    """Our rule for a sum of signed terms: two pools; one takes everything where the other is empty."""

    def __init__(self, alpha: float, beta: float) -> None:
        stabilise = Stabilizer(EPS)

        def mapper(r: Tensor, pools: list[Tensor]) -> list[Tensor]:
            plus, minus = pools
            shares = torch.where(minus == 0, 1.0, alpha).to(r), torch.where(plus == 0, 1.0, -beta).to(r)
            return [share * r / stabilise(z) for share, z in zip(shares, pools, strict=True)]

        super().__init__(
            input_modifiers=[lambda x: x.clamp(min=0), lambda x: x.clamp(max=0)],
            param_modifiers=[NoMod(param_keys=[])] * 2,
            output_modifiers=[lambda y: y] * 2,
            gradient_mapper=mapper,
            reducer=lambda xs, gradients: xs[0] * gradients[0] + xs[1] * gradients[1],
        )


def zennit_relevance(name: str, method: str, bias: str, v: Tensor, start: str | None) -> Tensor:
    """Relevance at the input of one vector per image at the output, or at the module `start`."""
    _, model, images = network(name)
    alpha, beta = METHODS[method]
    zero = "bias" if bias == "none" else None
    if beta == 0:
        rule = ZPlus(stabilizer=EPS, zero_params=zero)
    else:
        rule = AlphaBeta(alpha, beta, stabilizer=EPS, zero_params=zero)
    layer_map = [*layer_map_base(stabilizer=EPS), (AnyLinear, rule)]
    found = [canonizers.SequentialMergeBatchNorm()]
    if name.startswith("resnet"):
        found = [ResNetCanonizer()]
        layer_map = [((Sum,), PooledSum(alpha, beta)), *layer_map]
    outputs: dict[str, Tensor] = {}
    x = images.clone().requires_grad_()
    eps = {m: m.eps for m in model.modules() if isinstance(m, nn.BatchNorm2d)}
    with LayerMapComposite(layer_map, canonizers=found).context(model) as modified:
        for norm in eps:
            norm.eps = 0.0
        hook = None
        if start is not None:  # after the composite's own hooks: zennit 1 fails otherwise
            keep = lambda module, args, y: outputs.__setitem__("start", y)  # noqa: E731
            hook = modified.get_submodule(start).register_forward_hook(keep)
        outputs["logits"] = modified(x)
        (relevance,) = torch.autograd.grad(outputs["logits" if start is None else "start"], x, v)
        if hook is not None:
            hook.remove()
    for norm, value in eps.items():
        norm.eps = value
    return relevance


def disagreement(name: str, method: str, bias: str, start: str | None = None) -> float:
    """The largest difference at the input, relative to the largest relevance."""
    model, _, images = network(name)
    chain = RelevanceChain(
        trace(model, images.shape[1:]), images, method, parameters={"bias": bias, "stabiliser": EPS}
    )
    layer = start or "logits"
    r = random_images(2, 1, *chain.shape(layer), seed=3)
    ours = chain.down(r, layer)[:, 0]
    theirs = zennit_relevance(name, method, bias, r[:, 0], start)
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.covering
@pytest.mark.parametrize("bias", ["none", "bach"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [pytest.param(n, marks=LARGE.get(n, ())) for n in NETWORKS])
def test_whole_networks(name, method, bias):
    assert disagreement(name, method, bias) < TOLERANCE


@pytest.mark.covering
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("name", "start"), [("small vgg", "4"), ("small resnet", "5"), ("squeezenet1_1", "features.6")]
)
def test_relevance_injected_at_a_hidden_layer(name, start, method):
    assert disagreement(name, method, "none", start) < TOLERANCE
