"""What is kept of every image comes back as it was, in the order of the images, wherever it lay."""

from __future__ import annotations

import pickle
import tempfile

import numpy as np
import pytest

from conetheory.errors import InputError
from conetheory.measure import by_image, ranks
from conetheory.measure.by_image import ByImage


def filled(rng, order, held: ByImage) -> dict[int, np.ndarray]:
    """Arrays of several shapes and types, by the numbers of images in some order."""
    arrays = {
        number: rng.random((rng.integers(0, 5), 3)) if number % 3 else rng.random((2, 4)) for number in order
    }
    for number, values in arrays.items():
        held.add("matrices", number, values)
        held.add("counts", number, int(number))
        held.add("flags", number, values[:, 0] > 0.5)
    return arrays


@pytest.mark.parametrize("room", [0, 400, 2**20])
def test_arrays_come_back_in_the_order_of_the_images(room, monkeypatch):
    monkeypatch.setattr(by_image, "ROOM", room)
    rng, held = np.random.default_rng(0), ByImage()
    order = rng.permutation(40)
    arrays = filled(rng, order, held)
    held.add("matrices", 7, arrays[7])  # seen by two parts
    wanted = [arrays[number] for number in range(40)]
    np.testing.assert_equal(held.of("matrices"), wanted)
    assert [int(count) for count in held.each("counts")] == list(range(40))
    assert all(flags.dtype == bool for flags in held.each("flags"))
    assert held.names == ("matrices", "counts", "flags")
    assert "flags" in held
    assert (held.free("counts", 3), held.free("nothing", 3)) == (40, 3)
    whole = np.concatenate([np.pad(each, ((0, 0), (0, 4 - each.shape[1]))) for each in wanted])
    np.testing.assert_equal(np.concatenate([*held.stacked("matrices", 9)])[:, :3], whole[:, :3])
    for other in (pickle.loads(pickle.dumps(held)), ByImage()):
        other.take(held.record())
        np.testing.assert_equal(other.of("matrices"), wanted)


def test_no_more_is_held_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(by_image, "ROOM", 10_000)
    held = ByImage()
    for number in range(100):
        held.add("one", number, np.full(500, number, float))
        assert sum(values.nbytes for values in held._held["one"].values()) <= 10_000
    assert [values[0] for values in held.each("one")] == list(range(100))


def test_a_full_disk_is_one_line(monkeypatch):
    class Full:
        def write(self, content: bytes) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None: ...

    monkeypatch.setattr(by_image, "ROOM", 0)
    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    with pytest.raises(InputError, match=r"can't be written to .*: No space left on device; set TMPDIR"):
        ByImage().add("one", 0, np.ones(3))


@pytest.mark.parametrize("few", [1, 50, 10**6])
def test_ranks_are_those_of_the_sorted_numbers(few, monkeypatch):
    """Of both signs, over all decades, with many that are the same."""
    monkeypatch.setattr(ranks, "FEW", few)
    rng = np.random.default_rng(1)
    wide = 10.0 ** rng.uniform(-300, 300, 100) * rng.choice([-1, 1], 100)
    parts = [wide, np.zeros(30), rng.random(71), np.full(60, 0.25), np.empty(0), np.array([np.inf, -np.inf])]
    everything = np.sort(np.concatenate(parts))
    for rank in (0, 1, 77, 130, 200, len(everything) - 1):
        assert ranks.ranked(lambda: parts, lambda count, rank=rank: rank) == everything[rank]
    assert ranks.median(lambda: parts) == np.median(everything)
    assert ranks.median(lambda: parts[:-1]) == np.median(np.concatenate(parts[:-1]))


def test_of_no_numbers_there_is_no_median():
    assert np.isnan(ranks.median(lambda: [np.empty(0)]))
    with pytest.raises(InputError, match="no number"):
        ranks.ranked(lambda: [], lambda count: 0)
