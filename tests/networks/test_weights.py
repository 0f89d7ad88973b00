"""Weights files: what loads, what is refused, and that nothing in a file is ever executed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from conetheory.errors import InputError
from conetheory.networks import load, load_images, weights
from tests.networks.toys import random_images

SHAPE = (3, 64, 64)
SHARED = Path(__file__).parents[2].parent / "shared"
SQUEEZENET = SHARED / "weights" / "squeezenet1_1_onnx_zoo.safetensors"
needs_shared = pytest.mark.skipif(not SQUEEZENET.is_file(), reason="no ../shared/weights beside the checkout")


@pytest.fixture(scope="module")
def model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return models.squeezenet1_1().eval()


@pytest.fixture(scope="module")
def state(model) -> dict[str, torch.Tensor]:
    return model.state_dict()


def outputs(network) -> torch.Tensor:
    return network.graph.forward(random_images(2, *SHAPE).float())


def refusal(path: Path, name: str = "squeezenet1_1") -> str:
    with pytest.raises(InputError) as caught:
        load(name, path, SHAPE)
    assert "\n" not in str(caught.value)
    return str(caught.value)


FORMS = {
    "bare.pth": lambda state: state,
    "under_state_dict.pth": lambda state: {"state_dict": dict(state), "epoch": 3},
    "under_model.pt": lambda state: {"model": dict(state), "args": {"lr": 0.1}},
    "parallel.pth": lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_forms(tmp_path, model, state, form, zipped):
    torch.save(FORMS[form](state), tmp_path / form, _use_new_zipfile_serialization=zipped)
    network = load("squeezenet1_1", str(tmp_path / form), SHAPE)
    with torch.no_grad():
        expected = model(random_images(2, *SHAPE).float())
    torch.testing.assert_close(outputs(network), expected)
    assert network.provenance["weights"] == form
    assert network.provenance["weights_sha256"] == weights.fingerprint(model)


def test_safetensors_and_halves(tmp_path, state):
    save_file(state, tmp_path / "full.safetensors")
    save_file({k: v.half() for k, v in state.items()}, tmp_path / "half.safetensors")
    full, half = (load("squeezenet1_1", tmp_path / f"{name}.safetensors", SHAPE) for name in ("full", "half"))
    torch.testing.assert_close(outputs(full), outputs(half), rtol=1e-2, atol=1e-2)
    assert not torch.equal(outputs(full), outputs(half))
    assert {
        node.op.weight.dtype
        for node in half.graph.nodes.values()
        if hasattr(node.op, "weight") and node.op.weight is not None
    } == {torch.float32}
    assert full.classes[283] == "Persian cat"


@pytest.mark.parametrize(
    "name",
    [
        "squeezenet1_1",
        "resnet18",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("densenet121", "mnasnet1_0")),
    ],
)
def test_the_head_follows_the_file(tmp_path, name):
    small = models.get_model(name, weights=None, num_classes=7)
    path = tmp_path / "seven.safetensors"
    save_file({k: v for k, v in small.state_dict().items() if not k.endswith("num_batches_tracked")}, path)
    network = load(name, path, SHAPE)
    assert network.graph.shape(network.graph.output) == (7,)
    assert network.classes is None
    with torch.no_grad():
        expected = small.eval()(random_images(2, *SHAPE).float())
    torch.testing.assert_close(outputs(network), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.exhaustive
def test_old_densenet_files(tmp_path):
    state = models.densenet121().state_dict()
    old = {k.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): v for k, v in state.items()}
    assert old.keys() != state.keys()
    torch.save(old, tmp_path / "old.pth")
    network = load("densenet121", tmp_path / "old.pth", SHAPE)
    torch.save(state, tmp_path / "new.pth")
    assert torch.equal(outputs(network), outputs(load("densenet121", tmp_path / "new.pth", SHAPE)))


def test_a_file_into_a_module_of_the_callers(tmp_path):
    torch.manual_seed(0)
    mine, trained = (nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, 2)) for _ in range(2))
    torch.save(trained.state_dict(), tmp_path / "mine.pth")
    before = mine[0].weight.clone()
    network = load(mine, tmp_path / "mine.pth", (3, 8, 8))
    assert torch.equal(network.graph.nodes["0"].op.weight, trained[0].weight)
    assert torch.equal(mine[0].weight, before)


class Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("form", ["zip", "legacy", "plain", "protocol 0", "in a state dict"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, state, form):
    path, evil = tmp_path / "evil.pth", Evil(tmp_path / "owned")
    if form in ("plain", "protocol 0"):
        path.write_bytes(pickle.dumps({"a": evil}, protocol=0 if form == "protocol 0" else None))
    else:
        content = {**state, "zz": evil} if form == "in a state dict" else {"a": evil}
        torch.save(content, path, _use_new_zipfile_serialization=form != "legacy")
    assert refusal(path) == (
        f"weights file {path} holds pickled objects that would run code; save the state dict alone"
    )
    assert not (tmp_path / "owned").exists()


def test_a_whole_pickled_model_is_refused(tmp_path, model):
    torch.save(model, tmp_path / "whole.pth")
    assert refusal(tmp_path / "whole.pth").endswith("would run code; save the state dict alone")


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_torchscript_program_is_refused(tmp_path):
    path = tmp_path / "script.pt"
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(path)
    assert refusal(path) == f"weights file {path} is a TorchScript program; save its state dict instead"


BROKEN = {
    "empty.pth": b"",
    "text.pth": b"hello\nworld",
    "page.pth": b"<html>404</html>",
    "zeros.pth": bytes(1000),
    "empty.safetensors": b"",
    "text.safetensors": b"hello, this is no safetensors file",
}


@pytest.mark.parametrize("name", BROKEN)
def test_files_of_another_kind(tmp_path, name):
    (tmp_path / name).write_bytes(BROKEN[name])
    kind = "PyTorch" if name.endswith("pth") else "safetensors"
    assert refusal(tmp_path / name).startswith(
        f"weights file {tmp_path / name} is truncated or no {kind} file"
    )


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9999])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_truncated_files(tmp_path, state, kind, share):
    path = tmp_path / ("cut.safetensors" if kind == "safetensors" else "cut.pth")
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert refusal(path).startswith(f"weights file {path} is truncated or no ")


def test_absent_files(tmp_path):
    assert refusal(tmp_path / "a.pth") == f"weights file {tmp_path / 'a.pth'} does not exist"
    assert refusal(tmp_path) == f"{tmp_path} is not a file"


CONTENTS = {
    "list": ([1, 2], "holds list, not a state dict of named tensors"),
    "nothing": ({}, "holds dict, not a state dict of named tensors"),
    "number": ({"a": 1}, "the entry 'a' (int) is no named tensor"),
    "key": ({1: torch.zeros(2)}, "the entry 1 (Tensor) is no named tensor"),
    "complex": (
        {"a": torch.zeros(2, dtype=torch.complex64)},
        "tensor 'a' holds complex64, not real numbers",
    ),
    "nan": ({"a": torch.tensor([1, torch.nan])}, "tensor 'a' holds 1 NaN or infinite values of 2"),
    "infinite": ({"a": torch.full((3,), torch.inf)}, "tensor 'a' holds 3 NaN or infinite values of 3"),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_contents_that_are_no_weights(tmp_path, case):
    content, message = CONTENTS[case]
    torch.save(content, path := tmp_path / "content.pth")
    assert refusal(path) in (f"{path} {message}", f"{path}: {message}")


FLOATS = [torch.float8_e4m3fn, torch.float8_e5m2, torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_large_numbers_are_finite_though_their_sum_is_not(dtype):
    large = torch.full((3,), torch.finfo(dtype).max, dtype=torch.float64).to(dtype)
    weights.check_finite({"a": large}, "file")
    with pytest.raises(InputError, match="'a' holds 1 NaN or infinite values of 3"):
        weights.check_finite(
            {"a": torch.cat([large[:2].double(), torch.tensor([torch.nan])]).to(dtype)}, "file"
        )


def changed(state, **changes):
    return {k: v for k, v in {**state, **changes}.items() if v is not None}


def test_weights_that_do_not_fit(tmp_path, state):
    first, bias = "features.0.weight", "features.0.bias"
    cases = [
        (changed(state, **{first: None}), f"tensor '{first}' (64, 3, 3, 3) is missing"),
        (changed(state, extra=torch.zeros(2)), "tensor 'extra' (2,) has no place in it"),
        (
            changed(state, **{first: torch.zeros(64, 3, 5, 5)}),
            f"tensor '{first}' is (64, 3, 5, 5) in the file and (64, 3, 3, 3) in the network",
        ),
        (
            changed(state, **{bias: torch.zeros(7)}),
            f"tensor '{bias}' is (7,) in the file and (64,) in the network",
        ),
        (
            changed(state, **{bias: torch.zeros(())}),
            f"tensor '{bias}' is () in the file and (64,) in the network",
        ),
    ]
    for i, (content, message) in enumerate(cases):
        torch.save(content, path := tmp_path / f"{i}.pth")
        assert refusal(path) == f"{path} does not fit squeezenet1_1: {message}"
    torch.save(state, path := tmp_path / "squeezenet.pth")
    assert refusal(path, "resnet18") == (
        f"{path} does not fit resnet18: tensor 'conv1.weight' (64, 3, 7, 7) is missing"
    )


def test_the_fingerprint_sees_every_weight(model):
    before = weights.fingerprint(model)
    with torch.no_grad():
        model.features[3].squeeze.bias[2] += 1e-3
    try:
        assert weights.fingerprint(model) != before
    finally:
        with torch.no_grad():
            model.features[3].squeeze.bias[2] -= 1e-3


@needs_shared
def test_trained_squeezenet_recognises_the_shared_images():
    network = load("squeezenet1_1", SQUEEZENET)
    assert network.layers[-1] == "classifier.3"
    images = load_images(SHARED / "images" / "imagenet", network)
    assert len(images) == 48
    truth = torch.tensor([int(name[:3]) for name in images.names])
    hits = (network.graph.forward(images.tensor).argmax(1) == truth).float().mean()
    assert hits > 0.55  # 67% on 200 images of this kind
    assert network.classes[int(truth[0])] == "banded gecko"
