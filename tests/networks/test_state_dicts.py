"""State dicts as files have them, wrapped, named and typed in any way: the same logits, or one clear line."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import Tensor, nn

from conetheory.errors import ConeTheoryError, InputError
from conetheory.networks import load
from tests.networks.toys import random_images

SHAPE = (2, 6, 6)


def small(seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5)
        )
        model[1].running_mean.normal_()
        model[1].running_var.uniform_(0.5, 2)
    return model.eval()


class Holding(nn.Module):
    """A network under the names of other modules' children, and a head beside it."""

    def __init__(self, seed: int, *path: str) -> None:
        super().__init__()
        model: nn.Module = small(seed)
        for name in reversed(path[1:]):
            model = nn.Sequential(OrderedDict({name: model}))
        self.add_module(path[0], model)
        self.inner = path[0]
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(getattr(self, self.inner)(x))


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model(random_images(3, *SHAPE).float())


def loads(mine: nn.Module, content: Any, path: Path, expected: Tensor, **tolerance: float) -> None:
    """The file gives a module of other numbers the logits of the one that it was saved from."""
    (save_file if path.suffix == ".safetensors" else torch.save)(content, path)
    before = {k: v.clone() for k, v in mine.state_dict().items() if isinstance(v, Tensor)}
    assert not torch.allclose(logits(mine), expected, rtol=1e-2)
    network = load(mine, path, SHAPE)
    found = network.graph.forward(random_images(3, *SHAPE).float())
    torch.testing.assert_close(found, expected, **tolerance)
    assert all(torch.equal(v, mine.state_dict()[k]) for k, v in before.items())


def refusal(mine: nn.Module, content: Any, path: Path) -> str:
    torch.save(content, path)
    with pytest.raises(InputError) as caught:
        load(mine, path, SHAPE)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(path)).lstrip(": ")


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()}


NAMES: dict[str, Callable[[dict[str, Tensor]], dict[str, Tensor]]] = {
    "as they are": lambda s: s,
    "DataParallel": lambda s: prefixed(s, "module."),
    "twice parallel": lambda s: prefixed(s, "module.module."),
    "compiled": lambda s: prefixed(s, "_orig_mod."),
    "compiled parts": lambda s: {k[:1] + "._orig_mod" + k[1:]: v for k, v in s.items()},
    "Lightning": lambda s: prefixed(s, "model."),
    "Lightning, compiled": lambda s: prefixed(s, "model._orig_mod."),
    "parallel, compiled": lambda s: prefixed(s, "_orig_mod.module."),
    "all of them": lambda s: prefixed(s, "model.module._orig_mod."),
    "net": lambda s: prefixed(s, "net."),
    "backbone": lambda s: prefixed(s, "backbone."),
    "without counters": lambda s: {k: v for k, v in s.items() if "num_batches" not in k},
}


@pytest.mark.parametrize("case", NAMES)
def test_names_of_wrappers(case, tmp_path):
    trained = small(0)
    loads(small(1), NAMES[case](trained.state_dict()), tmp_path / "a.pth", logits(trained))


@pytest.mark.parametrize(
    "path", [("module",), ("model",), ("net", "module"), ("model", "model"), ("_orig_mod",)]
)
@pytest.mark.parametrize("case", ["as they are", "DataParallel", "compiled", "Lightning"])
def test_children_with_the_names_of_wrappers(path, case, tmp_path):
    trained = Holding(0, *path).eval()
    loads(Holding(1, *path).eval(), NAMES[case](trained.state_dict()), tmp_path / "a.pth", logits(trained))


def test_two_names_that_would_become_one_are_kept(tmp_path):
    """`module.0.weight` and `0.weight` are two tensors: taking the prefix away would lose one."""
    trained = small(0)
    state = trained.state_dict() | {"module.4.weight": torch.zeros(5, 48)}
    assert refusal(small(1), state, tmp_path / "a.pth") == (
        "does not fit Sequential: tensor 'module.4.weight' (5, 48) has no place in it"
    )


