"""The values of a method's parameters, held against their annotations before a rule is built of them."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, wraps
from math import isfinite
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from conetheory.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")
INTEGERS = 2**63  # those of torch and of netCDF lie below
WORDS = {
    float: "a finite number",
    int: "a whole number below 2^63",
    bool: "true or false",
    str: "text",
    Sequence: "a list of finite numbers",
}


def takes_parameters(function: Callable[P, R]) -> Callable[P, R]:
    """A function with `parameters=`, for whose unknown keywords the error says that a rule's go there."""
    name, known = function.__qualname__.removesuffix(".__init__"), inspect.signature(function).parameters

    @wraps(function)
    def checked(*args: P.args, **given: P.kwargs) -> R:
        refuse_unknown(name, given, known)
        return function(*args, **given)

    return checked


def refuse_unknown(function: str, given: Iterable[str], known: Collection[str]) -> None:
    """Raise `TypeError` for the first keyword that is not known, with what is near it, and say where a rule's
    parameters go.
    """
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(key, sorted(known), 1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise TypeError(
                f"{function} takes no argument {key!r}; {hint}a rule's own are parameters={{{key!r}: ...}}"
            )


def check_parameters(method: str, build: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Raise `InputError` for the first value whose type its annotation in `build` does not allow.

    Numbers must be finite; a `Literal` is a choice among texts.
    """
    annotations = _annotations(build)
    for name, value in given.items():
        kinds = _kinds(annotations.get(name, Any))
        if not any(_allowed(value, kind) for kind in kinds):
            raise InputError(f"{name} of {method} must be {_in_words(kinds)}, not {value!r}")


@cache  # a rule is built for every chain, and reading its annotations takes a millisecond
def _annotations(build: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(build)
    except NameError:  # of a module that imports its annotations for type checkers alone
        return {}


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """The types that an annotation allows, and the texts."""
    if get_origin(annotation) in (Union, UnionType):
        return tuple(kind for part in get_args(annotation) for kind in _kinds(part))
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return (get_origin(annotation) or annotation,)


def _in_words(kinds: Sequence[Any]) -> str:
    words = [kind if isinstance(kind, str) else WORDS.get(kind) or kind.__name__ for kind in kinds]
    *first, last = (word for word in words if word != NoneType.__name__)
    return f"{', '.join(first)} or {last}" if first else last


def _allowed(value: Any, kind: Any) -> bool:
    if kind is Any:
        return True
    if isinstance(kind, str):
        return isinstance(value, str) and value == kind
    if kind is Sequence:
        return _are_numbers(value)
    if kind is float:
        return isinstance(value, Real) and not isinstance(value, bool) and _is_finite(value)
    if kind is int:
        return isinstance(value, Integral) and not isinstance(value, bool) and abs(int(value)) < INTEGERS
    return isinstance(value, kind)


def _is_finite(value: Real) -> bool:
    try:
        return isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False


def _are_numbers(value: Any) -> bool:
    try:
        values = np.asarray(value)
    except (
        TypeError,
        ValueError,
        RuntimeError,
    ):  # such as lists of different lengths, or a tensor with a gradient
        return False
    return values.ndim == 1 and values.dtype.kind in "iuf" and bool(np.isfinite(values).all())


def check_stabiliser(value: float, name: str = "stabiliser") -> None:
    if not value >= 0:
        raise InputError(f"the {name} must be >= 0, not {value}")
