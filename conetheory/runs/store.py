"""The files of a study: a netCDF for each method as it is done, that of all, and what each depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from conetheory.errors import InputError
from conetheory.results.writing import whole
from conetheory.version import __version__

if TYPE_CHECKING:
    from conetheory.networks import Images, Network
    from conetheory.results.comparison import Comparison
    from conetheory.results.dataset import Result

Kind = TypeVar("Kind", bound="Result")
SHA256 = "weights_sha256"  # in the provenance of a network
LEFT = "unfinished"  # the attribute that names the stages that are left


def folder(path: Path) -> Path:
    """The folder, made where it isn't there; `InputError` where it can't be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / ".write-test").touch()
        (path / ".write-test").unlink()
    except OSError as error:
        raise InputError(f"results can't be written to {path}: {error.strerror}") from error
    return path


def origin(command: str, network: Network) -> dict[str, str]:
    """What tells results apart that must not replace each other."""
    weights = network.provenance.get(SHA256, "unknown")
    return {"command": command, "network": network.name, "weights_sha256": weights}


def identity(
    command: str,
    network: Network,
    images: Images,
    names: Sequence[str],
    parameters: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that a method's result depends on."""
    return {
        **origin(command, network),
        "conetheory": __version__,
        "images": list(names),
        "images_sha256": images.sha256(0, len(images)),
        "parameters": contents(parameters),
        **settings,
    }


def _content(value: Any) -> Any:
    """A parameter's value; of one that names a file, what is in the file."""
    if isinstance(value, str) and Path(value).is_file():
        return f"sha256:{hashlib.sha256(Path(value).read_bytes()).hexdigest()}"
    return value


def distinct(names: Iterable[str]) -> list[str]:
    """Names, each used once: one that is there already gets a number."""
    taken: dict[str, int] = {}
    found = []
    for name in names:
        taken[name] = taken.get(name, 0) + 1
        found.append(name if taken[name] == 1 else f"{name} ({taken[name]})")
    return found


def names_sha256(names: Iterable[str]) -> str:
    """Of the names of images, which may be many."""
    return hashlib.sha256(json.dumps(list(names)).encode()).hexdigest()


def contents(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A rule's parameters; of those that name a file, what is in the file."""
    return {name: _content(value) for name, value in parameters.items()}


def refuse_others(paths: Iterable[Path], own: Mapping[str, str]) -> None:
    """`InputError` where a file that is to be written holds a result of another `origin` than its own."""
    for path in paths:
        made = _made(path, own)
        if made is not None and made != own:
            command, name, weights = made.values()
            said = f" ({command}, {name}, weights {weights[:12]})" if all(made.values()) else ""
            raise InputError(
                f"{path} holds other results{said}: give another folder with --out, or remove it"
            )


def _made(path: Path, names: Iterable[str]) -> dict[str, str] | None:
    """The `origin` of a result, of empty names where it isn't told; None where no result can be read."""
    from conetheory.results.dataset import attributes

    if not path.is_file():
        return None
    try:
        held = attributes(path)
    except (OSError, RuntimeError, KeyError, ValueError):  # damaged: nothing that could be lost
        return None
    try:
        settings = dict(json.loads(held.get("settings", "{}")))
    except (TypeError, ValueError):  # of another program
        settings = {}
    return {name: str(settings.get(name, "")) for name in names}


def settings_text(settings: Mapping[str, Any]) -> str:
    """The settings as the JSON that a result carries."""
    return json.dumps(settings, sort_keys=True)


def marked(result: Kind, settings: Mapping[str, Any], left: Sequence[str] = ()) -> Kind:
    """The result with its settings, by which a file is known again, and with the stages that are left."""
    data = result.dataset.assign_attrs(settings=settings_text(settings))
    data.attrs.pop(LEFT, None)
    return type(result)(data.assign_attrs({LEFT: ", ".join(left)}) if left else data)


def left_of(result: Result) -> tuple[str, ...]:
    """The stages that are left of a result; none where it is whole."""
    return tuple(stage for stage in str(result.dataset.attrs.get(LEFT, "")).split(", ") if stage)


def save(result: Kind, settings: Mapping[str, Any], path: Path, left: Sequence[str] = ()) -> Kind:
    """Write a result with its settings, and give it back as it was written."""
    found = marked(result, settings, left)
    found.save(path)
    return found


def reusable(
    kind: type[Kind], path: Path, method: str, settings: Mapping[str, Any]
) -> tuple[Kind | None, str]:
    """A result of the same settings, or None and the reason (empty where there is no file)."""
    if not path.is_file():
        return None, ""
    try:
        found = kind.load(path)
    except InputError as error:
        return None, str(error)
    data = found.dataset
    same = data.attrs.get("settings") == settings_text(settings)
    if not same or list(data.coords.get("method", [])) != [method]:
        return None, f"{path} was made with other settings"
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
        with whole(paths[-1]) as partial:
            methods_figure(comparison.dataset).savefig(partial, dpi=150, format="png")
    else:  # one of an earlier run would show methods that are not in the others
        (out / "methods.png").unlink(missing_ok=True)
    return paths
