"""No product of matrices has an infinity in it: on some processors numpy warns of those.

A BLAS that fills blocks up with zeros multiplies them by what stands beside; infinity times zero is invalid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from tests.cases import told
from tests.theory.matrix_functions import BATCHED, BATCHES, MATRICES, outcome

PRODUCTS = {"matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "baddbmm", "einsum", "tensordot"}


class FiniteProducts(TorchFunctionMode):
    """Products with an infinity are an error here."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.__name__ in PRODUCTS:
            assert not any(isinstance(A, torch.Tensor) and A.isinf().any() for A in args), "infinity"
        return function(*args, **(kwargs or {}))


def test_products_with_an_infinity_are_seen() -> None:
    A = torch.tensor([[1.0, torch.inf]])
    with FiniteProducts():
        for product in (lambda: A @ A.T, lambda: torch.matmul(A.T, A), lambda: torch.mm(A.T, A)):
            with pytest.raises(AssertionError, match="infinity"):
                product()


@pytest.mark.parametrize("name", BATCHED)
def test_finite_matrices_make_finite_products(name: str) -> None:
    for odd, A in {**MATRICES, **BATCHES}.items():
        if not np.isinf(A).any():
            with told(odd), FiniteProducts():
                outcome(BATCHED[name], torch.from_numpy(A))
