"""A rule with its parameters as one line of text, the same in every run: what a result says it is of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor


def described(value: Any) -> str:
    """`Gamma(gamma=0.25, bias='gamma')`; arrays go by a hash of their numbers, functions by their name."""
    match value:
        case Tensor():
            return f"tensor {tuple(value.shape)} {_hash(value)}"
        case np.ndarray():
            return f"tensor {value.shape} {_hash(torch.as_tensor(value))}"
        case Real() if not isinstance(value, bool):
            return repr(float(value))
        case Mapping():
            return f"{{{', '.join(f'{key}: {described(value[key])}' for key in sorted(value))}}}"
        case list() | tuple():
            return f"({', '.join(map(described, value))})"
        case Set():
            return f"{{{', '.join(sorted(map(described, value)))}}}"
        case partial():
            return f"{described(value.func)}({described(value.args)}, {described(value.keywords)})"
        case _ if is_dataclass(value) and not isinstance(value, type):
            given = [f"{field.name}={described(getattr(value, field.name))}" for field in fields(value)]
            return f"{type(value).__name__}({', '.join(given)})"
    plain = type(value).__repr__ is not object.__repr__  # which would give an address
    return getattr(value, "__qualname__", None) or (repr(value) if plain else type(value).__qualname__)


def _hash(values: Tensor) -> str:
    plain = values.detach().cpu().to(torch.float64).contiguous()
    return hashlib.sha256(plain.numpy().tobytes()).hexdigest()[:16]
