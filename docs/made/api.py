"""The API reference: a page for each room with the names that it exports, and theory module by module."""

from __future__ import annotations

import ast
from pathlib import Path

from docs.made.results import ROOT

PACKAGE = ROOT / "conetheory"
HIDDEN = ("cli", "explainers", "report", "lazy", "version", "counts", "patterns")  # no one's to call
FIRST = "conetheory"


def pages() -> dict[str, str]:
    """`api/ROOM.md`; what stands there is put in by mkdocstrings."""
    found = {"api/index.md": page(FIRST, exported(PACKAGE / "__init__.py"))}
    for room in rooms():
        if room == "theory":
            parts = [f"::: conetheory.theory.{path.stem}" for path in modules(PACKAGE / room)]
            found["api/theory.md"] = "# conetheory.theory\n\n" + "\n\n".join(parts) + "\n"
        else:
            found[f"api/{room}.md"] = page(f"conetheory.{room}", exported(_home(room)))
    return found


def rooms() -> list[str]:
    """The rooms and modules right under the package that somebody may call."""
    paths = [*PACKAGE.glob("*/__init__.py"), *PACKAGE.glob("[a-z]*.py")]
    names = {path.parent.name if path.stem == "__init__" else path.stem for path in paths}
    return sorted(names - set(HIDDEN))


def modules(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("[a-z]*.py"))


def page(module: str, names: list[str]) -> str:
    """A module's own words, then each of the names that it exports."""
    options = "    options:\n      members: false\n"
    if not names:
        return f"# {module}\n\n::: {module}\n"
    parts = "\n\n".join(f"::: {module}.{name}" for name in names)
    return f"# {module}\n\n::: {module}\n{options}\n{parts}\n"


def exported(path: Path) -> list[str]:
    """`__all__` of a module as it is written, without importing it; names of constants are left out."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [name for name in ast.literal_eval(node.value) if name != name.upper()]
    return []


def _home(room: str) -> Path:
    module = PACKAGE / f"{room}.py"
    return module if module.is_file() else PACKAGE / room / "__init__.py"
