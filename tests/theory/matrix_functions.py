"""Every public function of the theory that takes matrices, as a function of one, and odd ones to try."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

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


def outcome(function: Callable[[Any], Any], A: Any) -> Any:
    """What a function makes of A, or the error that it may raise; other errors come out."""
    try:
        with np.errstate(all="ignore"):
            return function(A)
    except InputError as refused:
        return refused
