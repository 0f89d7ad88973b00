"""Other libraries under our meter: zennit's composites, captum's rules, any vjp; and ours under captum's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn import functional
from torchvision import models

from conetheory.adapters import modules
from conetheory.adapters.captum import Attribution, CaptumChain
from conetheory.adapters.vjp import VjpChain
from conetheory.adapters.zennit import ZennitChain
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError, UnsupportedLayerError
from conetheory.measure.meter import CscMeter, measure_csc
from conetheory.networks import load, trace
from conetheory.networks.graph import INPUT
from conetheory.results.comparison import compare
from conetheory.results.dataset import Measurement
from conetheory.saliency.explain import explain
from tests.networks.toys import random_images, seeded
from tests.toys import SHAPE, TOYS, Toy, chain, conv, graph, images

EPS = 1e-6


def zennit_version() -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in version("zennit").split(".")[:2])
    except PackageNotFoundError:
        return ()


needs_zennit = pytest.mark.skipif(not zennit_version(), reason="zennit is not installed")
needs_zennit_1 = pytest.mark.skipif(
    zennit_version() < (1,), reason="zennit 1 is not installed (it takes Python 3.11.11 or newer)"
)


def disagreement(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


def zplus():
    from zennit.composites import LayerMapComposite, layer_map_base
    from zennit.rules import ZPlus
    from zennit.types import Linear

    rule = ZPlus(stabilizer=EPS, zero_params="bias")
    return LayerMapComposite([*layer_map_base(stabilizer=EPS), (Linear, rule)])


def medians(found: Measurement, layers: list[str]) -> np.ndarray:
    return found.dataset.isel(method=0)["measured_deficit_median"].sel(layer=layers).values


# ---------------------------------------------------------------- zennit


@pytest.fixture(scope="module")
def squeezenet() -> tuple[nn.Module, Tensor]:
    return seeded(models.squeezenet1_1), random_images(1, 3, 48, 48)


@needs_zennit
def test_zennit_gives_the_measurement_of_our_own_chain(squeezenet):
    """z+ without biases on a torchvision network: one start at the output, one at a layer with a rule."""
    model, x = squeezenet
    starts = ["logits", "features.6.squeeze"]
    ours = RelevanceChain(
        trace(model, (3, 48, 48)), x, "lrp-alpha1beta0", parameters={"bias": "none", "stabiliser": EPS}
    )
    theirs = ZennitChain(model, x, zplus())
    for start in starts:
        v = random_images(1, 2, *theirs.shape(start), seed=2)
        assert disagreement(theirs.down(v, start), ours.down(v, start)) < 1e-12
    one, other = (measure_csc(found, starts, vectors=3) for found in (theirs, ours))
    layers = [name for name in other.dataset["layer"].values if name in one.dataset["layer"].values]
    assert len(layers) > 25
    np.testing.assert_allclose(medians(one, layers), medians(other, layers), rtol=1e-9)
    assert one.dataset["method"].values == ["zennit LayerMapComposite"]


@needs_zennit
@pytest.mark.parametrize(
    ("composite", "method"),
    [(None, "gradient"), ("GuidedBackprop", "guided-backprop"), ("DeconvNet", "deconvnet")],
)
def test_zennit_composites_that_are_methods_of_ours(composite, method):
    import zennit.composites

    found = None if composite is None else getattr(zennit.composites, composite)()
    theirs, ours = ZennitChain(seeded(TOYS["small vgg"]), images(), found), chain("small vgg", method)
    for start in ("logits", "5", "2"):
        v = random_images(2, 3, *theirs.shape(start), seed=2)
        for stop in theirs.graph.below(start):
            assert disagreement(theirs.down(v, start, stop), ours.down(v, start, stop)) < 1e-12


@needs_zennit
@pytest.mark.parametrize("bias", [True, False])
def test_a_model_is_as_before(bias):
    """Weights (which canonizers merge), modes, in-place flags, hooks."""
    from zennit.canonizers import SequentialMergeBatchNorm
    from zennit.composites import EpsilonPlus

    first = [nn.Conv2d(2, 4, 3, bias=bias), nn.BatchNorm2d(4), nn.ReLU(inplace=True)]
    model = seeded(lambda: nn.Sequential(*first, nn.Flatten(), nn.Linear(80, 5))).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    attributes = [set(vars(module)) for module in model.modules()]
    found = ZennitChain(model, images(), EpsilonPlus(canonizers=[SequentialMergeBatchNorm()]))
    measure_csc(found, "logits", vectors=2)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    assert [set(vars(module)) for module in model.modules()] == attributes
    assert all(m.training for m in model.modules())
    assert model[2].inplace
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


class Recorder:
    """A composite without rules that looks for hooks when it is registered, as zennit 1 does."""

    def __init__(self) -> None:
        self.hooked: list[bool] = []

    @contextmanager
    def context(self, model: nn.Module) -> Iterator[nn.Module]:
        self.hooked.append(any(m._forward_hooks for m in model.modules()))
        yield model


def test_tensors_are_captured_after_the_composite():
    found = Recorder()
    measure_csc(ZennitChain(seeded(TOYS["small vgg"]), images(), found), "logits", vectors=2)
    assert found.hooked == [False, False]


@needs_zennit_1
@pytest.mark.parametrize("before", [True, False])
def test_zennit_1_fails_where_tensors_are_captured_before_the_composite(squeezenet, before):
    """Why the order matters; the chain above takes the other one."""
    model, x = squeezenet
    first, second = modules.captured(model), zplus().context(model)
    with modules.undisturbed(model):
        outer, inner = (first, second) if before else (second, first)
        with outer as a, inner as b:
            outputs = a if before else b
            model(x.clone().requires_grad_())
            y = outputs["features.6.squeeze"]
            source = outputs["features.0"]
            if before:
                with pytest.raises(KeyError, match="grad_output"):
                    torch.autograd.grad(y, source, torch.ones_like(y))
            else:
                assert torch.autograd.grad(y, source, torch.ones_like(y))[0].isfinite().all()


def test_in_place_activations_do_not_change_what_is_read():
    """Without a rule at the ReLU, relevance at the convolution would be that behind the ReLU."""
    layers = [nn.Conv2d(2, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(80, 5)]
    model = seeded(lambda: nn.Sequential(*layers))
    ours = RelevanceChain(trace(model, SHAPE), images(), "gradient")
    v = random_images(2, 2, 5, seed=2)
    read = ZennitChain(model, images()).down(v, "logits", "0")
    assert disagreement(read, ours.down(v, "logits", "0")) < 1e-12
    assert disagreement(read, ours.down(v, "logits", "1")) > 0.1


def test_functions_in_place_are_refused():
    model = seeded(lambda: Toy(lambda m, x: m.b(functional.relu(m.a(x), inplace=True)), a=conv(2), b=conv()))
    with pytest.raises(InputError, match="output of 'a' is overwritten in place"):
        ZennitChain(model, images())


def test_layers_of_a_module():
    """A module that runs twice has its last output; what no module gives is `logits`."""
    model = seeded(lambda: Toy(lambda m, x: m.b(m.b(m.a(x))).mean((2, 3)), a=conv(2), b=conv()))
    found = ZennitChain(model, images())
    assert found.layers == (INPUT, "a", "b", "logits")
    assert ZennitChain(seeded(TOYS["small vgg"]), images()).graph.resolve("logits") == "11"
    with pytest.raises(InputError, match="no layer 'c'; the layers are input, a, b, logits"):
        measure_csc(found, "c")


# ---------------------------------------------------------------- captum


def sequential() -> nn.Module:
    layers = [nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(6, 6, 2)]
    return nn.Sequential(
        *layers, nn.ReLU(), nn.Dropout(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)
    )


def captum_chain(model: nn.Module) -> CaptumChain:
    rules = pytest.importorskip("captum.attr._utils.lrp_rules", reason="captum is not installed")
    zplus = lambda: rules.Alpha1_Beta0_Rule(set_bias_to_zero=True)  # noqa: E731
    return CaptumChain(model, images().abs(), {"0": zplus, "3": zplus, "8": zplus, "7": rules.EpsilonRule})


def test_captum_gives_the_measurement_of_our_own_chain():
    """Of nonnegative images, for which captum's rule is z+; it adds 1e-9 to denominators."""
    model = seeded(sequential)
    theirs = captum_chain(model)
    ours = RelevanceChain(trace(model, SHAPE), images().abs(), "lrp-alpha1beta0", parameters={"bias": "none"})
    assert theirs.layers == (INPUT, "0", "2", "3", "6", "7", "8")
    for start in ("logits", "3"):
        v = random_images(2, 2, *theirs.shape(start), seed=2)
        for stop in theirs.graph.below(start):
            assert disagreement(theirs.down(v, start, stop), ours.down(v, start, stop)) < 1e-6
    one, other = (measure_csc(found, ["logits", "3"], vectors=3) for found in (theirs, ours))
    np.testing.assert_allclose(medians(one, ["8", "2", INPUT]), medians(other, ["8", "2", INPUT]), rtol=1e-4)


