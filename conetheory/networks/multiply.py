"""Multiplication: by a constant, one number or one a channel, and of two branches, one of which is a gate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from conetheory.networks.calls import Call, RefusedError, Value
from conetheory.networks.coupling import Product
from conetheory.networks.ops import Affine, Op

Gate = Literal["smaller", "left", "right"]
TIMES = frozenset(["mul", "imul", "multiply"])
OVER = frozenset(["div", "truediv", "itruediv", "true_divide", "divide"])


def multiplication(call: Call, gate: Gate) -> tuple[Op, Sequence[Value]]:
    """The operation and its inputs. Raises `RefusedError`.

    The gate is the operand of fewer elements; of two of one size `gate` says which, left or right.
    """
    left, right = call.get(0, "input"), call.get(1, "other")
    tensors = [t for t in (left, right) if isinstance(t, Value)]
    over = call.kind.rstrip("_") in OVER
    if len(tensors) == 1 and (tensors[0] is left or not over) and call.kwargs.get("rounding_mode") is None:
        return _scale(call, tensors[0], right if tensors[0] is left else left, over), tensors
    if len(tensors) < 2 or over:
        raise RefusedError(f"the operation {call.kind!r} by what depends on the image, or rounded")
    return Product(_gate(call, left, right, gate)), tensors


def _gate(call: Call, left: Value, right: Value, gate: Gate) -> int:
    sizes = [math.prod(t.shape) for t in (left, right)]
    if sizes[0] == sizes[1]:
        if gate == "smaller":
            raise RefusedError(
                f"{call.kind!r} of two branches of one shape, {left.shape}, neither of them the gate:"
                " trace(model, shape, gate='left') or 'right' says which"
            )
        return 0 if gate == "left" else 1
    found = 0 if sizes[0] < sizes[1] else 1
    branch, other = (right, left) if found == 0 else (left, right)
    if branch.shape != call.shape or len(other.shape) != len(call.shape):
        raise RefusedError(f"{call.kind!r} of tensors of shapes {left.shape} and {right.shape}")
    return found


def _scale(call: Call, source: Value, constant: Any, over: bool) -> Affine:
    """`c x` as a factor of each channel and no offset."""
    inside, like = source.shape, source.like
    factor = constant if isinstance(constant, Tensor) else torch.tensor(constant, dtype=torch.float64)
    factor = factor.to(like)
    sizes = (1,) * (len(inside) + 1 - factor.ndim) + tuple(factor.shape)
    allowed = (1, inside[0], *(1 for _ in inside[1:]))
    if len(sizes) > len(allowed) or any(n not in (1, m) for n, m in zip(sizes, allowed, strict=True)):
        raise RefusedError(
            f"{call.kind!r} by a constant of shape {tuple(factor.shape)}, not one number or one a channel"
        )
    factor = factor.reshape(-1).expand(inside[0])
    factor = (1 / factor if over else factor).contiguous()
    return Affine(factor, torch.zeros_like(factor), fixed=not isinstance(constant, Tensor))
