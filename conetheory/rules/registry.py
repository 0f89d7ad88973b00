"""The registry of methods: what a user types, its parameters, and what theory may assume about it.

    @register("my-rule", family="LRP", description="...", source="...")
    @dataclass(frozen=True)
    class MyRule(Rule):
        ...

makes a method of every function, table and figure; of every command too where an installed package names the
module as an entry point of the group `conetheory.methods`. What is registered is anything that gives a `Rule`
from keyword parameters with defaults: a class, or a function that builds a composite.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

from conetheory.errors import InputError, one_line
from conetheory.rules.base import Rule
from conetheory.rules.described import described
from conetheory.rules.explainer import Explainer
from conetheory.rules.names import PLUGINS, canonical, unknown
from conetheory.rules.parameters import check_parameters

BUILTIN = (
    *("alphabeta", "gradient", "lrp", "domains", "excitation", "composite", "contrastive"),
    *("patterns", "deeplift", "attnlrp", "abslrp", "dynamic"),
)
EXPLAINERS = ("gradients", "occlusion", "iba", "tcav", "cam", "fullgrad", "rollout", "control")
Naming = Callable[[str], dict[str, Any] | None]
Build = TypeVar("Build", bound=Callable[..., Any])  # what is decorated keeps its type


@dataclass(frozen=True)
class Entry:
    """One registered method. `fixed`: parameters that its name stands for; `naming` reads them off other
    names, such as `lrp-alpha3beta2`. `equation`: its map at an operation, in the notation of
    `proofs/README.md`.
    """

    name: str
    build: Callable[..., Any]
    family: str
    description: str
    source: str
    aliases: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    naming: Naming | None = None
    equation: str = ""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Names and defaults of the parameters that the name leaves free."""
        found = inspect.signature(self.build).parameters.values()
        return {p.name: p.default for p in found if p.name not in self.fixed}


@dataclass(frozen=True)
class Method:
    """A rule with its parameters, and the properties of its matrices (see `Rule`).

    Attributes
    ----------
    name
        as it was asked for.
    rule
        with its parameters.
    entry
        of the registry: family, description, source.
    """

    name: str
    rule: Rule | Explainer
    entry: Entry

    @property
    def backpropagated(self) -> bool:
        return isinstance(self.rule, Rule)

    @property
    def layerwise(self) -> Rule:
        """The rule, where it is one; `InputError` where the method is not backpropagated layer by layer."""
        if isinstance(self.rule, Rule):
            return self.rule
        raise InputError(f"{self.name} is not backpropagated layer by layer: open_chain makes its chain")

    @property
    def described(self) -> str:
        """The rule with its parameters, as results keep it."""
        return described(self.rule)

    @property
    def family(self) -> str:
        return self.entry.family

    @property
    def description(self) -> str:
        return self.entry.description

    @property
    def source(self) -> str:
        return self.entry.source

    @property
    def equation(self) -> str:
        """What it sends down at an operation, empty where its author does not say."""
        return self.entry.equation

    @property
    def linear(self) -> bool:
        return self.rule.is_linear

    @property
    def nonnegative(self) -> bool:
        return self.rule.is_nonnegative

    @property
    def sum_preserving(self) -> bool:
        return self.rule.is_sum_preserving

    @property
    def fixed_pattern(self) -> bool:
        return self.rule.has_fixed_pattern


_ENTRIES: dict[str, Entry] = {}


def register(
    name: str,
    *,
    family: str,
    description: str,
    source: str,
    aliases: tuple[str, ...] = (),
    fixed: Mapping[str, Any] | None = None,
    naming: Naming | None = None,
    equation: str = "",
) -> Callable[[Build], Build]:
    """Make a method of a rule class, or of a function that builds a rule (see the module docstring).

    Parameters
    ----------
    name
        what a user types.
    family
        of methods, by which tables and figures group them.
    description
        a line.
    source
        authors and year, in `proofs/references.bib`.
    aliases
        other names.
    fixed
        parameters that the name stands for.
    naming
        reads parameters off other names, such as `lrp-alpha3beta2`.
    equation
        what it sends down at an operation, in the notation of `proofs/README.md`; parts end in two blanks.

    Returns
    -------
    Callable
        the decorator, which leaves what it decorates as it is.

    Raises
    ------
    ValueError
        for a name that is taken.
    """

    def keep(build: Build) -> Build:
        if name in _ENTRIES:
            raise ValueError(f"a method {name!r} is registered already")
        _ENTRIES[name] = Entry(
            name, build, family, description, source, aliases, fixed or {}, naming, equation
        )
        return build

    return keep


def entries() -> dict[str, Entry]:
    """All registered methods by name, the built-in ones first."""
    _load()
    return _ENTRIES


@cache
def _load() -> None:
    """Import the modules that register methods: ours, and those that other packages name."""
    for package, modules in (("rules", BUILTIN), ("rules.explainers", EXPLAINERS)):
        for module in modules:
            import_module(f"conetheory.{package}.{module}")
    load_plugins(PLUGINS, "methods")


def load_plugins(group: str, what: str) -> None:
    """Import what other packages name as entry points of a group. Raises `InputError`."""
    for point in entry_points(group=group):
        try:
            point.load()
        except Exception as error:  # anything may go wrong in another package
            raise InputError(f"the {what} of {point.value} can't be loaded: {one_line(error)}") from error


def get_method(name: str, /, **parameters: Any) -> Method:
    """The method of a name, its rule with these parameters, whatever they are called.

    Parameters
    ----------
    name
        as `conetheory methods` lists them; `lrp-alphaAbetaB` is any A - B = 1, `lrp-zplus` is
        `lrp-alpha1beta0`.
    **parameters
        of the rule, by name.

    Returns
    -------
    Method
        the rule and what the registry says of it.

    Raises
    ------
    InputError
        for an unknown name, unknown parameters, and values that they don't take.
    """
    entry = find(name)
    if unknown := set(parameters) - set(entry.parameters):
        has = ", ".join(entry.parameters) or "none"
        raise InputError(f"method {name!r} has no parameter {sorted(unknown)[0]!r}; it has {has}")
    check_parameters(name, entry.build, parameters)
    return Method(entry.name, entry.build(**entry.fixed, **parameters), entry)


def as_method(method: str | Method, parameters: Mapping[str, Any] | None = None) -> Method:
    """The `Method` that a function was given, or the one of this name with these parameters.

    Raises `InputError` for anything else, and for parameters beside a `Method`, whose rule has its own.
    """
    if parameters is not None and not isinstance(parameters, Mapping):
        raise InputError(f"parameters= maps their names to values, and is no {type(parameters).__name__}")
    if isinstance(method, str):
        return get_method(method, **(parameters or {}))
    if not isinstance(method, Method):
        raise InputError(f"a method is a name or a Method (rules.get_method), not {type(method).__name__}")
    if parameters:
        raise InputError(f"{method.name} is given as a Method, whose rule has its parameters already")
    return method


def find(name: str) -> Entry:
    """The entry of a name, an alias or a name with its parameters in it, whatever its case. `InputError`."""
    given, name = name, canonical(name)
    for entry in entries().values():
        if name == entry.name or name in entry.aliases:
            return entry
    for entry in entries().values():
        fixed = entry.naming(name) if entry.naming else None
        if fixed is not None:
            return replace(entry, name=name, fixed=fixed)
    raise InputError(unknown(given, [n for e in entries().values() for n in (e.name, *e.aliases)]))


def methods() -> list[Method]:
    """All registered methods with their default parameters."""
    return [get_method(name) for name in entries()]
