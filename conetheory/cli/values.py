"""What options hold: whole numbers in range, `NAME=VALUE`, and how a default is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, get_origin

from cyclopts import Parameter, Token

from conetheory.counts import SIZES, checked_whole
from conetheory.errors import InputError
from conetheory.rules.names import ALL, refuse_unknown_method


def whole(metavar: str, help: str, least: int = 0, most: int = SIZES) -> Parameter:
    """An option that takes whole numbers from `least` to `most`, which its help says."""

    def converted(kind: Any, tokens: Sequence[Token]) -> int | tuple[int, ...]:
        numbers = [checked_whole(_number(t.value), t.keyword or metavar, least, most) for t in tokens]
        return tuple(numbers) if get_origin(kind) is tuple else numbers[-1]

    limits = f"from {least}" if most == SIZES else f"{least} to {most}"
    return Parameter(metavar=metavar, help=f"{help} [{limits}]", converter=converted)


def _number(text: str) -> int | str:
    """The number, or the text as it is, which is none (nor is one of more digits than Python reads)."""
    try:
        return int(text)
    except ValueError:
        return text


def sizes(text: str) -> tuple[int, ...]:
    """`3,32,32` as numbers. Raises `InputError`."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) not in (1, 3):
        raise InputError(f"--input-shape takes C,H,W or the number of features, not {text!r}")
    return tuple(checked_whole(_number(part), "--input-shape", 1) for part in parts)


def known_shape(kind: Any, text: str | None) -> None:
    """Refuse a shape that is none before anything slow is imported. Raises `InputError`."""
    if text is not None:
        sizes(text)


def known_shard(kind: Any, text: str | None) -> None:
    """Refuse what is no shard before anything slow is imported. Raises `InputError`."""
    from conetheory.runs.division import Shard

    if text is not None:
        Shard.parsed(text)


def bytes_of(text: str) -> float:
    """`4GB` or `512MB` as bytes. Raises `InputError`."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(B|[KMGT]i?B)\s*", text, re.IGNORECASE)
    if found is None or float(found[1]) == 0:
        raise InputError(f"--memory takes a size such as 4GB, not {text!r}")
    unit = found[2].upper()
    return float(found[1]) * (1024 if "I" in unit else 1000) ** "BKMGT".index(unit[0])


def known_size(kind: Any, text: str | None) -> None:
    """Refuse what is no size before anything slow is imported. Raises `InputError`."""
    if text is not None:
        bytes_of(text)


def shown_default(value: Any) -> str | None:
    """A default as it is typed; None where nothing is typed for it."""
    if value is None or value is False or value == ():
        return None
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def named_value(text: str) -> tuple[str, Any]:
    """`NAME=VALUE` with a number, true, false or null as such, and anything else as text. `InputError`."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise InputError(f"--set takes NAME=VALUE, not {text!r}")
    try:
        return name.replace("-", "_"), json.loads(value)
    except ValueError:  # no JSON, or a number of more digits than Python reads
        return name.replace("-", "_"), value


def known_methods(kind: Any, names: Sequence[str]) -> None:
    """Refuse names that no method has before anything slow is imported. Raises `InputError`."""
    for name in names:
        if name != ALL:
            refuse_unknown_method(name)


def distinct(names: Iterable[str], meaning: Callable[[str], Hashable]) -> list[str]:
    """The names without later ones that mean the same."""
    found: dict[Hashable, str] = {}
    for name in names:
        found.setdefault(meaning(name), name)
    return list(found.values())
