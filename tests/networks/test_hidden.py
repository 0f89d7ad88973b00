"""What a trace would drop in silence is refused by name; what only sets parameters is held."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from conetheory.errors import UnsupportedLayerError
from conetheory.networks import load, trace
from tests.networks.toys import Toy, conv, random_images


def flat() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5))


def deep() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))


def negated(module: nn.Module, args: object, output: Tensor) -> Tensor:
    return -output


def first_channel_off(module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
    (x,) = args
    return (x * (torch.arange(x.shape[1]) > 0).view(-1, 1, 1),)


def hooked() -> nn.Module:
    model = flat()
    model.register_forward_hook(negated)
    return model


def hooked_inside() -> nn.Module:
    model = nn.Sequential(deep())
    model[0][1].register_forward_hook(negated)
    return model


def hooked_part() -> nn.Module:
    model = nn.Sequential(deep())
    model[0].register_forward_hook(negated)
    return model


def pre_hooked() -> nn.Module:
    model = deep()
    model[1].register_forward_pre_hook(first_channel_off)
    return model


def watched() -> nn.Module:
    model = deep()
    model[3].register_forward_hook(lambda module, args, output: None, with_kwargs=False)
    return model


def patched() -> nn.Module:
    model = flat()
    before = model.forward
    model.forward = lambda x: -before(x)
    return model


def patched_inside() -> nn.Module:
    model = deep()
    before = model[0].forward
    model[0].forward = lambda x: 2 * before(x)
    return model


class Called(nn.Sequential):
    def __call__(self, x: Tensor) -> Tensor:
        return -super().__call__(x)


BESIDE = "which the trace can't hold; put what it does into the modules or remove it"
REFUSED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    "hook": (hooked, (12,), "Sequential has a forward hook, 'negated'"),
    "hook inside": (hooked_inside, (3, 6, 6), "layer '0.1' has a forward hook, 'negated'"),
    "hook of a part": (hooked_part, (3, 6, 6), "layer '0' has a forward hook, 'negated'"),
    "pre-hook": (pre_hooked, (3, 6, 6), "layer '1' has a forward pre-hook, 'first_channel_off'"),
    "watched": (watched, (3, 6, 6), "layer '3' has a forward hook, 'watched.<locals>.<lambda>'"),
    "forward": (patched, (12,), "Sequential has a forward of its own in the place of its class's"),
    "forward inside": (
        patched_inside,
        (3, 6, 6),
        "layer '0' has a forward of its own in the place of its class's",
    ),
    "call": (
        lambda: Called(nn.Flatten(), nn.Linear(12, 5)),
        (12,),
        "Called has a __call__ of its own beside forward",
    ),
    "lazy": (
        lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(5)),
        (12,),
        "layer '1' has a forward pre-hook, 'LazyModuleMixin._infer_parameters'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("through", [trace, lambda model, shape: load(model, input_shape=shape)])
def test_what_the_trace_would_drop_is_refused_by_name(case, through):
    build, shape, message = REFUSED[case]
    with pytest.raises(UnsupportedLayerError) as caught:
        through(build(), shape)
    assert str(caught.value) == f"{message}, {BESIDE}"


@pytest.mark.parametrize("pre", [True, False])
def test_hooks_of_all_modules(pre):
    register = (
        nn.modules.module.register_module_forward_pre_hook
        if pre
        else nn.modules.module.register_module_forward_hook
    )
    handle = register(lambda *given: None)
    try:
        with pytest.raises(UnsupportedLayerError, match="of all modules"):
            trace(flat(), (12,))
    finally:
        handle.remove()
    trace(flat(), (12,))


def test_a_class_whose_forward_was_replaced(monkeypatch):
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, x: x.clamp(min=1))
    with pytest.raises(UnsupportedLayerError, match="has a class, ReLU, whose forward was replaced"):
        trace(deep(), (3, 6, 6))


def test_backward_hooks_do_not_matter():
    model = deep()
    model[1].register_full_backward_hook(lambda *given: None)
    assert trace(model, (3, 6, 6)).output == "3"


# ---------------------------------------------------------------- hooks that only set a parameter


def pruned() -> nn.Module:
    model = deep()
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    prune.random_structured(model[3], "weight", amount=0.25, dim=1)
    return model


def normed() -> nn.Module:
    model = deep()
    for layer, dim in ((model[0], 0), (model[3], None)):
        with pytest.warns(FutureWarning):
            nn.utils.weight_norm(layer, dim=dim)
    return model


def spectral() -> nn.Module:
    model = deep()
    nn.utils.spectral_norm(model[0])
    return model


def parametrised(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        model = deep()
        function = getattr(nn.utils.parametrizations, name)
        function(model[0])
        function(model[3])
        return model

    return build


HELD = {
    "pruned": pruned,
    "weight norm": normed,
    "spectral norm": spectral,
    **{f"parametrised {n}": parametrised(n) for n in ("weight_norm", "spectral_norm", "orthogonal")},
    "computed in forward": lambda: Toy(
        lambda m, x: nn.functional.conv2d(x, m.conv.weight.exp(), padding=1), conv=conv()
    ),
}


@pytest.mark.parametrize("case", HELD)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_computed_parameters_are_exact_in_float64(case, dtype):
    """Whatever the dtype of the model: the graph in float64 is the model in float64."""
    torch.manual_seed(0)
    model = HELD[case]().eval()
    if dtype == torch.float16 and "orthogonal" not in case:
        model.half()
    elif dtype == torch.float64:
        model.double()
    dtypes = {name: t.dtype for name, t in model.state_dict().items()}
    shape = (3, 6, 6)
    graph = trace(model, shape)
    assert {name: t.dtype for name, t in model.state_dict().items()} == dtypes
    images = random_images(3, *shape)
    with torch.no_grad():
        expected = model.double()(images)
    found = graph.to(dtype=torch.float64).forward(images)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    there_and_back = graph.to(dtype=torch.float32).to(dtype=torch.float64).forward(images)
    assert torch.equal(there_and_back, found) or dtype == torch.float64


@pytest.mark.parametrize("case", ["pruned", "weight norm", "spectral norm", "parametrised weight_norm"])
def test_weights_into_modules_that_autograd_holds_on_to(case, tmp_path):
    """A module whose weight is computed is copied; the caller's own is left alone."""
    torch.manual_seed(0)
    trained = HELD[case]().eval()
    torch.save(trained.state_dict(), path := tmp_path / "state.pth")
    torch.manual_seed(1)
    mine = HELD[case]().eval()
    mine(torch.randn(1, 3, 6, 6))
    before = {name: t.clone() for name, t in mine.state_dict().items()}
    network = load(mine, path, (3, 6, 6))
    images = random_images(2, 3, 6, 6).float()
    with torch.no_grad():
        torch.testing.assert_close(network.graph.forward(images), trained(images))
    assert all(torch.equal(t, before[name]) for name, t in mine.state_dict().items())
