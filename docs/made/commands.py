"""A page for each command, from the options that it takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from conetheory.cli.app import COMMANDS, app
from conetheory.cli.values import shown_default
from docs.made.markdown import code, plain, sections, table

CODES = """Every command writes what it finds into a folder, tells its progress on stderr and ends with a
table. Exit codes: 0, 2 after bad input (one line on stderr), 130 after an interruption. `--json` prints the
results and nothing else."""


def pages() -> dict[str, str]:
    return {"commands/index.md": index()} | {f"commands/{name}.md": page(name) for name in COMMANDS}


def index() -> str:
    rows = [(f"[`conetheory {name}`]({name}.md)", plain(_first(name))) for name in COMMANDS]
    return sections("# Commands", table(("command", "what it does"), rows), CODES)


def page(name: str) -> str:
    rest = inspect.cleandoc(COMMANDS[name].__doc__ or "").partition("\n\n")[2]
    panels: dict[str, list[tuple[str, str]]] = {}
    for argument in _arguments(name):
        panels.setdefault(_panel(argument), []).append(_row(argument))
    tables = [
        part for title, rows in panels.items() for part in (f"## {title}", table(("option", "meaning"), rows))
    ]
    usage = f"conetheory {name} {' '.join(_places(name))}".rstrip() + " [OPTIONS]"
    return sections(f"# conetheory {name}", plain(_first(name)), code(usage), plain(rest), *tables)


def options(name: str) -> list[str]:
    """The names of a command's options and arguments, as they are typed."""
    return [argument.names[0] for argument in _arguments(name)]


def _arguments(name: str) -> Iterator[Any]:
    for argument in app[name].assemble_argument_collection():
        if argument.show:
            yield argument


def _places(name: str) -> list[str]:
    return [a.names[0] for a in _arguments(name) if not a.names[0].startswith("-")]


def _panel(argument: Any) -> str:
    groups = argument.parameter.group or ()
    return next((str(group.name) for group in groups if group.name), "Parameters")


def _row(argument: Any) -> tuple[str, str]:
    metavar = (
        "" if argument.hint is bool or not argument.parameter.metavar else f" {argument.parameter.metavar}"
    )
    name = argument.names[0]
    shown = f"`{name}{metavar}`" if name.startswith("-") else f"`{name}`"
    default = argument.field_info.default
    known = None if default is inspect.Parameter.empty else shown_default(default)
    return shown, plain(argument.parameter.help or "") + (f" Default: `{known}`." if known else "")


def _first(name: str) -> str:
    return inspect.cleandoc(COMMANDS[name].__doc__ or "").partition("\n\n")[0]