def test_captum_of_a_class_is_what_captum_gives():
    """captum starts from the output's value, and we from 1."""
    attr = pytest.importorskip("captum.attr", reason="captum is not installed")
    model, x = seeded(sequential), images().abs()
    model[1].inplace = False
    epsilon = pytest.importorskip("captum.attr._utils.lrp_rules").EpsilonRule
    found = CaptumChain(model, x, {"7": epsilon}).down(
        torch.eye(5).double()[None, 2:3].expand(2, 1, 5), "logits"
    )
    model[7].rule = epsilon()
    direct = attr.LRP(model).attribute(x.clone().requires_grad_(), target=2).detach()
    with torch.no_grad():
        value = model(x)[:, 2].view(-1, 1, 1, 1)
    assert disagreement(found[:, 0] * value, direct) < 1e-12


def test_captum_leaves_the_model_as_it_was():
    model = seeded(sequential).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure_csc(captum_chain(model), "logits", vectors=2)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(hasattr(m, "rule") or m._forward_hooks for m in model.modules())
    assert model.training
    assert model[1].inplace


def test_modules_that_captum_has_no_rule_for():
    pytest.importorskip("captum", reason="captum is not installed")
    with pytest.raises(UnsupportedLayerError, match=r"no rule for '7' \(Flatten\)"):
        CaptumChain(seeded(sequential), images())
    with pytest.raises(InputError, match="rule is given for 'head'"):
        CaptumChain(seeded(sequential), images(), {"head": object})


