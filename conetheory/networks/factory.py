"""A module of the caller's by where it is made: `package.module:factory` or `path/to/file.py:factory`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from torch import nn

from conetheory.errors import InputError, one_line


def is_factory(name: str) -> bool:
    """Whether a model's name says where it is made."""
    return ":" in name


def made(name: str) -> nn.Module:
    """What the factory makes: called without arguments, or the module itself that stands there.

    Raises `InputError` where there is no such file, module or attribute, where it fails, and where what it
    makes is no `nn.Module`.
    """
    where, _, attribute = name.rpartition(":")
    try:
        held = _from_file(Path(where)) if where.endswith(".py") else _imported(where)
        found = getattr(held, attribute, None)
        if found is None:
            raise InputError(f"{where} has no {attribute!r}")
        model = found if isinstance(found, nn.Module) else found()
    except InputError:
        raise
    except Exception as error:  # anything may go wrong in the caller's code
        raise InputError(f"{name} can't be made: {one_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise InputError(f"{name} makes a {type(model).__name__}, and no nn.Module")
    return model


def _imported(where: str) -> ModuleType:
    """A module by its dotted name, also of the folder where the command is run."""
    here = str(Path.cwd())
    if here in sys.path:
        return importlib.import_module(where)
    sys.path.insert(0, here)
    try:
        return importlib.import_module(where)
    finally:
        sys.path.remove(here)


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{str(path)!r} is no Python module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
