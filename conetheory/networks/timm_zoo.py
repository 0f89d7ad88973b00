"""Networks of timm by their names, where it is installed: `timm/NAME`, or a name that torchvision has not.

timm is imported by what asks for one of its networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from conetheory.errors import InputError, MissingDependencyError, one_line
from conetheory.networks import sources, weights
from conetheory.networks.preprocess import Preprocess
from conetheory.networks.sources import Source

PREFIX = "timm/"
DEFAULT = "DEFAULT"


def has(name: str) -> bool:
    """Whether a name is one of timm's, and of nobody before it. Without timm only those that say so."""
    if name.startswith(PREFIX):
        return True
    if name.lower() in sources.ALIASES or name.lower() == sources.CIFAR10 or find_spec("timm") is None:
        return False
    return name.lower() not in sources.names() and _model(name) in _timm().list_models()


def named(name: str, source: str | Path | None, classes: Sequence[str] | None) -> Source:
    """The network of this name with weights from `source`: as `networks.load` takes them, by default the
    pretrained ones that timm downloads. `NAME.TAG` names weights of timm too.

    Raises `InputError`, and `MissingDependencyError` where timm is not installed.
    """
    name = name.removeprefix(PREFIX)
    if _model(name) not in _timm().list_models():
        raise InputError(f"timm has no model {name!r}")
    if isinstance(source, str) and source.startswith("random:"):
        with sources.seeded(source):
            model = _build(name, len(classes) if classes else None)
        return Source(name, model, _preprocess(model), None, {"weights": source})
    if source is None or source == DEFAULT:
        model = _pretrained(name)
        tag = str(_config(model).get("tag") or "")
        return Source(
            name, model, _preprocess(model), None, {"weights": f"timm {_model(name)}.{tag}".rstrip(".")}
        )
    path = Path(str(source))
    model = weights.fit(lambda count: _build(name, count), weights.read(path), str(path), name)
    return Source(name, model, _preprocess(model), None, {"weights": path.name})


def _model(name: str) -> str:
    """A name without the tag of its weights."""
    return name.partition(".")[0]


def _timm() -> ModuleType:
    try:
        return import_module("timm")
    except ModuleNotFoundError as error:
        raise MissingDependencyError("networks of timm need it: pip install 'conetheory[timm]'") from error


def _build(name: str, classes: int | None = None) -> nn.Module:
    options: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    return _timm().create_model(name, pretrained=False, **options).eval()


def _pretrained(name: str) -> nn.Module:
    try:
        return _timm().create_model(name, pretrained=True).eval()
    except Exception as error:  # whatever a download, or a name without weights, raises
        raise InputError(
            f"timm has no weights for {name!r} that can be had ({one_line(error)}); give random:SEED or a "
            "file"
        ) from error


def _config(model: nn.Module) -> dict[str, Any]:
    """What timm says of the weights that a network has, or would have."""
    held: Any = getattr(model, "pretrained_cfg", None) or {}
    return held if isinstance(held, dict) else held.to_dict()


def _preprocess(model: nn.Module) -> Preprocess:
    """timm's own for these weights: the shorter side to `crop / crop_pct`, the middle, normalised."""
    known = _timm().data.resolve_data_config({}, pretrained_cfg=_config(model))
    _, height, width = known["input_size"]
    return Preprocess(
        int(height / known["crop_pct"]),
        (height, width),
        tuple(known["mean"]),
        tuple(known["std"]),
        known["interpolation"],
    )
