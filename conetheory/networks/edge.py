"""What may be given as a network, made a `Network` once, where it comes in."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from PIL import Image
from torch import Tensor, nn

from conetheory.errors import InputError
from conetheory.networks.graph import Graph
from conetheory.networks.ops import Shape
from conetheory.networks.zoo import Network, load
from conetheory.schema import UNNAMED

Model: TypeAlias = Network | Graph | nn.Module


def as_network(model: Model, input_shape: Shape | None = None) -> Network:
    """The `Network` that a function was given, or makes of a graph or a module.

    Parameters
    ----------
    model
        a `Network`, which stays itself; a `Graph`, which gets no classes, no name and no preprocessing;
        or a module of the caller's, which is traced (`load`).
    input_shape
        of one image, at which a module is traced; nothing else needs it (see `shape_of`).

    Returns
    -------
    Network
        of the same parameters.

    Raises
    ------
    InputError
        for anything else, and for a module without a shape; what `load` raises for a module that can't be
        traced.
    """
    if isinstance(model, Network):
        return model
    if isinstance(model, Graph):
        return Network(UNNAMED, model, None, _no_pictures)
    if not isinstance(model, nn.Module):
        raise InputError(f"a network is a Network, a Graph or an nn.Module, not {_said(model)}")
    if input_shape is None:
        raise InputError(
            f"no images say at what shape {type(model).__name__} is to be traced: "
            "give networks.load(module, input_shape=(channels, height, width))"
        )
    return load(model, input_shape=input_shape)


def shape_of(images: Any) -> Shape | None:
    """The shape of one image of a batch `(N, C, H, W)` or `(N, features)`, or of one picture or vector alone.

    None of what is no tensor; `InputError` for an array of numpy.
    """
    if isinstance(images, np.ndarray):
        raise InputError(
            "images must be a floating-point tensor, not an array of numpy: torch.from_numpy(images)"
        )
    if not isinstance(images, Tensor):
        return None
    return tuple(images.shape[1:] if images.ndim in (2, 4) else images.shape)


def _said(model: Any) -> str:
    """What was given instead, and what to do."""
    if isinstance(model, str):
        return f"the name {model!r}: load it first, networks.load({model!r})"
    if isinstance(model, type) and issubclass(model, nn.Module):
        return f"the class {model.__name__}: give {model.__name__}(...)"
    return f"{type(model).__name__}: networks.load makes one of a name or a module"


def _no_pictures(image: Image.Image) -> Tensor:
    raise InputError(
        "a Graph has no preprocessing, so it takes no pictures: give tensors, or a Network (networks.load)"
    )
