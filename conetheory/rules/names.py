"""What a method's name may look like, and which names there are, without importing a rule: no torch.

Names are read off the modules that register methods, as they are written there. A name that none of them can
stand for is refused at once; any other is left to the registry, which knows.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files

from conetheory.errors import InputError

ALL = "all"  # every registered method that the network allows
PLUGINS = "conetheory.methods"
BETWEEN = re.compile(r"(?:lrp-)?alpha-?(\d+(?:\.\d+)?)-?beta-?(\d+(?:\.\d+)?)")


def canonical(name: str) -> str:
    """A name as the registry has it: `LRP_Alpha2-Beta1` and `alpha2beta1` are `lrp-alpha2beta1`."""
    plain = name.lower().replace("_", "-")
    match = BETWEEN.fullmatch(plain)
    return f"lrp-alpha{match[1]}beta{match[2]}" if match else plain


def refuse_unknown_method(name: str) -> None:
    """Raise `InputError` for a name that no method can have. Names of other packages are not known here."""
    wanted = canonical(name)
    if not BETWEEN.fullmatch(wanted) and wanted not in written() and not entry_points(group=PLUGINS):
        raise InputError(unknown(name, written()))


def unknown(name: str, known: Iterable[str]) -> str:
    """What is wrong with a name, with those that are near it."""
    known = list(known)
    close = difflib.get_close_matches(canonical(name), known, 3)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "`conetheory methods` lists them"
    return f"unknown method {name!r}; {hint}"


@cache
def written() -> tuple[str, ...]:
    """Names and aliases that the modules of this room register."""
    room = files("conetheory.rules")
    sources = [*room.iterdir(), *room.joinpath("explainers").iterdir()]
    texts = [path.read_text(encoding="utf-8") for path in sources if path.name.endswith(".py")]
    return tuple(dict.fromkeys(name for text in texts if "register(" in text for name in _registered(text)))


def _registered(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "register":
            aliases = (k.value for k in node.keywords if k.arg == "aliases")
            for given in (*node.args[:1], *aliases):
                values = (each.value for each in ast.walk(given) if isinstance(each, ast.Constant))
                yield from (value for value in values if isinstance(value, str))
