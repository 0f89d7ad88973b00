"""Quantus' calls, both ways: CSC as a metric beside its own, and our methods as explanation functions.

    quantus.evaluate({"CSC": CSC()}, {"lrp-zplus": explain}, model, x, y, explain_func_kwargs={})

Both have Quantus' signatures and import nothing of it: they answer where it is not installed too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from conetheory.counts import checked_whole
from conetheory.errors import InputError
from conetheory.measure.meter import local_deficits
from conetheory.saliency import explain as maps_of

Array = np.ndarray
Explain = Callable[..., Array]


def explain(
    model: nn.Module,
    inputs: Array | Tensor,
    targets: Array | Tensor,
    *,
    method: str = "lrp-alpha1beta0",
    device: str | None = None,
    **parameters: Any,
) -> Array:
    """Maps of a registered method, as an explanation function of Quantus gives them.

    Parameters
    ----------
    model
        in evaluation mode.
    inputs
        `(N, C, H, W)` or `(N, features)`, preprocessed.
    targets
        `(N,)`, a class for each.
    method
        by name; Quantus gives the name that the method has in `xai_methods`.
    device
        None: the inputs'.
    **parameters
        of the method's rules.

    Returns
    -------
    ndarray
        `(N, C, H, W)`, with one channel of a method that has one value a location.

    Raises
    ------
    InputError
        for unknown methods and classes, and images that the network does not take.
    """
    images = _tensor(inputs, device)
    classes = torch.as_tensor(np.asarray(targets)).to(images.device).reshape(len(images), 1)
    found = maps_of(model, images, method, classes, parameters=parameters or None, device=images.device)
    return found[:, 0].cpu().numpy()


class CSC:
    """How far apart the maps of different classes of one image are, of any explanation function.

    For each image its classes of largest output are explained, that of `y_batch` among them. The score is
    the median of `1 - |cos|` of two maps over the channels at a location, over all pairs and all locations
    with relevance; of maps of one channel, which have no cosine at a location, that of whole maps. It is CSC
    at the input with classes as starts: near 0 the channels do not show what was decided, and with random
    starts (`measure_csc`) the same is asked of every decision, layer by layer.

    Parameters
    ----------
    classes
        how many of each image are explained; all, where the network has fewer.
    return_aggregate, aggregate_func
        whether one number is made of the scores, and how (None: their mean).

    References
    ----------
    Sixt et al. 2020.
    """

    name = "CSC"

    def __init__(
        self,
        classes: int = 5,
        *,
        return_aggregate: bool = False,
        aggregate_func: Callable[[list[float]], Any] | None = None,
    ) -> None:
        self.classes = checked_whole(classes, "classes, of which maps are compared,", 2)
        self.return_aggregate, self.aggregate_func = return_aggregate, aggregate_func or np.mean
        self.evaluation_scores: list[Any] = []
        self.all_evaluation_scores: list[Any] = []

    def __call__(
        self,
        model: nn.Module,
        x_batch: Array,
        y_batch: Array,
        a_batch: Array | None = None,
        s_batch: Array | None = None,
        channel_first: bool | None = None,
        explain_func: Explain | None = None,
        explain_func_kwargs: Mapping[str, Any] | None = None,
        model_predict_kwargs: Mapping[str, Any] | None = None,
        softmax: bool | None = False,
        device: str | None = None,
        batch_size: int = 64,
        **kwargs: Any,
    ) -> list[Any]:
        """One score for each image.

        Parameters
        ----------
        model
            in evaluation mode.
        x_batch, y_batch
            `(N, C, H, W)` or `(N, features)`, and a class for each `(N,)`.
        a_batch, s_batch, softmax
            not looked at: all maps come from the explanation function.
        channel_first
            channels that come last are refused.
        explain_func, explain_func_kwargs
            called as Quantus does, with `model`, `inputs`, `targets` and these; gives `(N, C, H, W)`,
            `(N, 1, H, W)` or `(N, H, W)`.
        model_predict_kwargs
            of the model's forward.
        device
            of the inputs, None: where the model is.
        batch_size
            images at a time.
        **kwargs
            Quantus' others; none is known.

        Returns
        -------
        list
            the scores; NaN where less than two maps have relevance.

        Raises
        ------
        InputError
            without an explanation function, and for maps of another size than the images.
        """
        if explain_func is None:
            raise InputError("CSC explains several classes of each image: give it explain_func")
        if channel_first is False:
            raise InputError("CSC takes images with the channels first, (N, C, H, W)")
        if kwargs:
            raise InputError(f"CSC takes no {next(iter(kwargs))!r}")
        given = dict(explain_func_kwargs or {}) | ({} if device is None else {"device": device})
        scores: list[Any] = []
        for first in range(0, len(x_batch), batch_size):
            x, y = (np.asarray(each)[first : first + batch_size] for each in (x_batch, y_batch))
            targets = _classes(model, x, y, self.classes, device, dict(model_predict_kwargs or {}))
            maps = [
                _with_channels(explain_func(model=model, inputs=x, targets=t, **given), x) for t in targets
            ]
            scores += _deficits(np.stack(maps, 1))
        if self.return_aggregate:
            scores = [self.aggregate_func(scores)]
        self.evaluation_scores = scores
        self.all_evaluation_scores += scores
        return scores


def _tensor(inputs: Array | Tensor, device: Any) -> Tensor:
    x = torch.as_tensor(inputs)
    return x if device is None else x.to(device)


def _classes(
    model: nn.Module, x: Array, y: Array, count: int, device: Any, options: Mapping[str, Any]
) -> Array:
    """`(count, N)`: the class that is asked for, then those of largest output."""
    place = next((p.device for p in model.parameters()), None) if device is None else device
    with torch.no_grad():
        logits = model(_tensor(x, place), **options).cpu()
    if logits.ndim != 2:
        raise InputError(f"outputs of shape {tuple(logits.shape[1:])} are no logits (classes,)")
    logits[torch.arange(len(logits)), torch.as_tensor(np.asarray(y)).reshape(-1).long()] = torch.inf
    return logits.topk(min(count, logits.shape[1]), 1).indices.T.numpy()


def _with_channels(maps: Any, x: Array) -> Array:
    """`(N, channels, *space)`: one channel, where the function has summed over them."""
    maps = maps.detach().cpu().numpy() if isinstance(maps, Tensor) else np.asarray(maps)
    found = maps[:, None] if maps.ndim == x.ndim - 1 else maps
    if found.ndim != x.ndim or len(found) != len(x) or found.shape[2:] != x.shape[2:]:
        raise InputError(f"the explanation function gives {maps.shape} for images of shape {x.shape}")
    return found


def _deficits(maps: Array) -> list[float]:
    """The median deficit of each image, of maps `(N, classes, channels, *space)`."""
    local, whole = local_deficits(torch.as_tensor(maps, dtype=torch.float64))
    found = whole if maps.shape[2] == 1 else local.flatten(1)
    return [float(np.median(live)) if len(live) else float("nan") for live in (f[~f.isnan()] for f in found)]