@pytest.mark.parametrize("method", ["gradient", "lrp-alpha2beta1", "occlusion"])
def test_a_method_with_the_signature_of_captum(method):
    pytest.importorskip("captum", reason="captum is not installed")
    parameters = {"window": 2} if method == "occlusion" else {}
    found = Attribution(graph("small vgg"), method, parameters=parameters)
    expected = explain(
        graph("small vgg"), images(3), method, torch.tensor([[1], [0], [4]]), parameters=parameters
    )
    maps = found.attribute(images(3), target=[1, 0, 4])
    assert torch.equal(maps, expected[:, 0].expand(3, *SHAPE))
    assert torch.equal(found.attribute(images(3), torch.tensor([1, 0, 4])), maps)
    assert torch.equal(found.attribute(images(3), 4)[2], maps[2])
    assert torch.equal(found.attribute(images(3), torch.tensor([4]))[2], maps[2])
    predicted = graph("small vgg").forward(images(3)).argmax(1)
    assert torch.equal(found.attribute(images(3)), found.attribute(images(3), predicted))


def test_our_methods_in_the_metrics_of_captum():
    metrics = pytest.importorskip("captum.metrics", reason="captum is not installed")
    found = Attribution(graph("small vgg"), "gradient")
    options = {"perturb_func": lambda x: x + 0.5, "target": 1, "n_perturb_samples": 1}
    moved = metrics.sensitivity_max(found.attribute, images(), **options)
    one, other = (found.attribute(x, 1).flatten(1) for x in (images(), images() + 0.5))
    torch.testing.assert_close(moved, (other - one).norm(dim=1) / one.norm(dim=1))


# ---------------------------------------------------------------- any vjp


def as_vjp(ours: RelevanceChain, start: str):
    """Our own chain as somebody else's function: one vector at a time, in a dictionary."""

    def vjp(v: Tensor) -> dict[str, Tensor]:
        swept = ours.sweep({start: v.unsqueeze(1)})
        return {name: parts[start][:, 0] for name, parts in swept if name in ours.layers}

    return vjp


