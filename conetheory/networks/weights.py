"""State dicts: read from a file without executing code, checked, and fitted to a network."""

from __future__ import annotations

import hashlib
import pickle
import pickletools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from conetheory.errors import InputError, one_line

State = dict[str, Tensor]
WRAPPERS = ("state_dict", "model")
COUNTER = "num_batches_tracked"  # counts training steps; no output depends on it and old files lack it


def read(path: Path) -> State:
    """The state dict in a `.safetensors` file, or in a `.pth` file (bare, or under `state_dict` or `model`).

    Never executes code. Halves become float32 and a `module.` before every name goes. Raises `InputError`
    where the file is absent, broken, would run code, or holds something else than named float tensors.
    """
    if not path.is_file():
        raise InputError(
            f"weights file {path} does not exist" if not path.exists() else f"{path} is not a file"
        )
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    return tidy(content, str(path))


def _read_safetensors(path: Path) -> State:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"weights file {path} is truncated or no safetensors file: {one_line(error)}"
        ) from error


def _read_pickle(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about old formats that it then reads
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # broken files raise UnpicklingError, RuntimeError, EOFError, KeyError, ...
        raise InputError(f"weights file {path} {_why_unreadable(error, path)}") from error


def _why_unreadable(error: Exception, path: Path) -> str:
    text = str(error)
    if isinstance(error, pickle.UnpicklingError) and ("GLOBAL" in text or _names_code(path)):
        return "holds pickled objects that would run code; save the state dict alone"
    if "TorchScript" in text:
        return "is a TorchScript program; save its state dict instead"
    reason = f": {one_line(error).split('. ')[0]}" if isinstance(error, RuntimeError) else ""
    return f"is truncated or no PyTorch file{reason}"


def _names_code(path: Path) -> bool:
    """Whether a plain pickle asks for a function or class, found by reading its opcodes, not running them."""
    try:
        with path.open("rb") as file:
            return any(op.name in ("GLOBAL", "STACK_GLOBAL", "INST") for op, _, _ in pickletools.genops(file))
    except ValueError:
        return False


def tidy(content: object, source: str) -> State:
    """Unwrapped, float32, without `module.`; `InputError` where it isn't a dict of finite float tensors."""
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{source} holds {type(content).__name__}, not a state dict of named tensors")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise InputError(f"{source}: the entry {name!r} ({type(value).__name__}) is no named tensor")
        if value.layout != torch.strided:
            raise InputError(f"{source}: tensor {name!r} is sparse; save it with .to_dense()")
        if not value.is_floating_point() and not name.endswith(COUNTER):
            raise InputError(
                f"{source}: tensor {name!r} holds {str(value.dtype)[6:]}, not floating-point numbers"
            )
    prefix = "module." if all(name.startswith("module.") for name in content) else ""
    state = OrderedDict(
        (name.removeprefix(prefix), v.float() if v.is_floating_point() else v) for name, v in content.items()
    )
    if hasattr(content, "_metadata"):  # versions of the modules, which some of torchvision's ask for
        state._metadata = content._metadata
    check_finite(state, source)
    return state


def check_finite(state: Mapping[str, Tensor], source: str) -> None:
    """Raise `InputError`, naming the first tensor, where a weight is NaN or infinite."""
    for name, tensor in state.items():
        if is_lazy(tensor) or not tensor.is_floating_point() or tensor.is_meta:
            continue
        if bad := int((~torch.isfinite(tensor)).sum()):
            raise InputError(
                f"{source}: tensor {name!r} holds {bad} NaN or infinite values of {tensor.numel()}"
            )


def fit(build: Callable[[int | None], nn.Module], state: State, source: str, name: str) -> nn.Module:
    """The network `build(classes)` with these weights, in evaluation mode; the head's size follows the file.

    `build(None)` is the network with its usual head. It is built without storage first, so that no time
    goes into an initialisation that the file overwrites. Raises `InputError`, naming the first tensor
    that is missing, unexpected or of another shape.
    """
    with torch.device("meta"):
        model = build(None)
        if (classes := _head_size(model.state_dict(), state)) is not None:
            model = build(classes)
    expected = model.state_dict()
    if problem := _misfit(expected, state):
        raise InputError(f"{source} does not fit {name}: {problem}")
    for key, tensor in expected.items():
        if key.endswith(COUNTER) and key not in state:
            state[key] = torch.zeros(tensor.shape, dtype=tensor.dtype)
    if not hasattr(state, "_metadata"):
        state = OrderedDict(state)
        state._metadata = expected._metadata
    model.load_state_dict(state, assign=True)
    return model.eval()


def _head_size(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> int | None:
    """The length of the first axis of the tensors that differ from the expected in it alone, if it is one."""
    pairs = [(tensor.shape, state[k].shape) for k, tensor in expected.items() if k in state]
    sizes = {theirs[:1] for ours, theirs in pairs if ours != theirs}
    if len(sizes) != 1 or any(ours[1:] != theirs[1:] for ours, theirs in pairs):
        return None
    (size,) = sizes
    return size[0] if size and size[0] > 0 else None


def _misfit(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str | None:
    for name, tensor in expected.items():
        if name not in state and not name.endswith(COUNTER):
            return f"tensor {name!r} {tuple(tensor.shape)} is missing"
    for name, tensor in state.items():
        if name not in expected and not name.endswith(COUNTER):
            return f"tensor {name!r} {tuple(tensor.shape)} has no place in it"
    for name, tensor in expected.items():
        if name in state and state[name].shape != tensor.shape:
            found = tuple(state[name].shape)
            return f"tensor {name!r} is {found} in the file and {tuple(tensor.shape)} in the network"
    return None


def fingerprint(model: nn.Module) -> str:
    """sha256 over names, shapes, dtypes and bytes of a model's state dict, in order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name.endswith(COUNTER):
            continue
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
