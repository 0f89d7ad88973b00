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
from torch.overrides import TorchFunctionMode

import conetheory.theory
from conetheory.errors import InputError
from conetheory.theory import (
    attention,
    bundle,
    columns,
    cone,
    cosine,
    enclosure,
    ergodicity,
    gaussian_law,
    generators,
    htransform,
    innerscalings,
    lyapunov,
    meanfield,
    pattern,
    patternlayers,
    randomlayers,
    rectified,
    relupair,
    sparsematrix,
    spectrum,
    twoscale,
    worstpair,
)
from conetheory.theory.records import NotApplicable
from tests.cases import told

LAYER = randomlayers.alpha_beta(2)


def filled(A: Any, shape: tuple[int, ...], value: float) -> Any:
    """An array of the library of A."""
    return (
        torch.full(shape, value, dtype=torch.float64)
        if isinstance(A, torch.Tensor)
        else np.full(shape, value)
    )


def stochastic(A: Any) -> Any:
    """Columns divided by their sums, those of sum zero left as they are: what the hypotheses ask for."""
    A = A.to(torch.float64) if isinstance(A, torch.Tensor) else A.astype(np.float64)
    with np.errstate(all="ignore"):
        total = A.sum(-2)[..., None, :] if A.ndim > 1 else A.sum()
        return A / (total + (total == 0))


def transposed(A: Any) -> Any:
    return A.swapaxes(-2, -1) if A.ndim > 1 else A


def center(A: Any) -> Any:
    """Equal parts for each column, of the kind of A."""
    shape = (*A.shape[:-2], A.shape[-1])
    return filled(A, shape, 1 / max(1, shape[-1]))


def first(A: Any) -> Any:
    return A[..., :1, :] if A.ndim > 1 else A


def norm_cones(A: Any) -> Any:
    w = center(A)
    found = ergodicity.propagated_norm_cone(
        [stochastic(A)], ergodicity.NormCone(w, filled(A, w.shape[:-1], 1.0))
    )
    return found if isinstance(found, NotApplicable) else [found, [c.deficit_upper() for c in found]]


def relu_step(A: Any) -> Any:
    pair = relupair.relu_pair_of(A, A[..., ::-1])
    return relupair.relu_pair_step(pair, LAYER, 5)


def lanczos(A: Any) -> Any:
    A = stochastic(A if A.ndim > 1 else A[None, :])
    return spectrum.leading_singular_values(
        lambda x: A @ x, lambda y: transposed(A) @ y, center(A)[..., None], max_steps=10
    )