def test_any_vjp_gives_the_same_measurement():
    ours = chain("nested branches", "lrp-alpha2beta1")
    order = [INPUT, *ours.graph.nodes]
    shapes = {name: ours.shape(name) for name in sorted(ours.layers, key=order.index)}
    vjps = {start: as_vjp(ours, start) for start in ("logits", "relu_1")}
    theirs = VjpChain(vjps, shapes, 2, name="lrp-alpha2beta1", dtype=torch.float64)
    options = {"vectors": 4, "seed": 1, "bootstrap": 5}
    one, other = (measure_csc(found, ["logits", "relu_1"], **options).dataset for found in (theirs, ours))
    unknown = ["rule", "family", "depth", "above", "crossing"]  # to a vjp
    one, other = (data.drop_vars(unknown, errors="ignore") for data in (one, other))
    xr.testing.assert_allclose(one, other, rtol=1e-10)


@pytest.mark.parametrize("adapter", [ZennitChain, captum_chain, VjpChain])
def test_results_name_the_module_and_its_weights(adapter):
    """As results of our own chains of it do, so that both are of one network in a report."""
    model, other = (seeded(sequential, seed) for seed in (0, 1))
    if adapter is VjpChain:
        found = VjpChain({"8": lambda v: {}}, {INPUT: SHAPE, "8": (5,)}, 2, network=model)
    else:
        library = "captum" if adapter is captum_chain else "zennit"
        pytest.importorskip(library, reason=f"{library} is not installed")
        found = adapter(model, images().abs()) if adapter is ZennitChain else adapter(model)
    measured = measure_csc(found, "8", vectors=2)
    ours, theirs = (load(net, input_shape=SHAPE) for net in (model, other))
    own = measure_csc(RelevanceChain(ours, images().abs()), "8", vectors=2, layers=["8"])
    for name in ("network", "network_weights", "network_weights_sha256"):
        assert measured.dataset.attrs[name] == own.dataset.attrs[name]
    with pytest.raises(InputError, match="no method in common"):  # and of one network
        compare(measured, own)
    with pytest.raises(InputError, match="different weights"):
        compare(measured, measure_csc(RelevanceChain(theirs, images()), "8", vectors=2, layers=["8"]))


@pytest.mark.parametrize("adapter", [ZennitChain, CaptumChain])
def test_exported_modules_are_refused_in_words(adapter):
    """They refuse `eval()`, and the modules that hold their parameters are never called."""
    x = torch.rand(2, 4)
    body = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)).eval()
    exported = torch.export.export(body, (x,)).module()
    message = r"refuses eval\(\), .*: give the module that was exported"
    with pytest.raises(InputError, match=message), modules.undisturbed(exported):
        pass
    with pytest.raises((InputError, UnsupportedLayerError)):
        adapter(exported, x)
    adapter(body, x)


def test_batches_of_vjp_chains_are_pooled():
    meter = CscMeter(["logits"], vectors=3)
    eye = {"logits": lambda v: {INPUT: v}}
    for count in (2, 3):
        meter.add(VjpChain(eye, {INPUT: (4,), "out": (4,)}, count))
    found = meter.result().dataset.isel(method=0, start=0)
    assert found.attrs["images"] == 5
    assert (found["pairs_pooled"] == 5 * 3).all()
    assert np.ptp(found["measured_deficit_median"].values) == 0  # the identity forgets nothing


@pytest.mark.parametrize(
    ("shapes", "vjp", "start", "message"),
    [
        ({"out": (4,)}, None, "out", "given from 'input' up to the output"),
        ({"out": (4,), INPUT: (4,)}, None, "out", "given from 'input' up to the output"),
        (
            {INPUT: (4,), "a": (4,), "out": (4,)},
            None,
            "a",
            "no vjp was given for 'a'; there are those of out",
        ),
        ({INPUT: (4,), "out": (4,)}, lambda v: {INPUT: v[:, :3]}, "out", "vjp gives .* at 'input', not"),
        ({INPUT: (4,), "out": (4,)}, lambda v: {INPUT: v}, "in", "no layer 'in'"),
    ],
)
def test_wrong_vjps(shapes, vjp, start, message):
    with pytest.raises(InputError, match=message):
        measure_csc(VjpChain({"out": vjp}, shapes, 2), start)