WRAPPED = {
    **{
        key: lambda s, key=key: {key: s, "epoch": 3, "optimizer": {"state": {}, "lr": 0.1}}
        for key in ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights")
    },
    "nested": lambda s: {"state_dict": {"model": {"net": s}}, "args": {"lr": 1}},
    "Lightning": lambda s: {
        "state_dict": prefixed(s, "model."),
        "pytorch-lightning_version": "2.0",
        "callbacks": {},
    },
    "module under net": lambda s: {"net": prefixed(s, "module."), "acc": 93.1},
    "ordered": lambda s: OrderedDict(state_dict=OrderedDict(s)),
    "parameters": lambda s: {k: nn.Parameter(v, requires_grad=v.is_floating_point()) for k, v in s.items()},
    "strided": lambda s: {k: torch.stack([v, v], -1)[..., 0] for k, v in s.items()},
}


@pytest.mark.parametrize("case", WRAPPED)
def test_where_checkpoints_keep_the_state(case, tmp_path):
    trained = small(0)
    loads(small(1), WRAPPED[case](trained.state_dict()), tmp_path / "a.pth", logits(trained))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("theirs", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_files_of_any_floating_point(theirs, suffix, tmp_path):
    """The numbers are those of the file, in the dtype of the network."""
    trained = small(0).to(theirs)
    state = trained.state_dict()
    loads(small(1), state, tmp_path / f"a.{suffix}", logits(small(0).to(theirs).float()))


@pytest.mark.parametrize("ours", [torch.float64, torch.float16, torch.bfloat16])
def test_modules_of_any_floating_point(ours, tmp_path):
    trained = small(0).to(ours)
    torch.save(trained.state_dict(), tmp_path / "a.pth")
    mine = small(1).to(ours)
    network = load(mine, tmp_path / "a.pth", SHAPE)
    images = random_images(3, *SHAPE)
    found = network.graph.to(dtype=torch.float64).forward(images)
    with torch.no_grad():
        torch.testing.assert_close(found, trained.double()(images), rtol=1e-10, atol=1e-10)


class Extra(nn.Module):
    """Extra state of any type, an integer buffer, and one of booleans that the network computes with."""

    def __init__(self, seed: int, state: Any = None) -> None:
        super().__init__()
        self.net, self.state = small(seed), state
        self.register_buffer("order", torch.arange(5, dtype=torch.int16) + seed)
        self.register_buffer("mask", torch.tensor([True, False]))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def get_extra_state(self) -> Any:
        return self.state

    def set_extra_state(self, state: Any) -> None:
        self.state = state


@pytest.mark.parametrize("extra", [None, {"step": 3}, torch.tensor([1.0]), torch.tensor(3), [1, "two"]])
def test_extra_state_and_buffers_that_are_no_numbers(extra, tmp_path):
    trained = Extra(0, extra).eval()
    loads(Extra(1, "mine").eval(), trained.state_dict(), tmp_path / "a.pth", logits(trained))
    with_prefix = prefixed(trained.state_dict(), "module.")
    loads(Extra(1, "mine").eval(), with_prefix, tmp_path / "b.pth", logits(trained))


WEIGHT = "4.weight"
REFUSED = {
    "integers": (
        lambda s: s | {WEIGHT: torch.ones(5, 48, dtype=torch.int64)},
        "tensor '4.weight' holds int64, not floating-point numbers",
    ),
    "booleans": (
        lambda s: s | {WEIGHT: torch.ones(5, 48, dtype=torch.bool)},
        "tensor '4.weight' holds bool, not floating-point numbers",
    ),
    "overflow": (
        lambda s: s | {WEIGHT: torch.full((5, 48), 1e300, dtype=torch.float64)},
        "tensor '4.weight' holds 240 NaN or infinite values of 240",
    ),
    "complex": (
        lambda s: s | {WEIGHT: torch.ones(5, 48, dtype=torch.complex64)},
        "tensor '4.weight' holds complex64, not real numbers",
    ),
    "sparse": (
        lambda s: s | {WEIGHT: torch.eye(5, 48).to_sparse()},
        "tensor '4.weight' is sparse; save it with .to_dense()",
    ),
    "a loss beside it": (
        lambda s: prefixed(s, "model.") | {"criterion.weight": torch.ones(5)},
        "does not fit Sequential: tensor 'criterion.weight' (5,) has no place in it",
    ),
    "quantised": (
        lambda s: s | {WEIGHT: torch.quantize_per_tensor(torch.ones(5, 48), 0.1, 0, torch.qint8)},
        "holds a quantised network ('4.weight'); save the state dict of the float network",
    ),
    "packed": (
        lambda s: s | {"4._packed_params.dtype": torch.ones(1)},
        "holds a quantised network ('4._packed_params.dtype'); save the state dict of the float network",
    ),
    "pruned": (
        lambda s: (
            {k.replace(WEIGHT, "4.weight_orig"): v for k, v in s.items()}
            | {"4.weight_mask": torch.ones(5, 48)}
        ),
        "does not fit Sequential: tensor '4.weight' (5, 48) is missing",
    ),
    "another tensor": (
        lambda s: s | {"0.bias": torch.ones(4)},
        "does not fit Sequential: tensor '0.bias' is (4,) in the file and (3,) in the network",
    ),
    "a number": (lambda s: s | {WEIGHT: 3.0}, "the entry '4.weight' (float) is no named tensor"),
    "an unknown wrapper": (
        lambda s: {"checkpoint": dict(s)},
        "the entry 'checkpoint' (dict) is no named tensor",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore:.*quantiz")
def test_what_does_not_load_is_said_in_one_line(case, tmp_path):
    build, message = REFUSED[case]
    assert refusal(small(1), build(dict(small(0).state_dict())), tmp_path / "a.pth") == message


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        (torch.ones(5), "tensor 'order' holds float32, where the network has int16"),
        (torch.full((5,), 70_000), "tensor 'order' holds numbers beyond int16, which the network has"),
    ],
)
def test_integer_buffers_are_not_rounded_or_wrapped(theirs, message, tmp_path):
    state = Extra(0, 1).state_dict() | {"order": theirs}
    assert refusal(Extra(1, 1).eval(), state, tmp_path / "a.pth") == message


def test_wider_integers_that_fit_are_taken(tmp_path):
    trained = Extra(0, 1).eval()
    state = trained.state_dict() | {"order": torch.full((5,), 300)}
    loads(Extra(1, 1).eval(), state, tmp_path / "a.pth", logits(trained))


@pytest.mark.filterwarnings("ignore")
def test_a_dynamically_quantised_network(tmp_path):
    quantised = torch.ao.quantization.quantize_dynamic(small(0), {nn.Linear})
    message = refusal(small(1), quantised.state_dict(), tmp_path / "a.pth")
    assert "quantised" in message or "would run code" in message


class Locked(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        self.net, self.lock = small(seed), threading.Lock()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def test_a_module_that_can_not_be_copied(tmp_path):
    trained, mine = Locked(0).eval(), Locked(1).eval()
    message = refusal(mine, trained.state_dict(), tmp_path / "a.pth")
    assert message.startswith("Locked can't be copied (")
    assert message.endswith("); load the weights into it and give it alone")
    mine.load_state_dict(trained.state_dict())
    found = load(mine, input_shape=SHAPE).graph.forward(random_images(3, *SHAPE).float())
    torch.testing.assert_close(found, logits(trained))


@pytest.mark.filterwarnings("ignore")
def test_exported_programs_take_no_weights_either(tmp_path):
    program = torch.export.export(small(0), (torch.zeros(2, *SHAPE),)).module()
    torch.save(small(0).state_dict(), path := tmp_path / "a.pth")
    for weights in (None, path):
        with pytest.raises(ConeTheoryError) as caught:
            load(program, weights, SHAPE)
        assert "\n" not in str(caught.value)
        assert "exported" in str(caught.value) or weights is not None  # a copy of a program is no longer one


def test_files_of_synchronised_batch_norms_and_modules_with_them(tmp_path):
    trained = nn.SyncBatchNorm.convert_sync_batchnorm(small(0)).eval()
    expected = logits(small(0))
    loads(small(1), trained.state_dict(), tmp_path / "a.pth", expected)
    mine = nn.SyncBatchNorm.convert_sync_batchnorm(small(1)).eval()
    torch.save(small(0).state_dict(), path := tmp_path / "b.pth")
    found = load(mine, path, SHAPE).graph.forward(random_images(3, *SHAPE).float())
    torch.testing.assert_close(found, expected)


class Tied(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.flat, self.one, self.other = nn.Flatten(), nn.Linear(72, 72), nn.Linear(72, 72)
        self.other.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.other(self.one(self.flat(x)).relu())


def test_a_file_that_holds_a_shared_tensor_once(tmp_path):
    """safetensors keeps of tensors that share memory only one name."""
    trained, mine = Tied(0).eval(), Tied(1).eval()
    save_model(trained, str(path := tmp_path / "a.safetensors"))
    found = load(mine, path, SHAPE).graph.forward(random_images(3, *SHAPE).float())
    torch.testing.assert_close(found, logits(trained))
