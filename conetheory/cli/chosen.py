"""Which methods a command runs, and with which parameters each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from conetheory.errors import InputError
from conetheory.rules.registry import entries, find, get_method

ALL = "all"
RULE_OPTIONS = ("bias", "stabiliser", "empty_pool")


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


def given_parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of rules among a command's options, `--set NAME=VALUE` included."""
    own = {name: given[name] for name in RULE_OPTIONS if given.get(name) is not None}
    return own | dict(_pair(text) for text in given.get("set") or ())


def _accepted(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in parameters.items() if key in find(name).parameters}


def _pair(text: str) -> tuple[str, Any]:
    """`NAME=VALUE` with a number, true, false or null as such, and anything else as text."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise InputError(f"--set takes NAME=VALUE, not {text!r}")
    try:
        return name.replace("-", "_"), json.loads(value)
    except ValueError:  # no JSON, or a number of more digits than Python reads
        return name.replace("-", "_"), value
