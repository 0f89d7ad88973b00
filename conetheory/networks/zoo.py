"""Networks by name: architecture, weights, classes, preprocessing and the paper's names of the layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from conetheory.errors import InputError, one_line
from conetheory.networks import factory, presets, sources, timm_zoo
from conetheory.networks.graph import Graph
from conetheory.networks.multiply import Gate
from conetheory.networks.ops import Shape
from conetheory.networks.preprocess import Affine, Preprocess
from conetheory.networks.trace import trace


@dataclass(frozen=True, eq=False)
class Network:
    """A traced network with what is needed to feed it and to name its parts.

    Attributes
    ----------
    name
        as `load` took it, or the module's class.
    graph
        its operations.
    classes
        the names of the outputs, where known.
    preprocess
        from a PIL picture to the input `(C, H, W)`.
    starts
        the paper's start layers, or `("logits",)`.
    provenance
        where the weights are from, with the sha256 of the state dict and the versions of torch and
        torchvision.
    """

    name: str
    graph: Graph
    classes: tuple[str, ...] | None
    preprocess: Callable[[Image.Image], Tensor]
    starts: tuple[str, ...] = ("logits",)
    provenance: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Network {self.name}: {self.graph.described}"

    @property
    def layers(self) -> tuple[str, ...]:
        return self.graph.layers

    @property
    def undo(self) -> Callable[[Tensor], Tensor] | None:
        """From inputs `(N, C, H, W)` to pictures `(N, H, W, C)` in [0, 1], where `preprocess` knows how."""
        return getattr(self.preprocess, "undo", None)

    def resolve(self, layer: str) -> str:
        """The tensor that a layer's name stands for; `InputError` where there is none."""
        return self.graph.resolve(layer)

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Network:
        """The same network elsewhere.

        Parameters
        ----------
        device
            None: where it is.
        dtype
            None: what it is.

        Returns
        -------
        Network
            with copies of the parameters where they had to move.

        Raises
        ------
        InputError
            for an absent device.
        """
        options = {k: v for k, v in {"device": device, "dtype": dtype}.items() if v is not None}
        try:
            return replace(self, graph=self.graph.to(**options))
        except (RuntimeError, AssertionError) as error:  # torch raises either where a device is absent
            raise InputError(f"device {device!s} can't be used: {one_line(error)}") from error


def load(
    model: str | nn.Module,
    weights: str | Path | None = None,
    input_shape: Shape | None = None,
    classes: Sequence[str] | None = None,
    *,
    preprocess: Callable[[Image.Image], Tensor] | None = None,
    calibrate: Tensor | None = None,
    name: str | None = None,
    gate: Gate = "smaller",
) -> Network:
    """Load a classification network, or a trunk that ends in a feature map, and trace it.

    What GoogLeNet and Inception do to their input before the first layer (`transform_input`) becomes a part
    of the preprocessing, so that the image enters the first convolution.

    `torch.no_grad()` and `detach()` inside a forward don't stop relevance or gradients here (see `trace`).

    Parameters
    ----------
    model
        a torchvision classification network's name, `cifar10_cnn`, `resnet50_v2`, a name of timm's, where
        that is installed (`timm/NAME` where torchvision has the name too), a module of the caller's, whose
        parameters the network then shares, or where one is made: `package.module:factory`,
        `path/to/file.py:factory`.
    weights
        a torchvision weights name (`IMAGENET1K_V1`, `DEFAULT`), a `.safetensors` or `.pth` file (see
        `weights.read` and `fit`; the head's size follows the file), `random:SEED` for the model's own
        initialisation, or None: the bundled weights of `cifar10_cnn`, torchvision's default ones, the
        module's own. `resnet50_v2` has none by default; of a file without its dense layer or upper stages
        it is the trunk of the stages that are there, and a VGG that of its convolutions.
    input_shape
        `(channels, height, width)` or `(features,)`; None is the size that the weights were made for. Of a
        module of the caller's it has to be given.
    classes
        names of the outputs; with `random:SEED` their number is the head's size.
    preprocess
        for a module of the caller's: picture to `(C, H, W)`. Otherwise torchvision's ImageNet one.
    calibrate
        with `random:SEED`: images `(N, C, H, W)` whose statistics the batch norms get. Without it they
        keep mean 0 and variance 1.
    name
        what results call the network; None is the model's own name, or its class's.
    gate
        of products of two branches, the one that rules of relevance take as a constant (see `trace`).

    Returns
    -------
    Network
        with its classes, preprocessing and the sha256 of its weights.

    Raises
    ------
    InputError
        for an unknown name and for weights that are absent, broken, not finite, that would run code or
        don't fit.
    UnsupportedLayerError
        where a layer has no relevance rule.
    """
    if isinstance(model, str) and factory.is_factory(model):
        source = replace(sources.module(factory.made(model), weights), name=model.rpartition(":")[2])
    elif isinstance(model, str) and timm_zoo.has(model):
        source = timm_zoo.named(model, weights, classes)
    elif isinstance(model, str):
        source = sources.named(model, weights, classes, input_shape)
    elif isinstance(model, nn.Module):
        source = sources.module(model, weights)
    else:
        raise InputError(f"a model is a name or an nn.Module, not {type(model).__name__}")
    if calibrate is not None:
        source = sources.calibrated(source, calibrate)
    shape = source.shape if input_shape is None else input_shape
    with _untransformed(source.model) as transform:
        graph = presets.with_paper_names(trace(source.model, shape, gate=gate), source.model)
    return Network(
        source.name if name is None else name,
        graph,
        _checked_classes(source.classes if classes is None else tuple(classes), graph, source.name),
        _preprocess(preprocess or source.preprocess, graph.input_shape, transform),
        presets.starts_of(source.name, graph),
        source.provenance | sources.versions(source.model),
    )


def _checked_classes(classes: tuple[str, ...] | None, graph: Graph, name: str) -> tuple[str, ...] | None:
    outputs = graph.shape(graph.output)
    if classes is not None and outputs != (len(classes),):
        raise InputError(f"{len(classes)} classes are named, but {name} has outputs of shape {outputs}")
    return classes


def _preprocess(
    first: Callable[[Image.Image], Tensor], shape: Shape, transform: Affine | None
) -> Callable[[Image.Image], Tensor]:
    """`first` for inputs of this shape, then what the model would do to them before its first layer."""
    if not isinstance(first, Preprocess):
        return first if transform is None else lambda image: transform(first(image))
    if len(shape) != 3 or shape[0] != 3:
        return _no_pictures
    first = first if first.crop == shape[1:] else first.resized(*shape[1:])
    return first if transform is None else first.then(transform)


def _no_pictures(image: Image.Image) -> Tensor:
    raise InputError("this network takes no RGB pictures as they are; load it with preprocess=")


@contextmanager
def _untransformed(model: nn.Module) -> Iterator[Affine | None]:
    """Switch off the affine change that GoogLeNet and Inception make to their input, and say what it is."""
    if not getattr(model, "transform_input", False):
        yield None
        return
    model.transform_input = False  # pyright: ignore[reportArgumentType] (a module takes any attribute)
    try:
        yield sources.TO_HALVES
    finally:
        model.transform_input = True  # pyright: ignore[reportArgumentType] (a module takes any attribute)
