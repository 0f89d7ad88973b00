"""State dicts: read from a file without executing code, unwrapped and checked."""

from __future__ import annotations

import hashlib
import pickle
import pickletools
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from conetheory.errors import InputError, one_line
from conetheory.networks.fitting import COUNTER, EXTRA, State, check_finite, fit, renamed

__all__ = ["State", "check_finite", "fingerprint", "fit", "read", "renamed", "tidy"]

# under which checkpoints hold the state dict, beside an optimiser's and others
WRAPPERS = (
    *("state_dict", "model_state_dict", "model_state", "model", "net"),
    *("network", "module", "weights", "params"),
)


def read(path: Path) -> State:
    """The state dict in a `.safetensors` file, or in a `.pth` file (bare, or under one of `WRAPPERS`).

    Never executes code. Names and numbers are as in the file; `fit` brings them to what a network expects.
    Raises `InputError` where the file is absent, broken, would run code, or holds something else than named
    tensors.
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
    """Unwrapped; `InputError` where it isn't a dict of finite tensors (extra state may be anything)."""
    content = _unwrapped(content)
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{source} holds {type(content).__name__}, not a state dict of named tensors")
    if quantised := next((k for k, v in content.items() if _quantised(k, v)), None):
        raise InputError(
            f"{source} holds a quantised network ({quantised!r}); save the state dict of the float network"
        )
    for name, value in content.items():
        if isinstance(name, str) and name.endswith(EXTRA):
            continue
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise InputError(f"{source}: the entry {name!r} ({type(value).__name__}) is no named tensor")
        if value.layout != torch.strided:
            raise InputError(f"{source}: tensor {name!r} is sparse; save it with .to_dense()")
        if value.is_complex():
            raise InputError(f"{source}: tensor {name!r} holds {str(value.dtype)[6:]}, not real numbers")
    check_finite(content, source)
    return cast(State, content)


def _unwrapped(content: object) -> object:
    """The first mapping of tensors that is held under a wrapper's name, however deep; else the content."""
    inner = [content.get(key) for key in WRAPPERS] if isinstance(content, Mapping) else []
    found = next((value for value in inner if _holds_tensors(value)), None)
    return content if found is None else _unwrapped(found)


def _holds_tensors(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    return any(isinstance(v, Tensor) or _holds_tensors(v) for v in value.values())


def _quantised(name: Any, value: Any) -> bool:
    packed = isinstance(name, str) and "_packed_params" in name
    return packed or (isinstance(value, Tensor) and value.is_quantized)


def fingerprint(model: nn.Module) -> str:
    """sha256 over names, shapes, dtypes and bytes of a model's state dict, in order of the names.

    Of extra state, which may be anything, tensors count and the rest is left out.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name.endswith(COUNTER) or not isinstance(tensor, Tensor):
            continue
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
