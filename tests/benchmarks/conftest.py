"""Print the ratios that the benchmarks are read by."""

from __future__ import annotations

from itertools import groupby

import pytest
import torch


@pytest.fixture(scope="session")
def image() -> torch.Tensor:
    return torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def pytest_terminal_summary(terminalreporter) -> None:
    session = getattr(terminalreporter.config, "_benchmarksession", None)
    if session is None:
        return
    found = {b.name: b for b in session.benchmarks if not b.has_error and b.stats.data}  # none if stopped
    seconds = {name: b.stats.min for name, b in found.items()}  # what else the machine does only adds
    base = seconds.get("test_autograd")
    if base is not None:
        terminalreporter.section("ratios to one autograd forward and backward pass")
        for name, value in seconds.items():
            terminalreporter.write_line(f"{value / base:8.2f} x   {value:8.2f} s   {name}")
    for ours, theirs in (("lrp-alpha1beta0", "ZPlus"), ("lrp-alpha2beta1", "AlphaBeta")):
        fast, slow = seconds.get(f"test_sweep_with_statistics[{ours}]"), seconds.get(f"test_zennit[{theirs}]")
        if fast and slow:
            terminalreporter.write_line(f"{slow / fast:8.2f} x faster than zennit's {theirs}: {ours}")
    for method in ("lrp-alpha1beta0", "lrp-alpha2beta1"):
        measured = seconds.get(f"test_measurement[{method}]")
        for name, value in seconds.items():
            if measured and name.startswith("test_theory[") and name.endswith(f"-{method}]"):
                terminalreporter.write_line(
                    f"{value / measured:8.2f} x   {value:8.2f} s   {name}, to the measurement of 10 vectors"
                )
    for name, b in found.items():
        if b.extra_info and "floor" not in b.extra_info:
            terminalreporter.write_line(f"{name}: {b.extra_info}")
    _theory(terminalreporter, [b for b in found.values() if "floor" in b.extra_info])


def _theory(terminalreporter, benchmarks) -> None:
    """In each group: the seconds of the first, beside those of the second and the floor."""
    for group, members in groupby(benchmarks, lambda b: b.group):
        times = [(b.stats.min / b.extra_info["share"], b.extra_info["floor"]) for b in members]
        if len(times) == 2:
            (ours, floor), (theirs, _) = times
            terminalreporter.write_line(
                f"{group}: {ours:.4f} s, {ours / theirs:.2f} x numpy ({theirs:.4f} s), "
                f"{ours / floor:.0f} x its floor ({floor:.5f} s)"
            )
