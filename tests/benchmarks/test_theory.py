"""What the theory core costs, beside the obvious numpy of it and the floor that its memory traffic allows.

Sizes are those of real layers: 64 rows at a location of VGG-16 (25088 units), tau_1 of 2048 columns, 16
Lyapunov exponents of 64 layers of width 1024, the local spectra of 10,000 locations. The floor is the time
that a large sum takes to read the arguments once. In each group the second function is the baseline.
"""

from __future__ import annotations

from functools import lru_cache
from time import perf_counter

import numpy as np
import pytest
import torch

from conetheory.chain.local import singular_values
from conetheory.theory.cone import projective_diameter
from conetheory.theory.ergodicity import tau_1
from conetheory.theory.lyapunov import lyapunov_spectrum

rng = np.random.default_rng(0)


@lru_cache(maxsize=1)
def bandwidth() -> float:
    """Bytes per second that a large sum reads."""
    block = np.ones(2**26)
    times = []
    for _ in range(3):
        start = perf_counter()
        block.sum()
        times.append(perf_counter() - start)
    return block.nbytes / min(times)


def run(benchmark, function, *arrays, rounds=1, share=1):
    """`share`: what part of the work the function was given, by which its time is to be divided."""
    floor = sum(a.nbytes for a in arrays) / bandwidth()
    benchmark.extra_info.update(floor=floor, share=share)
    return benchmark.pedantic(function, args=arrays, rounds=rounds, warmup_rounds=0)


@pytest.fixture(scope="module")
def wide() -> np.ndarray:
    return np.exp(rng.normal(size=(64, 25088)))


def diameter_of_all_pairs(A):
    logs = np.log(A)
    return max(np.ptp(logs[i] - logs[j]) for i in range(len(A)) for j in range(i))


@pytest.mark.benchmark(group="projective diameter, 64 x 25088")
@pytest.mark.parametrize("function", [projective_diameter, diameter_of_all_pairs])
def test_diameter(benchmark, wide, function):
    assert float(run(benchmark, function, wide, rounds=9)) > 0


@pytest.fixture(scope="module")
def stochastic() -> np.ndarray:
    A = rng.random((2048, 2048))
    return A / A.sum(0)


def tau_1_by_columns(A):
    return max(0.5 * np.abs(A[:, k + 1 :] - A[:, [k]]).sum(0).max() for k in range(A.shape[1] - 1))


@pytest.mark.benchmark(group="tau_1, 2048 x 2048")
@pytest.mark.parametrize("function", [tau_1, tau_1_by_columns])
def test_tau_1(benchmark, stochastic, function):
    assert 0 < float(run(benchmark, function, stochastic)) < 1


@pytest.fixture(scope="module")
def layers() -> list[np.ndarray]:
    return [rng.standard_normal((1024, 1024)) / 32 for _ in range(64)]


def probes() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((1024, 16))


def leading_exponents(*layers):
    return lyapunov_spectrum(layers, probes(), max_sweeps=1)


def exponents_by_plain_qr(*layers):
    """The same sweep, without any bound on its error."""
    Q, logs = np.linalg.qr(probes())[0], np.zeros(16)
    for A in layers:
        Q, R = np.linalg.qr(A @ Q)
        logs += np.log(np.abs(np.diag(R)))
    return logs / len(layers)


@pytest.mark.benchmark(group="Lyapunov spectrum, 16 of 1024, 64 layers")
@pytest.mark.parametrize("function", [leading_exponents, exponents_by_plain_qr])
def test_lyapunov(benchmark, layers, function):
    assert run(benchmark, function, *layers, rounds=5) is not None


@pytest.fixture(scope="module")
def local() -> np.ndarray:
    return rng.standard_normal((10_000, 128, 256), dtype=np.float32)


def spectra(P):
    return torch.cat([singular_values(torch.from_numpy(block)) for block in np.array_split(P, 20)])


def spectra_by_svd(P):
    """On a fiftieth of the matrices."""
    return np.linalg.svd(P[::50].astype(np.float64), compute_uv=False)


@pytest.mark.benchmark(group="10,000 local spectra, 128 x 256")
@pytest.mark.parametrize(("function", "share"), [(spectra, 1), (spectra_by_svd, 1 / 50)])
def test_local_spectra(benchmark, local, function, share):
    assert len(run(benchmark, function, local, share=share)) == 10_000 * share
