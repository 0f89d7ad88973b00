"""What is found of each image by itself: maps, other classes, randomised networks; by method and by images.

A kind says what it finds of some images as a dataset, and what becomes of the datasets of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from conetheory.errors import InputError
from conetheory.networks import Images, Network
from conetheory.progress import Progress
from conetheory.results.class_distances import Classes
from conetheory.results.dataset import Maps, Result, Sanity
from conetheory.results.joining import join_images
from conetheory.runs.progress import note
from conetheory.runs.source import Source
from conetheory.saliency.classes import class_sensitivity
from conetheory.saliency.maps import explain_maps
from conetheory.sanity.check import SanitySettings, sanity_by_image, summarised


class Studied(Protocol):
    """What a kind asks of a study (`units.Work`); names and labels: of all its images."""

    @property
    def network(self) -> Network: ...

    @property
    def images(self) -> Images: ...

    @property
    def command(self) -> str: ...

    @property
    def source(self) -> Source | None: ...

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def labels(self) -> Sequence[int]: ...


NO_ORIGINS = "no_origins"


@dataclass(frozen=True)
class MapSettings:
    """Which maps are made.

    Parameters
    ----------
    target
        classes, as `saliency.maps.explain_maps` takes them.
    origin
        the layer whose relevance's origins are drawn, if any.
    device, dtype
        of the chains.
    parameters
        of the rule.
    """

    target: tuple[str, ...]
    origin: str | None = None
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RandomisedSettings(SanitySettings):
    """Those of the randomisation, and the explained class.

    Parameters
    ----------
    target
        `predicted`, or `label` as the images have it.
    """

    target: str = "predicted"


@dataclass(frozen=True)
class Part:
    """Some images of a study, and what is done with them: numbers of images, their tensor and their names."""

    work: Studied
    method: str
    settings: Any
    numbers: Sequence[int]
    images: Tensor
    progress: Progress

    @property
    def names(self) -> list[str]:
        return [self.work.names[number] for number in self.numbers]


@dataclass(frozen=True)
class ImageKind:
    """result: its type. found: of a part, as a dataset. finished: of the datasets of all parts."""

    result: type[Result]
    found: Callable[[Part], xr.Dataset]
    finished: Callable[[Sequence[xr.Dataset]], Result]


def _maps(part: Part) -> xr.Dataset:
    from conetheory.predict.origin_maps import origin_maps
    from conetheory.theory.records import NotApplicable

    s, network = part.settings, part.work.network
    placed: dict[str, Any] = {"device": s.device, "dtype": s.dtype, "parameters": s.parameters}
    placed["names"] = part.names
    data = explain_maps(network, part.images, part.method, s.target, **placed).dataset
    if s.origin is None:
        return data
    classes, targets = torch.as_tensor(data["class_index"].values), list(data["target"].values)
    origins = origin_maps(network, part.images, part.method, classes, s.origin, targets=targets, **placed)
    if isinstance(origins, NotApplicable):
        return data.assign_attrs({NO_ORIGINS: origins.reason})
    return data.merge(origins)


def _joined_maps(datasets: Sequence[xr.Dataset]) -> Maps:
    data = join_images(datasets)
    if reason := data.attrs.pop(NO_ORIGINS, None):
        note(f"no origins: {reason}")
    return Maps(data)


def _classes(part: Part) -> xr.Dataset:
    given: dict[str, Any] = {"names": part.names, "numbers": part.numbers, "progress": part.progress}
    return class_sensitivity(part.work.network, part.images, part.method, part.settings, **given).dataset


def _joined_classes(datasets: Sequence[xr.Dataset]) -> Classes:
    data = join_images(datasets)
    exact = max(int(each["worst_bounds_mixtures"].item()) for each in datasets)  # where all classes were seen
    data["worst_bounds_mixtures"] = ("method", [exact])
    return Classes(data)


def _sanity(part: Part) -> xr.Dataset:
    s, work = part.settings, part.work
    given: dict[str, Any] = {"names": part.names, "numbers": part.numbers, "progress": part.progress}
    if s.target == "label":
        given["targets"] = torch.tensor([work.labels[number] for number in part.numbers]).view(-1, 1)
    if s.scheme == "model":
        if work.source is None:
            raise InputError("scheme 'model' draws the weights of a network that is known by its name")
        given["fresh"] = work.source.fresh(s.seed, work.network.graph.classes)
    return sanity_by_image(work.network, part.images, part.method, s, **given)


def _joined_sanity(datasets: Sequence[xr.Dataset]) -> Sanity:
    return summarised(join_images(datasets))


KINDS: Mapping[str, ImageKind] = {
    "maps": ImageKind(Maps, _maps, _joined_maps),
    "classes": ImageKind(Classes, _classes, _joined_classes),
    "sanity": ImageKind(Sanity, _sanity, _joined_sanity),
}


def found_of(work: Studied, method: str, settings: Any, part: range, progress: Progress) -> dict[str, Any]:
    """What a unit holds: the dataset of its images, as plain values; none where none can be read."""
    numbers, images = work.images.part(part.start, part.stop)
    if not numbers:
        return {}
    return plain(KINDS[work.command].found(Part(work, method, settings, numbers, images, progress)))


class JoinedImages:
    """The parts of a method, in the order of their images.

    Parameters
    ----------
    kind
        of what is found.
    """

    def __init__(self, kind: str) -> None:
        self.kind, self._parts = KINDS[kind], []

    def take(self, record: Mapping[str, Any], name: str) -> None:
        """Add a unit; name: of it, for errors."""
        if record:
            self._parts.append(dataset_of(record))

    def result(self) -> Result:
        """Of all images. Raises `InputError` where none could be read."""
        if not self._parts:
            raise InputError("none of the images can be read")
        return self.kind.finished(self._parts)


def plain(data: xr.Dataset) -> dict[str, Any]:
    """A dataset as units hold it: `dataset_of` gives it back."""

    def of(variables: Mapping[Any, xr.DataArray]) -> dict[str, Any]:
        return {str(name): [list(v.dims), _values(v.values), dict(v.attrs)] for name, v in variables.items()}

    return {"coords": of(data.coords), "variables": of(data.data_vars), "attrs": dict(data.attrs)}


def dataset_of(record: Mapping[str, Any]) -> xr.Dataset:
    """The dataset of `plain`."""
    variables, coords = (
        {name: (tuple(dims), _array(values), attrs) for name, (dims, values, attrs) in held.items()}
        for held in (record["variables"], record["coords"])
    )
    return xr.Dataset(variables, coords, record["attrs"])


def _values(values: np.ndarray) -> Any:
    """Texts as lists."""
    return values if values.dtype.kind in "biuf" else values.tolist()


def _array(values: Any) -> np.ndarray:
    return values if isinstance(values, np.ndarray) else np.array(values, dtype=object)
