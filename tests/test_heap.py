"""Memory is kept while something runs, and given back behind the last that does."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from conetheory import heap


@pytest.fixture
def calls(monkeypatch):
    """What the C library is asked for."""
    seen: list = []
    libc = SimpleNamespace(
        mallopt=lambda *given: seen.append(given), malloc_trim=lambda pad: seen.append("trim")
    )
    monkeypatch.setattr(heap, "_glibc", lambda: libc)
    return seen


def test_the_outermost_sets_and_resets_whatever_happens_inside(calls):
    kept = [(option, heap.KEPT) for option in heap.USUAL]

    @heap.reused()
    def fails() -> None:
        with heap.reused():
            assert calls == kept
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert calls == [*kept, *heap.USUAL.items(), "trim"]


def test_other_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(heap, "_glibc", lambda: None)
    with heap.reused():
        pass
    assert heap._INSIDE == 0
