"""Functions of second moments and origins: numpy and torch agree; the shortened spectrum keeps its law."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conetheory.theory import origin
from conetheory.theory import secondmoment as theory
from conetheory.theory.gaussian_law import gaussian_deficit_quantile

rng = np.random.default_rng(0)
HEARD = np.array([[0, 1, 2, 3], [1, 2, 3, 3]])


def covariance(n: int) -> np.ndarray:
    F = rng.standard_normal((n, n))
    return F @ F.T


D, K, v = rng.random((2, 5, 4)), covariance(4), rng.random((5, 4))
six = [rng.random((5, 3)) for _ in range(6)]
six[3:] = [6 + six[3], six[4], 7 + six[5]]
CASES = {
    "covector": (lambda c: theory.covector(c, True), v),
    "covector, signed": (lambda c: theory.covector(c, False), v - 0.5),
    "white_start": (theory.white_start, v, v),
    "location_weights": (theory.location_weights, D, v),
    "transported": (lambda K, t: theory.transported(K, t, _like(HEARD, K)), K, D[:, 0]),
    "injected": (lambda D, t, c, K: theory.injected(D, t, c, _near(K)), D, D[:, 0], v, K),
    "handed_over": (theory.handed_over, D, v, v),
    "local_spectrum": (lambda D, K, v: theory.local_spectrum(D, _near(K), v), D, K, v),
    "moments": (lambda *m: [*vars(origin.moments(*m)).values()], *six),
    "origin_squares": (lambda *m: origin.origin_squares(origin.moments(*m)), *six),
    "origin_spectrum": (
        lambda *m: origin.origin_spectrum(
            (o := origin.moments(*m)), origin.white_field_covariance(o.Sigma, 0 * o.c[:, 0] + 2.0)
        ),
        *six,
    ),
    "positive_part": (
        lambda S: origin.positive_part(S)[0],
        covariance(4).reshape(4, 2, 2) * 0 + covariance(2),
    ),
    "overlap": (origin.overlap, v, v[0]),
}


def _like(index: np.ndarray, array):
    return torch.from_numpy(index) if isinstance(array, torch.Tensor) else index


def _near(K):
    return theory.neighbours(K, _like(HEARD, K))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_torch_and_numpy_agree(case):
    function, *arrays = case
    expected, found = (function(*made) for made in (arrays, [torch.from_numpy(a) for a in arrays]))
    expected, found = (x if isinstance(x, list | tuple) else [x] for x in (expected, found))
    for mine, theirs in zip(found, expected, strict=True):
        assert isinstance(mine, torch.Tensor)
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=1e-9, atol=1e-12)


def test_rows_in_blocks_are_the_whole(monkeypatch):
    whole = theory.transported(K, D[:, 0], HEARD)
    T = np.zeros((4, 4))
    for k in range(2):
        T[np.arange(4), HEARD[k]] += D[k, 0]
    np.testing.assert_allclose(whole, T @ K @ T.T, rtol=1e-12)
    monkeypatch.setattr(theory, "BLOCK", 4)
    np.testing.assert_allclose(theory.transported(K, D[:, 0], HEARD), whole, rtol=1e-12)


def test_a_diagonal_stands_for_the_matrix(monkeypatch):
    diagonal = rng.random(4)
    whole = np.diag(diagonal)
    np.testing.assert_array_equal(theory.neighbours(diagonal, HEARD), theory.neighbours(whole, HEARD))
    for rows in (theory.ROWS, 2):
        monkeypatch.setattr(theory, "ROWS", rows)
        for t, heard in ((D[:, 0], HEARD), (D[:1, 0], HEARD[:1]), (D[:, 0, :3], HEARD[:, 1:])):
            expected = theory.transported(whole, t, heard)
            np.testing.assert_allclose(theory.transported(diagonal, t, heard), expected, rtol=1e-12)


@pytest.mark.parametrize("spread", [0.0, 1.0, 3.0])
def test_many_channels_on_the_span_of_the_columns(spread):
    """600 channels, variances over decades: the median is that of the whole covariance, to 0.02 decade."""
    c = np.abs(rng.standard_normal(600))
    columns = np.stack([c + 0.05 * rng.standard_normal(600) for _ in range(2)])[:, :, None]
    variances = 1e-3 * np.exp(spread * rng.standard_normal(600))[:, None]
    near = np.array([[1.0, 0.9], [0.9, 1.0]])[:, :, None]
    whole = columns[:, :, 0].T @ near[:, :, 0] @ columns[:, :, 0] + np.diag(variances[:, 0])
    exact = np.sqrt(np.linalg.eigvalsh(whole)[::-1].clip(0))
    mine = theory.local_spectrum(columns, near, variances)[0]
    assert len(mine) == theory.LEADING + 1
    assert np.sum(mine**2) == pytest.approx(np.sum(exact**2))
    medians = [float(gaussian_deficit_quantile(values).value) for values in (mine, exact)]
    assert abs(np.log10(medians[0] / medians[1])) < 0.02


def test_a_spread_tail_keeps_its_sum():
    squares = -np.sort(-rng.uniform(size=(3, 50)), axis=1)
    found = theory.shortened(squares)
    assert found.shape == (3, theory.LEADING + 1)
    np.testing.assert_allclose(found.sum(1), squares.sum(1))
    leading, rest = squares[:, : theory.HALF], squares[:, theory.HALF :].sum(1)
    np.testing.assert_array_equal(theory.spread(leading, rest), found)
