"""Settings that all tests share, and which cases the quick run takes."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

BUNDLED = ("cifar10", "cifar10_cnn")
SLOW = [HealthCheck.too_slow]
settings.register_profile(
    "quick", max_examples=10, deadline=None, derandomize=True, suppress_health_check=SLOW
)
settings.register_profile("dev", max_examples=30, deadline=None, suppress_health_check=SLOW)
settings.register_profile("ci", max_examples=60, deadline=None, derandomize=True, suppress_health_check=SLOW)
settings.register_profile("long", max_examples=2000, deadline=None, suppress_health_check=SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_configure() -> None:
    gc.disable()  # nothing becomes garbage while modules are imported and tests collected


def pytest_collection_finish() -> None:
    """What is there now stays: half a million objects that are not looked through again and again."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _threads() -> None:
    import torch  # here, for the process that hands out the tests needs none

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))


@pytest.fixture(autouse=True)
def _drawn_alike() -> None:
    """What a test draws without a seed, such as a module's weights, is the same in every run.

    By the generator itself: `torch.manual_seed` also formats the stack, for devices that are not there yet,
    in two milliseconds.
    """
    import torch

    torch.default_generator.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _network(_threads: None) -> Iterator[None]:
    """Commands share the bundled network, which they leave as it is: to make it is a fifth of a short one."""
    from conetheory import networks

    make, kept = networks.load, cache(networks.load)

    def load(model: Any, *given: Any, **options: Any) -> Any:
        plain = (
            isinstance(model, str)
            and model in BUNDLED
            and not options
            and all(each is None for each in given)
        )
        return kept(model) if plain else make(model, *given, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "load", load)
        yield


def covered(indices: Sequence[int], sizes: Sequence[int]) -> bool:
    """Whether a case is one of those that show every value of every parameter: as many as the longest has.

    Along the longest the others go round, each a step further after each of its rounds than the one before,
    so that two of one length do not go in step.
    """
    longest = max(range(len(sizes)), key=lambda axis: sizes[axis])
    i, others = indices[longest], [axis for axis in range(len(sizes)) if axis != longest]
    return all(
        indices[axis] == (i + step * (i // sizes[axis])) % sizes[axis] for step, axis in enumerate(others)
    )


@pytest.hookimpl(tryfirst=True)  # before cases are chosen by their marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of tests marked `covering` the covering cases are quick, the others exhaustive; not if one is named."""
    if any("[" in argument for argument in config.args):
        return
    functions: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("covering") and hasattr(item, "callspec"):
            functions.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for cases in functions.values():
        names = [case.callspec._idlist for case in cases]  # one for each `parametrize`
        axes = [list(dict.fromkeys(axis)) for axis in zip(*names, strict=True)]
        for case, name in zip(cases, names, strict=True):
            indices = [axis.index(value) for axis, value in zip(axes, name, strict=True)]
            if not covered(indices, [len(axis) for axis in axes]):
                case.add_marker(pytest.mark.exhaustive)
