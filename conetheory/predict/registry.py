"""The registry of theories: what is registered is an option of every command, and in every table and figure.

    @register
    class MyTheory(Theory):
        name, label = "my-theory", "my theory"
        ...

A package that names the module as an entry point of the group `conetheory.theories` has it in the commands
too.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import TypeVar

from conetheory import schema
from conetheory.chain.explained import ExplainerChain
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.predict.theory import Theory
from conetheory.rules.registry import Method, load_plugins
from conetheory.theory.records import NotApplicable

BUILTIN = (  # in rank
    *("local_spectrum", "two_scale", "mean_field"),
    *("second_moment", "location_columns", "origin", "sampled_spectrum", "walk", "active_walk"),
)
PLUGINS = "conetheory.theories"
Kind = TypeVar("Kind", bound=type[Theory])  # what is decorated keeps its type

_THEORIES: dict[str, type[Theory]] = {}
_RANKS: dict[str, int] = {}


def register(theory: Kind) -> Kind:
    """Make an option, a column and a curve of a theory. Raises `ValueError` for a name that is taken."""
    if theory.name in _THEORIES:
        raise ValueError(f"a theory {theory.name!r} is registered already")
    module = theory.__module__.rpartition(".")[2]
    own = theory.__module__.startswith(str(__package__)) and module in BUILTIN
    others = [rank + 1 for rank in _RANKS.values()]
    _RANKS[theory.name] = BUILTIN.index(module) if own else max([len(BUILTIN), *others])
    _THEORIES[theory.name] = theory
    schema.declare((*described(theory).variables, *theory.details))
    return theory


def unregister(name: str) -> None:
    """Take a theory back."""
    theory = _THEORIES.pop(name)
    schema.withdraw((*described(theory).variables, *theory.details))
    del _RANKS[name]


def described(theory: type[Theory] | Theory) -> schema.Theory:
    """What results say of a theory."""
    return schema.Theory(theory.name, theory.label, _RANKS[theory.name])


def theories() -> dict[str, type[Theory]]:
    """All registered theories by name, the first in rank first."""
    _load()
    return dict(sorted(_THEORIES.items(), key=lambda item: _RANKS[item[0]]))


def usual() -> tuple[str, ...]:
    """The theories that are run where none is named."""
    return tuple(name for name, theory in theories().items() if theory.by_default)


def find(name: str) -> type[Theory]:
    """The theory called `name`. Raises `InputError`."""
    known = theories()
    if name not in known:
        close = difflib.get_close_matches(name.replace("_", "-"), known, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
        raise InputError(f"unknown theory {name!r}; {hint}")
    return known[name]


def applies(theory: str, method: Method) -> NotApplicable | None:
    """Whether a theory says anything of a method.

    Parameters
    ----------
    theory
        its name.
    method
        a `Method`.

    Returns
    -------
    NotApplicable or None
        why it says nothing; None where it does. One that `needs` columns says nothing of a method that is not
        linear, whether its class says so or not.

    Raises
    ------
    InputError
        for an unknown theory.
    """
    found = find(theory)
    if not method.backpropagated:
        return NotApplicable(f"{method.name} is not backpropagated layer by layer")
    if getattr(method, "only_down", False) and not found.only_down:
        return NotApplicable(f"{method.name} is another library's: nothing is known of it but what goes down")
    reason = found.applies(method)
    if reason is None and found.needs and not method.linear:
        return NotApplicable(f"{method.name} is not linear in the relevance: it has no columns")
    return reason


def speaks(
    theory: str, chain: RelevanceChain | ExplainerChain, starts: Sequence[str]
) -> NotApplicable | None:
    """Whether a theory says anything of a chain from some of these start layers.

    Parameters
    ----------
    theory
        its name.
    chain
        of a method and a network.
    starts
        names of layers.

    Returns
    -------
    NotApplicable or None
        why it says nothing of the method, or else from the first of the starts; None where it does.

    Raises
    ------
    InputError
        for an unknown theory.
    """
    reason = applies(theory, chain.method)
    if reason is not None or not isinstance(chain, RelevanceChain):
        return reason
    reasons = [find(theory).speaks(chain, start) for start in starts]
    return reasons[0] if reasons and None not in reasons else None


@cache
def _load() -> None:
    """Import the modules that register theories: ours, and those that other packages name."""
    for module in BUILTIN:
        import_module(f"{__package__}.{module}")
    load_plugins(PLUGINS, "theories")
