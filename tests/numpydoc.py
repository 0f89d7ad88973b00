"""Sections of a docstring as numpydoc has them, and which of them a signature asks for."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from textwrap import dedent
from types import ModuleType
from typing import Any

SELF = ("self", "cls")
HEAD = re.compile(r"^(\w+)\n(-{3,})\n", re.MULTILINE)
KNOWN = ("Parameters", "Attributes", "Returns", "Yields", "Raises", "References")


def sections(doc: str) -> dict[str, str]:
    """`{name: text}` of a cleaned docstring; what stands before the first is `""`."""
    before, *rest = HEAD.split(doc)
    names, rules, texts = rest[::3], rest[1::3], rest[2::3]
    for name, rule in zip(names, rules, strict=True):
        assert len(rule) == len(name), f"the line under {name} is not as long as it"
    assert len(set(names)) == len(names), f"a section is there twice: {names}"
    return {"": before} | dict(zip(names, texts, strict=True))


def entries(text: str) -> list[str]:
    """The names that a section explains: what begins a line of it, up to a colon."""
    heads = [line.partition(" : ")[0] for line in text.splitlines() if re.match(r"\S", line)]
    return [name.strip().lstrip("*") for head in heads for name in head.split(",")]


def unexplained(text: str) -> list[str]:
    """Entries without a word on them."""
    lines = text.rstrip().splitlines()
    heads = [i for i, line in enumerate(lines) if re.match(r"\S", line)]
    return [lines[i] for i in heads if " : " not in lines[i] and not lines[i + 1 : i + 2]]


def parameters(thing: Any) -> list[str]:
    """The names that a call takes, or that a record has, in their order."""
    if inspect.isclass(thing):
        if is_dataclass(thing) and "__init__" in vars(thing):
            return [f.name for f in fields(thing) if f.init and not f.name.startswith("_")]
        if getattr(thing, "_is_protocol", False):
            return [name for name in inspect.get_annotations(thing) if not name.startswith("_")]
        if "__init__" not in vars(thing):
            return []
        thing = vars(thing)["__init__"]
    return [name for name in inspect.signature(thing).parameters if name not in SELF]


def errors(function: Callable[..., Any]) -> set[str]:
    """The errors that the function's own lines raise."""
    tree = ast.parse(dedent(inspect.getsource(function)))
    calls = [n.exc for n in ast.walk(tree) if isinstance(n, ast.Raise) and isinstance(n.exc, ast.Call)]
    return {ast.unparse(call.func) for call in calls}


def returns(function: Callable[..., Any]) -> str:
    """`Returns`, `Yields`, or nothing where nothing is given back."""
    said = str(function.__annotations__.get("return", "None"))
    return "" if said == "None" else "Yields" if inspect.isgeneratorfunction(function) else "Returns"


def in_one_line(thing: Any, names: list[str], raised: set[str]) -> bool:
    """Whether one line says all of what takes one thing at most."""
    doc = inspect.getdoc(thing) or ""
    return len(names) <= 1 and len(doc.splitlines()) == 1 and all(error in doc for error in raised)


def asked(thing: Any) -> dict[str, list[str]]:
    """`{section: what it has to explain}`; nothing of what one line says all of."""
    names = parameters(thing)
    raised, given = (set(), "") if inspect.isclass(thing) else (errors(thing), returns(thing))
    if in_one_line(thing, names, raised):
        return {}
    wanted: dict[str, list[str]] = {"Parameters": names} if names else {}
    wanted |= {given: []} if given else {}
    return wanted | ({"Raises": sorted(raised)} if raised else {})


def wrong(thing: Any) -> list[str]:
    """What a docstring lacks of what is asked, or has too much of."""
    found = sections(inspect.getdoc(thing) or "")
    if not found[""].strip():
        return ["says nothing"]
    said = [f"{name} is no section" for name in found if name and name not in KNOWN]
    if inspect.isclass(thing) and "Attributes" in found:
        found["Parameters"] = found.pop("Attributes")
    for name, wanted in asked(thing).items():
        if name not in found:
            said.append(f"has no {name}")
        elif name == "Raises":
            said += [f"raises {e}" for e in wanted if e not in entries(found[name])]
        elif wanted and entries(found[name]) != wanted:
            said.append(f"explains {entries(found[name])}, not {wanted}")
    if (
        "Parameters" in found
        and "Parameters" not in asked(thing)
        and entries(found["Parameters"]) != parameters(thing)
    ):
        said.append("explains what it does not take")
    for name in set(found) & {"Parameters", "Raises"}:
        said += [f"says nothing of {entry}" for entry in unexplained(found[name])]
    return said


def methods(thing: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public methods of several parameters, or with an error of their own, that no base has."""
    inherited = {name for base in thing.__mro__[1:] for name in vars(base)}
    for name, value in vars(thing).items():
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if name.startswith("_") or name in inherited or not inspect.isfunction(function):
            continue
        if len(parameters(function)) > 1 or errors(function):
            yield f"{thing.__name__}.{name}", function


def of_module(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """The public functions and classes that a module defines."""
    for name, value in vars(module).items():
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__:
            yield name, value