# Functions of a matrix (..., m, n), or of vectors and numbers made of one.
BATCHED: dict[str, Callable[[Any], Any]] = {
    "attention.softmax_diameter": attention.softmax_diameter,
    "columns.mean_squared_sine": lambda A: columns.mean_squared_sine(A, 3),
    "columns.column_deficit_estimate": lambda A: columns.column_deficit_estimate(A, 3),
    "cone.hilbert_distance": lambda A: cone.hilbert_distance(A, first(A)),
    "cone.pairwise_hilbert_distances": cone.pairwise_hilbert_distances,
    "cone.projective_diameter": cone.projective_diameter,
    "angles.birkhoff_rate": cone.birkhoff_rate,
    "angles.birkhoff_tau": cone.birkhoff_tau,
    "angles.diameter_of_rate": cone.diameter_of_rate,
    "angles.product_diameter_upper": cone.product_diameter_upper,
    "angles.contracted_diameter_upper": lambda A: cone.contracted_diameter_upper(A, 2.0),
    "angles.cosine_lower_from_rates": cone.cosine_lower_from_rates,
    "angles.deficit_upper_from_rates": cone.deficit_upper_from_rates,
    "angles.cosine_lower_from_diameter": cone.cosine_lower_from_diameter,
    "angles.deficit_upper_from_diameter": cone.deficit_upper_from_diameter,
    "angles.angle_of_deficit": lambda A: cone.angle_of_deficit(A),
    "angles.deficit_of_angle": cone.deficit_of_angle,
    "angles.half_tangent_of_deficit": cone.half_tangent_of_deficit,
    "angles.deficit_of_half_tangent": cone.deficit_of_half_tangent,
    "worstpair.worst_pair_cosine": worstpair.worst_pair_cosine,
    "cosine.pairwise_deficits": cosine.pairwise_deficits,
    "cosine.deficit": lambda A: cosine.deficit(A, first(A)),
    "cosine.deficit_tail_bound": lambda A: cosine.deficit_tail_bound(A, 0.3),
    "cosine.deficit_upper": lambda A: cosine.deficit_upper(A, 0.05),
    "cosine.deficit_mean_upper": cosine.deficit_mean_upper,
    "enclosure.round_up": enclosure.round_up,
    "enclosure.round_down": enclosure.round_down,
    "enclosure.diameter_upper": lambda A: enclosure.diameter_upper(A, 1e-9, 3.0),
    "enclosure.largest_log": enclosure.largest_log,
    "enclosure.deficit_inflated_upper": lambda A: enclosure.deficit_inflated_upper(A, 1e-9, 3),
    "enclosure.cosine_inflated_lower": lambda A: enclosure.cosine_inflated_lower(A, 1e-9, 3),
    "enclosure.tau_1_upper": lambda A: enclosure.tau_1_upper(A, 1e-9, 3),
    "enclosure.stable_rank_excess_upper": lambda A: enclosure.stable_rank_excess_upper(A, 1e-9),
    "ergodicity.tau_1": ergodicity.tau_1,
    "ergodicity.tau_1_weighted": lambda A: ergodicity.tau_1_weighted(
        A, filled(A, A.shape[:-1], 2.0), center(A)
    ),
    "ergodicity.doeblin_upper": lambda A: ergodicity.doeblin_upper(stochastic(A)),
    "twonorm.tau_2": ergodicity.tau_2,
    "twonorm.chi_square_contraction": lambda A: ergodicity.chi_square_contraction(stochastic(A), center(A)),
    "ergodicity.block_products": lambda A: ergodicity.block_products([A, transposed(A)], [2]),
    "ergodicity.chain_tau_1_upper": lambda A: ergodicity.chain_tau_1_upper([stochastic(A)]),
    "ergodicity.propagated_norm_cone": norm_cones,
    "htransform.h_transform": lambda A: htransform.h_transform([A, transposed(A)]),
    "gaussian_law.stable_rank_excess": gaussian_law.stable_rank_excess,
    "gaussian_law.gaussian_deficit_cdf": lambda A: gaussian_law.gaussian_deficit_cdf(A, 0.1),
    "gaussian_law.gaussian_deficit_mean": gaussian_law.gaussian_deficit_mean,
    "gaussian_law.gaussian_deficit_quantile": gaussian_law.gaussian_deficit_quantile,
    "lyapunov.lyapunov_spectrum": lambda A: lyapunov.lyapunov_spectrum([A], center(A)[..., None]),
    "meanfield.pair_of": lambda A: meanfield.pair_of(A, transposed(A)),
    "meanfield.apply_layer": lambda A: meanfield.apply_layer(meanfield.pair_of(A, A), LAYER, 4).deficit,
    "meanfield.propagate": lambda A: [
        p.deficit for p in meanfield.propagate(meanfield.pair_of(A, A), LAYER, [3, 4])
    ],
    "randomlayers.arc_cosine_deficit": randomlayers.arc_cosine_deficit,
    "spectrum.perron_root": lambda A: spectrum.perron_root(A, max_steps=50),
    "spectrum.leading_singular_values": lanczos,
    "spectrum.stable_rank": spectrum.stable_rank,
    "spectrum.effective_rank": spectrum.effective_rank,
    "twoscale.location_weight": lambda A: twoscale.location_weight(A, A, -1),
    "twoscale.amplitude": lambda A: twoscale.amplitude(A, A, -1),
    "twoscale.surrogate": lambda A: twoscale.surrogate(A, A, A, -1),
    "twoscale.coherence": lambda A: twoscale.coherence(A, A, A.ndim - 2),
    "twoscale.closure_errors": lambda A: twoscale.closure_errors(A, A, A, A, -1),
    "twoscale.combined_deficit": lambda A: twoscale.combined_deficit(A, A, A),
}
# Functions of one matrix on the CPU, batched or not.
SINGLE: dict[str, Callable[[Any], Any]] = {
    "bundle.frame_coordinates": bundle.frame_coordinates,
    "bundle.reduced_deficits": lambda A: bundle.reduced_deficits(
        LAYER, [len(A), 3], A, np.random.default_rng(0)
    ),
    "gaussian_law.mixture_deficit_quantile": gaussian_law.mixture_deficit_quantile,
    "generators.worst_deficit_upper": generators.worst_deficit_upper,
    "generators.worst_pair_upper": generators.worst_pair_upper,
    "generators.worst_deficit_upper, many": lambda A: generators.worst_deficit_upper(A, keep=1),
    "generators.diameter_upper": generators.diameter_upper,
    "generators.diameter_upper, many": lambda A: generators.diameter_upper(A, keep=1),
    "generators.radius_upper": lambda A: generators.radius_upper(A, np.ones(len(A))),
    "generators.composed_diameter_upper": lambda A: generators.composed_diameter_upper(
        A, [0.1] * A.shape[-1]
    ),
    "innerscalings.diameter_sup_over_inner_scalings_is_finite": lambda A: (
        innerscalings.diameter_sup_over_inner_scalings_is_finite(A, A.T)
    ),
    "innerscalings.chain_diameter_sup_is_finite": lambda A: innerscalings.chain_diameter_sup_is_finite(
        [A, A.T]
    ),
    "pattern.allowable": pattern.allowable,
    "pattern.scrambling": pattern.scrambling,
    "pattern.primitive": pattern.primitive,
    "pattern.primitivity_index": pattern.primitivity_index,
    "pattern.scrambling_index": pattern.scrambling_index,
    "pattern.conv_pattern": lambda A: pattern.conv_pattern(A[None, None], (4, 4)).toarray(),
    "pattern.local_scrambling_time": lambda A: pattern.local_scrambling_time(
        [A], np.zeros(len(A), dtype=int)
    ),
    "pattern.pattern_of": pattern.pattern_of,
    "patternlayers.pattern_layer": lambda A: patternlayers.pattern_layer(A, A),
    "patternlayers.centre_tap": patternlayers.centre_tap,
    "patternlayers.leading": patternlayers.leading,
    "rectified.rectified": lambda A: rectified.rectified(rectified.Moments(A, A**2 + A, A)),
    "rectified.threshold_keeping": lambda A: rectified.threshold_keeping(
        rectified.Moments(0 * A, A**2, A), A, 0.1
    ),
    "relupair.relu_pair_of": lambda A: relupair.relu_pair_of(A, A[..., ::-1]),
    "relupair.relu_pair_step": relu_step,
    "sparsematrix.finite_columns": lambda A: sparsematrix.finite_columns(A)[0].toarray(),
    "sparsematrix.farthest": lambda A: sparsematrix.farthest(sparsematrix.finite_columns(A)[0]),
    "sparsematrix.h_step": lambda A: sparsematrix.h_step(A, np.ones(len(A)), np.zeros(len(A)))[1:],
    "sparsematrix.live_part": sparsematrix.live_part,
    "twoscale.location_chain": lambda A: twoscale.location_chain(A[..., None, None], np.ones((1, 1))),
}
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
PLAIN = np.asarray([[2.0, 1, 1], [1, 1, 0], [0, 1, 1]])
BITS = PLAIN > 0
MATRICES = {
    "plain": PLAIN,
    "zero": np.zeros((3, 3)),
    "one": np.full((1, 1), 0.5),
    "no rows": np.zeros((0, 3)),
    "no columns": np.zeros((3, 0)),
    "nothing": np.zeros((0, 0)),
    "a vector": np.ones(3),
    "a dead column": PLAIN * [1, 0, 1],
    "a dead row": PLAIN.T * [1, 0, 1],
    "NaN": np.where(np.eye(3) > 0, np.nan, PLAIN),
    "all NaN": np.full((3, 3), np.nan),
    "infinite": np.where(np.eye(3) > 0, np.inf, PLAIN),
    "negative": -PLAIN,
    "tiny": PLAIN * 1e-320,
    "huge": PLAIN * 1e307,
    "integers": PLAIN.astype(int),
    "booleans": BITS,
}
BATCHES = {
    "mixed": np.stack([PLAIN, 0 * PLAIN, PLAIN * [1, 0, 1], np.eye(3)]),
    "all zero": np.zeros((2, 3, 3)),
    "no matrices": np.zeros((0, 3, 3)),
    "no rows": np.zeros((2, 0, 3)),
    "no columns": np.zeros((2, 3, 0)),
    "one NaN": np.stack([PLAIN, PLAIN * np.nan]),
    "integers": np.stack([PLAIN, 0 * PLAIN]).astype(int),
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


def outcome(function: Callable[[Any], Any], A: Any) -> Any:
    """What a function makes of A, or the error that it may raise; other errors come out."""
    try:
        with np.errstate(all="ignore"):
            return function(A)
    except InputError as refused:
        return refused


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


class FiniteProducts(TorchFunctionMode):
    """Products of matrices with an infinity are an error here.

    On some processors numpy warns of them: a BLAS that fills blocks up with zeros multiplies those as well.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.__name__ in {"matmul", "__matmul__", "mm", "bmm", "einsum", "tensordot"}:
            assert not any(isinstance(A, torch.Tensor) and A.isinf().any() for A in args), "inf in a product"
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", BATCHED)
def test_no_product_has_an_infinity(name: str) -> None:
    for odd, A in {**MATRICES, **BATCHES}.items():
        if not np.isinf(A).any():
            with told(odd), FiniteProducts():
                outcome(BATCHED[name], torch.from_numpy(A))


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
