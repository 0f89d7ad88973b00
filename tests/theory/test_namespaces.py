"""Functions of arrays give torch tensors what they give numpy arrays, and a batch what its members get."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from conetheory.theory import (
    cone,
    cosine,
    enclosure,
    ergodicity,
    gaussian_law,
    htransform,
    lyapunov,
    meanfield,
    randomlayers,
    spectrum,
    twoscale,
    worstpair,
)
from tests.cases import devices, needs_cuda

rng = np.random.default_rng(0)
BATCH = (2, 3)


def columns(m: int, n: int, signed: bool = False) -> np.ndarray:
    """Matrices with columns of sum one."""
    Z = rng.uniform(0.1, 1, (2, *BATCH, m, n))
    Z /= Z.sum(axis=-2, keepdims=True)
    return 2 * Z[0] - Z[1] if signed else Z[0]


def numbers(*shape: int, low: float = 0.01, high: float = 0.9) -> np.ndarray:
    return rng.uniform(low, high, (*BATCH, *shape))


def norm_cone(M: Any, N: Any, center: Any, radius: Any) -> Any:
    cones = ergodicity.propagated_norm_cone([M, N], ergodicity.NormCone(center, radius))
    return cones, [c.deficit_upper() for c in cones]


def lanczos(A: Any, start: Any) -> Any:
    transposed = A.swapaxes(-2, -1)
    return spectrum.leading_singular_values(lambda x: A @ x, lambda y: transposed @ y, start, max_steps=20)


def exponents(A: Any, B: Any, start: Any) -> Any:
    found = lyapunov.lyapunov_spectrum([A, B], start)
    return found.log_singular_values, found.exponents, found.gap


def center(n: int) -> np.ndarray:
    w = numbers(n)
    return w / w.sum(axis=-1, keepdims=True)


positive, square, spectra = numbers(4, 5), numbers(4, 4), -np.sort(-numbers(6))
angle = partial(meanfield.apply_layer, layer=randomlayers.alpha_beta(2), outputs=7)
CASES = {
    "hilbert_distance": (cone.hilbert_distance, numbers(5), numbers(5)),
    "pairwise_hilbert_distances": (cone.pairwise_hilbert_distances, positive),
    "projective_diameter": (cone.projective_diameter, positive),
    "birkhoff_rate": (cone.birkhoff_rate, numbers(high=9)),
    "birkhoff_tau": (cone.birkhoff_tau, numbers(high=9)),
    "diameter_of_rate": (cone.diameter_of_rate, numbers(high=9)),
    "product_diameter_upper": (cone.product_diameter_upper, numbers(3)),
    "contracted_diameter_upper": (cone.contracted_diameter_upper, numbers(high=9), numbers(high=9)),
    "cosine_lower_from_rates": (cone.cosine_lower_from_rates, numbers(3)),
    "deficit_upper_from_rates": (cone.deficit_upper_from_rates, numbers(3)),
    "cosine_lower_from_diameter": (cone.cosine_lower_from_diameter, numbers(high=9)),
    "deficit_upper_from_diameter": (cone.deficit_upper_from_diameter, numbers(high=9)),
    "angle_of_deficit": (cone.angle_of_deficit, numbers()),
    "deficit_of_angle": (cone.deficit_of_angle, numbers()),
    "half_tangent_of_deficit": (cone.half_tangent_of_deficit, numbers()),
    "deficit_of_half_tangent": (cone.deficit_of_half_tangent, numbers()),
    "worst_pair_cosine": (worstpair.worst_pair_cosine, positive),
    "pairwise_deficits": (cosine.pairwise_deficits, positive - 0.3),
    "deficit": (cosine.deficit, numbers(5), numbers(5) - 0.3),
    "deficit_tail_bound": (cosine.deficit_tail_bound, numbers(), numbers()),
    "deficit_upper": (lambda S: cosine.deficit_upper(S, 0.05), numbers()),
    "deficit_mean_upper": (cosine.deficit_mean_upper, numbers()),
    "stable_rank_excess": (gaussian_law.stable_rank_excess, spectra),
    "round_up": (enclosure.round_up, numbers()),
    "round_down": (enclosure.round_down, numbers()),
    "diameter_upper": (lambda d: enclosure.diameter_upper(d, 1e-9, 3.0), numbers()),
    "largest_log": (enclosure.largest_log, positive),
    "deficit_inflated_upper": (lambda d: enclosure.deficit_inflated_upper(d, 1e-9, 5), numbers()),
    "cosine_inflated_lower": (lambda c: enclosure.cosine_inflated_lower(c, 1e-9, 5), numbers()),
    "tau_1_upper": (lambda t: enclosure.tau_1_upper(t, 1e-9, 5), numbers()),
    "stable_rank_excess_upper": (lambda P: enclosure.stable_rank_excess_upper(P, 1e-9), positive - 0.3),
    "tau_1": (ergodicity.tau_1, columns(4, 5, signed=True)),
    "tau_1_weighted": (ergodicity.tau_1_weighted, columns(4, 5, signed=True), numbers(4), numbers(5)),
    "doeblin_upper": (ergodicity.doeblin_upper, columns(4, 5)),
    "tau_2": (ergodicity.tau_2, columns(4, 5, signed=True)),
    "chi_square_contraction": (ergodicity.chi_square_contraction, columns(4, 5), numbers(5)),
    "block_products": (lambda *Ms: ergodicity.block_products(Ms, [1, 3]), square, square, positive),
    "chain_tau_1_upper": (lambda *Ms: ergodicity.chain_tau_1_upper(Ms), columns(3, 4), columns(4, 5)),
    "h_transform": (lambda *Ms: htransform.h_transform(Ms), square, positive),
    "propagated_norm_cone": (
        norm_cone,
        columns(3, 4, True),
        columns(4, 5, True),
        center(5),
        numbers(high=0.1),
    ),
    "perron_root": (spectrum.perron_root, square),
    "leading_singular_values": (lanczos, positive, numbers(5, 2)),
    "stable_rank": (spectrum.stable_rank, spectra),
    "effective_rank": (spectrum.effective_rank, spectra),
    "lyapunov_spectrum": (exponents, square, square, numbers(4, 2)),
    "pair_of": (lambda u, v: meanfield.pair_of(u, v).five_numbers, numbers(5), numbers(5)),
    "apply_layer": (lambda u, v: angle(meanfield.pair_of(u, v)).deficit, numbers(5), numbers(5)),
    "arc_cosine_deficit": (randomlayers.arc_cosine_deficit, numbers()),
    "location_weight": (lambda r, c: twoscale.location_weight(r, c, -1), numbers(5), numbers(5)),
    "amplitude": (lambda r, c: twoscale.amplitude(r, c, -1), numbers(5), numbers(5)),
    "surrogate": (lambda c, a, x: twoscale.surrogate(c, a, x, -1), numbers(5), numbers(1), numbers(5)),
    "closure_errors": (lambda *a: twoscale.closure_errors(*a, -1), *(numbers(5) for _ in range(4))),
    "combined_deficit": (twoscale.combined_deficit, numbers(), numbers(), numbers()),
}


def leaves(result: Any) -> list[Any]:
    """The arrays and numbers that a result is made of."""
    if is_dataclass(result):
        result = [getattr(result, f.name) for f in fields(result)]
    if isinstance(result, list | tuple):
        return [leaf for part in result for leaf in leaves(part)]
    return [] if isinstance(result, str) else [result]


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request: pytest.FixtureRequest) -> tuple:
    return request.param


@needs_cuda
def test_the_cases_of_this_file_are_held_on_cuda_too() -> None:
    assert cone.projective_diameter(torch.from_numpy(positive).to("cuda")).device.type == "cuda"


@devices
def test_torch_and_numpy_agree(case: tuple, device: str) -> None:
    function, *arrays = case
    expected = leaves(function(*arrays))
    found = leaves(function(*(torch.from_numpy(a).to(device) for a in arrays)))
    assert len(found) == len(expected) > 0
    for mine, theirs in zip(found, expected, strict=True):
        if isinstance(theirs, np.ndarray):
            assert isinstance(mine, torch.Tensor)
            assert mine.device.type == device
            mine = mine.cpu().numpy()
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)


def test_a_batch_is_its_members(case: tuple) -> None:
    function, *arrays = case
    whole = leaves(function(*arrays))
    single = leaves(function(*(a[1, 2] for a in arrays)))
    for batch, member in zip(whole, single, strict=True):
        if np.shape(batch)[: len(BATCH)] == BATCH:
            np.testing.assert_allclose(batch[1, 2], member, rtol=1e-9, atol=1e-12)
        else:
            assert np.ndim(batch) == 0  # a count of steps, say
