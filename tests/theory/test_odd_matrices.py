"""Odd matrices at every public function of the theory: zero, empty, integer, boolean, NaN, mixed batches.

What comes out is a number, NaN, NotApplicable or InputError; never another error nor a number made of
NaN.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch

import conetheory.theory
from conetheory.errors import InputError
from conetheory.theory.records import NotApplicable
from tests.cases import told
from tests.theory.matrix_functions import BATCHED, BATCHES, BITS, MATRICES, PLAIN, SINGLE, outcome

# What takes no array, and what only says what the other functions say.
SCALAR = {
    *(f"attention.{name}" for name in ("softmax_diameter_upper", "rollout_diameter_upper")),
    "attention.rollout_tau_1_upper",
    "bundle.reduced_layer",
    "cone.diameter_of_logs",
    "convchains.deficit_exponent",
    "convchains.slowest_rate",
    "cosine.random_baseline_deficit",
    "gaussian_law.live_baseline_deficit",
    "enclosure.floats",
    "enclosure.gamma",
    "enclosure.subtraction_free_factor",
    *(
        f"farthest.{name}"
        for name in ("numbers", "outlying", "outlying_in_angle", "outlying_in_length", "outlying_in_range")
    ),
    "ergodicity.tau_1_signed_upper",
    "matrices.matrix",
    "matrices.real",
    "meanfield.gaussian_pairs",
    "meanfield.sampled_noise",
    "meanfield.typical_noise",
    "relupair.relu_rate",
    "statement.entry",
    "theorems.theorem",
    "twoscale.mixing_layers_estimate",
    "walk.slowest_mode_estimate",
    "walk.thinned_kappa",
    *(f"randomlayers.{name}" for name in ("vanilla", "positive", "nonnegative", "column_stochastic")),
    *(
        f"randomlayers.{name}"
        for name in ("row_stochastic", "positive_sums", "alpha_beta", "pattern_weighted")
    ),
    *(
        f"randomlayers.{name}"
        for name in ("rate", "critical_alpha", "critical_gamma", "gamma_rule", "spiked_singular_values")
    ),
}
# What takes the arrays of sweeps, several of one shape; not held against odd ones here.
OF_SWEEPS = {
    *(f"convchains.{name}" for name in ("white_walk", "walk_layer", "walk_layers", "neighbours")),
    *(f"convchains.{name}" for name in ("tap_sums", "between_zeros")),
    *(f"origin.{name}" for name in ("moments", "positive_part", "origin_squares", "white_field_covariance")),
    *(f"origin.{name}" for name in ("smoothing", "field_covariance", "origin_spectrum", "overlap")),
    *(f"walk.{name}" for name in ("point", "walk_step", "joined", "variances", "kernel_variances")),
    *(f"origin.{name}" for name in ("remainder_upper", "cut_by_border", "tail_energies")),
    *(f"secondmoment.{name}" for name in ("covector", "white_start", "location_weights", "neighbours")),
    *(f"secondmoment.{name}" for name in ("transported", "injected", "handed_over", "local_spectrum")),
    *(f"secondmoment.{name}" for name in ("shortened", "spread")),
    *(f"sampledspectrum.{name}" for name in ("participation", "true_participation_estimate")),
    *(f"sampledspectrum.{name}" for name in ("corrected_spectrum_estimate", "jackknife_log_error")),
}


def leaves(result: Any) -> list[np.ndarray]:
    """The arrays and numbers that a result is made of; a reason has none."""
    if isinstance(result, NotApplicable) or result is None or isinstance(result, str):
        return []
    if is_dataclass(result):
        result = [getattr(result, f.name) for f in fields(result)]
    if isinstance(result, list | tuple):
        return [leaf for part in result for leaf in leaves(part)]
    return [result.cpu().numpy() if isinstance(result, torch.Tensor) else np.asarray(result)]


def same(one: Any, other: Any, rtol: float = 1e-6) -> None:
    refused = [isinstance(x, InputError | NotApplicable) for x in (one, other)]
    assert refused[0] == refused[1], (one, other)
    if refused[0]:
        return
    mine, theirs = leaves(one), leaves(other)
    assert len(mine) == len(theirs)
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6 * rtol)


def number_of_nan(result: Any) -> int:
    return sum(int(np.isnan(leaf).sum()) for leaf in leaves(result) if leaf.dtype.kind == "f")


@pytest.mark.parametrize("name", [*BATCHED, *SINGLE])
def test_one_matrix(name: str) -> None:
    function = {**BATCHED, **SINGLE}[name]
    for odd, A in MATRICES.items():
        with told(odd):
            found = outcome(function, A)
            if isinstance(found, InputError | NotApplicable):
                assert str(found)
            elif np.isnan(A).any():
                assert number_of_nan(found), "a number made of NaN"


@pytest.mark.parametrize("name", BATCHED)
def test_a_batch(name: str) -> None:
    """A batch is refused, or its members get what they get alone."""
    for odd, A in BATCHES.items():
        with told(odd):
            batch_is_its_members(BATCHED[name], A, name)


def batch_is_its_members(function: Callable, A: np.ndarray, name: str) -> None:
    found = outcome(function, A)
    if isinstance(found, InputError | NotApplicable) or "block_products" in name:
        return
    for k, member in enumerate(A):
        alone = outcome(function, member)
        if isinstance(alone, InputError | NotApplicable):
            assert number_of_nan(found) or "rate" in str(alone)
            continue
        for mine, theirs in zip(leaves(found), leaves(alone), strict=False):
            if mine.ndim == theirs.ndim + 1 and mine.shape[0] == len(A):
                np.testing.assert_allclose(mine[k], theirs, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", [*BATCHED, *SINGLE])
def test_the_kind_of_number_does_not_matter(name: str) -> None:
    function = {**BATCHED, **SINGLE}[name]
    for kind in (np.int64, np.uint8, np.bool_, np.float32):
        whole = BITS if kind is np.bool_ else PLAIN
        if kind is np.float32 and name == "spectrum.perron_root":
            continue  # its rtol is below what float32 can certify
        with told(kind.__name__):
            expected = outcome(function, whole.astype(np.float64))
            same(outcome(function, whole.astype(kind)), expected, 1e-4 if kind is np.float32 else 1e-12)


@pytest.mark.parametrize("name", BATCHED)
def test_torch_says_the_same(name: str) -> None:
    for odd, A in MATRICES.items():
        with told(odd):
            same(outcome(BATCHED[name], torch.from_numpy(A)), outcome(BATCHED[name], A))


def test_every_public_function_is_here() -> None:
    public = set()
    modules = pkgutil.iter_modules(conetheory.theory.__path__)
    for found in (one for one in modules if not one.name.startswith("_")):
        module = import_module(f"conetheory.theory.{found.name}")
        for name, item in vars(module).items():
            if inspect.isfunction(item) and item.__module__ == module.__name__ and not name.startswith("_"):
                public.add(f"{found.name}.{name}")
    held = {*BATCHED, *(name.split(",")[0] for name in SINGLE), *SCALAR, *OF_SWEEPS}
    assert public == held, "how a function is called goes into one of the lists above, by what it takes"
