"""The files of a job: one netCDF for each method as it is done, then the comparison of all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from conetheory.errors import InputError

if TYPE_CHECKING:
    from conetheory.comparison import Comparison
    from conetheory.results import Result

Kind = TypeVar("Kind", bound="Result")


def folder(path: Path) -> Path:
    """The folder, made where it isn't there; `InputError` where it can't be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / ".write-test").touch()
        (path / ".write-test").unlink()
    except OSError as error:
        raise InputError(f"results can't be written to {path}: {error.strerror}") from error
    return path


def fingerprint(settings: dict[str, Any]) -> str:
    """The settings as the JSON that a result carries."""
    return json.dumps(settings, sort_keys=True)


def save(result: Kind, settings: dict[str, Any], path: Path) -> Kind:
    """Write one method's result with its settings, and give it back as it was written."""
    marked = type(result)(result.dataset.assign_attrs(settings=fingerprint(settings)))
    marked.save(path)
    return marked


def reusable(kind: type[Kind], path: Path, method: str, settings: dict[str, Any]) -> tuple[Kind | None, str]:
    """A result of the same settings, or None and the reason (empty where there is no file)."""
    if not path.is_file():
        return None, ""
    try:
        found = kind.load(path)
    except InputError as error:
        return None, str(error)
    data = found.dataset
    if list(data.coords.get("method", [])) != [method] or data.attrs.get("settings") != fingerprint(settings):
        return None, "made with other settings"
    return found, ""


def write_all(comparison: Comparison, out: Path) -> list[Path]:
    """comparison.nc, comparison.json and comparison.png; methods.png with all methods in one panel."""
    paths = [out / f"comparison.{suffix}" for suffix in ("nc", "json", "png")]
    comparison.save(paths[0])
    comparison.to_json(paths[1])
    comparison.plot(paths[2])
    if comparison.dataset.sizes["method"] > 1:
        from conetheory.plotting.methods import methods_figure

        paths.append(out / "methods.png")
        methods_figure(comparison).savefig(paths[-1], dpi=150)
    return paths
