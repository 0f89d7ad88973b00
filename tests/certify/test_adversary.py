"""No certificate is contradicted: small random networks, exactly, with no slack (see `adversary`)."""

from __future__ import annotations

import json

import numpy as np
import pytest

from conetheory.certify import certifier
from tests.certify import adversary, exhaustive
from tests.certify.adversary import HARD, METHODS, PARTS, attacks

SOME = [*range(0, 240, 7), *range(HARD, HARD + 14)]
HUNDREDS = [*range(240), *range(HARD, HARD + 60)]
THOUSANDS = [*range(2400), *range(HARD, HARD + 600)]
ALWAYS = {"arriving", "dead", "deficit", "diameter", "gaussian", "every image", "tau_1", "map"}


def totals(seeds, whole=True):
    """The tallies of these networks; of each network all, or one part beside its locations."""
    kinds, rules = {}, set()
    for seed in seeds:
        for found in attacks(seed, parts=PARTS if whole else (PARTS[seed % 3],)):
            assert not found.worst, (seed, found.worst)
            rules.add(found.rule)
            for kind, tally in found.kinds.items():
                kinds.setdefault(kind, adversary.Tally()).join(tally)
    return kinds, rules


def test_no_certificate_is_contradicted():
    kinds, rules = totals(SOME, whole=False)
    assert set(kinds) >= ALWAYS
    assert len(rules) == len(METHODS)
    for kind in ("deficit", "diameter", "tau_1", "map"):
        assert 0.999 < kinds[kind].nearest <= 1  # it comes as near as can be
    assert kinds["deficit"].held > 150


@pytest.mark.exhaustive
def test_no_part_of_a_certificate_is_contradicted():
    """Every part of each network's, of which the quick test takes one of a third of them."""
    totals(HUNDREDS)


@pytest.mark.exhaustive
def test_no_certificate_of_thousands_is_contradicted():
    totals(THOUSANDS)


@pytest.mark.parametrize("share", [1e-9, 1e-4])
def test_the_adversary_finds_a_bound_that_is_a_little_too_low(monkeypatch, share):
    """A bound smaller by a billionth is contradicted by the worst pair itself."""
    true = certifier._cone_bounds

    def low(*given):
        worst, *others = true(*given)
        return worst * (1 - share), *others

    monkeypatch.setattr(certifier, "_cone_bounds", low)
    with pytest.raises(AssertionError, match="deficit at"):
        totals(range(40))


def test_the_adversary_finds_zeros_that_are_none(monkeypatch):
    """Taking what is 0.0 for dead, as if nothing underflowed or cancelled, is contradicted in both ways."""

    def nothing(chain, start, columns):
        return {k: [np.zeros((len(rows.positions), 1, 1)) for rows in held] for k, held in columns.items()}

    monkeypatch.setattr(certifier.Supports, "of", lambda *_: {})
    monkeypatch.setattr(certifier, "losses", nothing)
    found = [f for seed in range(HARD, HARD + 40) for f in attacks(seed, parts=()) if f.worst]
    assert {"alpha2beta1" in f.rule for f in found} == {True, False}


def test_the_figures_continue_where_they_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(exhaustive, "PART", 2)
    monkeypatch.setattr(exhaustive, "ProcessPoolExecutor", Here)
    path = tmp_path / "adversary.json"
    exhaustive.run(path, 4, 1, 1)
    first = json.loads(path.read_text())
    assert first["networks"] == 4
    figures = exhaustive.run(path, 6, 1, 1)
    assert figures["networks"] == 6
    assert figures["checks"] > first["checks"]
    assert figures == json.loads(path.read_text())
    assert figures["violations"] == 0


class Here(exhaustive.ProcessPoolExecutor):
    """A pool of no processes."""

    def __init__(self, *_, **__) -> None:
        pass

    def __exit__(self, *_) -> None:
        pass

    def submit(self, function, *given):
        from concurrent.futures import Future

        future = Future()
        future.set_result(function(*given))
        return future
