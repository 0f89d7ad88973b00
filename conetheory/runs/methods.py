"""Which methods a study runs, and with which parameters each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conetheory.rules.names import ALL as ALL
from conetheory.rules.registry import entries, find, get_method


def chosen_methods(asked: Sequence[str], parameters: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`{name: its parameters}` for the asked methods; `all` stands for every registered one.

    Each parameter goes to the methods that have it. `InputError` where none has, and where a method that
    was asked for by its name refuses a value.
    """
    names = [entry.name for name in asked for entry in (entries().values() if name == ALL else [find(name)])]
    found = {name: _accepted(name, parameters) for name in dict.fromkeys(names)}
    for key in parameters:
        if not any(key in given for given in found.values()):
            get_method(names[0], **{key: parameters[key]})  # says which parameters there are
    for name, given in found.items():
        if name in asked:
            get_method(name, **given)
    return found


def _accepted(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in parameters.items() if key in find(name).parameters}
