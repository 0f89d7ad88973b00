"""What is kept of every image: arrays by name, in the order of the images, wherever they were seen.

The last of them are held, the others lie in a file without a name that goes with the process: so the memory
of a study does not grow with its images. The file is where the system has its temporary files (`TMPDIR`).
"""

from __future__ import annotations

import os
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from conetheory.errors import InputError

ROOM = 2**20  # bytes that are held in memory
ROWS = 2**12  # rows that are given together, of many images


class ByImage:
    """Arrays by a name, such as a layer's, and an image's number in the study.

    They come back in the order of the numbers, in whatever order and in however many parts of a study the
    images were seen; an image that two parts have seen counts once.
    """

    def __init__(self) -> None:
        self._written: dict[str, _Places] = {}
        self._held: dict[str, dict[int, np.ndarray]] = {}
        self._bytes = self._end = 0
        self._file: Any = None

    def __contains__(self, name: str) -> bool:
        return name in self._held

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._held)

    def add(self, name: str, number: int, values: Any) -> None:
        """Keep an array of one image. Raises `InputError` where the disk is full."""
        values = np.asarray(values)
        self._held.setdefault(name, {})[number] = values
        self._bytes += values.nbytes
        if self._bytes > ROOM:
            self._write()

    def free(self, name: str, first: int) -> int:
        """The first number from `first` on of which nothing is known under the name."""
        held, written = self._held.get(name, {}), self._written.get(name)
        while first in held or (written is not None and first in written):
            first += 1
        return first

    def each(self, name: str) -> Iterator[np.ndarray]:
        """The arrays of a name in the order of the images, one at a time."""
        return (values for _, values in self._numbered(name))

    def of(self, name: str) -> list[np.ndarray]:
        """All of them at once."""
        return list(self.each(name))

    def numbered(self, name: str) -> dict[int, np.ndarray]:
        """All of them by the images' numbers."""
        return dict(self._numbered(name))

    def stacked(self, name: str, rows: int = ROWS) -> Iterator[np.ndarray]:
        """Arrays (n, r) below each other, some images at a time; narrower ones are filled up with zeros."""
        some: list[np.ndarray] = []
        for values in self.each(name):
            some.append(values)
            if sum(map(len, some)) >= rows:
                yield below_each_other(some)
                some = []
        if some:
            yield below_each_other(some)

    def record(self) -> dict[str, Any]:
        """All of it, as `take` takes it up."""
        return {name: [[number, v] for number, v in self._numbered(name)] for name in self.names}

    def take(self, record: Mapping[str, Any]) -> None:
        """Add what was kept of other images."""
        for name, held in record.items():
            for number, values in held:
                self.add(name, number, values)

    def __getstate__(self) -> dict[str, Any]:
        return self.record()

    def __setstate__(self, state: dict[str, Any]) -> None:
        ByImage.__init__(self)
        self.take(state)

    def _numbered(self, name: str) -> Iterator[tuple[int, np.ndarray]]:
        held = self._held.get(name, {})
        written = self._written[name].latest() if name in self._written else {}
        for number in sorted({*held, *written}):
            if number in held:
                yield number, held[number]
            else:
                places = self._written[name]
                count, dtype, shape = places.form(written[number])
                content = os.pread(self._file.fileno(), count, places.at[written[number]])
                yield number, np.frombuffer(content, dtype).reshape(shape)

    def _write(self) -> None:
        """Put what is held into the file."""
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 (as long as this object)
                weakref.finalize(self, self._file.close)
            for name, images in self._held.items():
                places = self._written.setdefault(name, _Places())
                for number, values in images.items():
                    self._file.write(np.ascontiguousarray(values).tobytes())
                    places.add(number, self._end, values)
                    self._end += values.nbytes
                images.clear()
            self._file.flush()
        except OSError as error:
            where = tempfile.gettempdir()
            raise InputError(
                f"what is kept of the images can't be written to {where}: {error.strerror}; "
                "set TMPDIR to a folder with more room"
            ) from error
        self._bytes = 0


class _Places:
    """Where the arrays of one name lie in the file: some 20 bytes for each, as there may be many."""

    def __init__(self) -> None:
        self.numbers, self.at, self.rows, self.kinds = array("I"), array("Q"), array("I"), array("H")
        self._forms: list[tuple[np.dtype, int, tuple[int, ...]]] = []
        self._seen = bytearray()

    def __contains__(self, number: int) -> bool:
        return number < len(self._seen) and bool(self._seen[number])

    def add(self, number: int, at: int, values: np.ndarray) -> None:
        form = (values.dtype, values.ndim, values.shape[1:])
        if form not in self._forms:
            self._forms.append(form)
        self._seen.extend(bytes(max(0, number + 1 - len(self._seen))))
        self._seen[number] = 1
        self.numbers.append(number)
        self.at.append(at)
        self.rows.append(len(values) if values.ndim else 1)
        self.kinds.append(self._forms.index(form))

    def latest(self) -> dict[int, int]:
        """The place in these lists of each number, of two the later."""
        return {number: place for place, number in enumerate(self.numbers)}

    def form(self, place: int) -> tuple[int, np.dtype, tuple[int, ...]]:
        """Bytes, type and shape of an array."""
        dtype, ndim, row = self._forms[self.kinds[place]]
        shape = (self.rows[place], *row) if ndim else ()
        return int(np.prod(shape, dtype=np.int64)) * dtype.itemsize, dtype, shape


def below_each_other(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays (n, r) as one; narrower ones are filled up with zeros."""
    width = max(part.shape[1] for part in parts)
    return np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts])
