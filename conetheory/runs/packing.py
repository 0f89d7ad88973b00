"""The bytes of a unit: a line that names the format, a checksum of the rest, a header, values and arrays.

A header is JSON on one line; values are a tree of dicts (whose keys may be numbers), lists, numbers and
texts, JSON too, in which an array stands as its type, shape and place among the bytes that follow. Nothing in
it is run when it is read.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = b"conetheory unit 3\n"
ARRAY, ITEMS = "array", "items"
PLAIN = frozenset("biuf")  # kinds of arrays: booleans and numbers
HEADER = 2**24  # bytes of a header at most


class DamagedError(ValueError):
    """Bytes that are no unit, or not all of it."""


def packed(header: dict[str, Any], tree: Any) -> bytes:
    """The bytes of a unit.

    Parameters
    ----------
    header
        JSON.
    tree
        dicts, lists, arrays, numbers, texts and None.

    Returns
    -------
    bytes
        that `unpacked` reads.
    """
    arrays: list[bytes] = []
    place = 0

    def plain(value: Any) -> Any:
        nonlocal place
        if isinstance(value, np.ndarray):
            if value.dtype.kind not in PLAIN:
                raise TypeError(f"arrays of {value.dtype} are not kept in units")
            arrays.append(np.ascontiguousarray(value).tobytes())
            found = {ARRAY: [value.dtype.str, list(value.shape), place]}
            place += len(arrays[-1])
            return found
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, dict):
            return {ITEMS: [[key, plain(one)] for key, one in value.items()]}
        if isinstance(value, list | tuple):
            return [plain(one) for one in value]
        return value

    lines = [json.dumps(header, sort_keys=True), json.dumps(plain(tree))]
    content = b"".join([*(line.encode() + b"\n" for line in lines), *arrays])
    return MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def checked(content: bytes) -> dict[str, Any]:
    """The header of a unit all of whose bytes are as they were written. Raises `DamagedError`."""
    return _parts(content)[0]


def unpacked(content: bytes) -> tuple[dict[str, Any], Any]:
    """Header and tree of a unit. Raises `DamagedError`."""
    header, line, arrays = _parts(content)

    def full(value: Any) -> Any:
        if isinstance(value, list):
            return [full(one) for one in value]
        if isinstance(value, dict) and ARRAY in value:
            dtype, shape, place = value[ARRAY]
            count = int(np.prod(shape, dtype=np.int64))
            if count == 0:
                return np.empty(shape, dtype)
            return np.frombuffer(arrays, np.dtype(dtype), count, place).reshape(shape).copy()
        if isinstance(value, dict):
            return {key: full(one) for key, one in value[ITEMS]}
        return value

    return header, full(json.loads(line))


def header_of(path: Path) -> dict[str, Any]:
    """The header of a unit's file, whatever has become of the rest. Raises `DamagedError` and `OSError`."""
    with path.open("rb") as file:
        if file.readline(len(MAGIC)) != MAGIC:
            raise DamagedError("it is no unit")
        file.readline(100)
        return _json(file.readline(HEADER))


def _parts(content: bytes) -> tuple[dict[str, Any], bytes, memoryview]:
    magic, rest = content[: len(MAGIC)], memoryview(content)[len(MAGIC) :]
    told, rest = bytes(rest[:65]), rest[65:]
    if magic != MAGIC or hashlib.sha256(rest).hexdigest().encode() + b"\n" != told:
        raise DamagedError("its bytes are not those that were written")
    end = content.index(b"\n", len(MAGIC) + 65)
    second = content.index(b"\n", end + 1)
    header = _json(content[len(MAGIC) + 65 : end])
    return header, content[end + 1 : second], memoryview(content)[second + 1 :]


def _json(line: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except (ValueError, TypeError) as error:
        raise DamagedError("its header can't be read") from error
