"""Files that hold the lower part of a network alone: this part, a trunk, is then the network.

ResNet-50 v2 without its dense layer or upper stages, torchvision's VGGs without their dense layers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import nn

from conetheory.networks import resnet_v2, weights

Build = Callable[[int | None], nn.Module]  # by the number of classes; None: the usual one


def held_by(state: weights.State, name: str, whole: Build) -> tuple[Build, weights.State]:
    """What builds the network that a file holds, whole or a trunk of it, and the weights that belong to it.

    state: the file's, with any prefixes.
    name: of the network.
    whole: what builds all of it.
    """
    if not _has_trunks(name):
        return whole, state
    with torch.device("meta"):
        known = whole(None).state_dict()
    state = weights.renamed(state, known)
    trunk = _trunk(state, name, whole)
    if trunk is None:
        return whole, state
    with torch.device("meta"):
        used = trunk().state_dict()
    # of a stage that is not whole nothing is used
    kept = {key: value for key, value in state.items() if key in used or key not in known}
    return lambda _: trunk(), kept


def _has_trunks(name: str) -> bool:
    """Whether a file may hold a part of this network."""
    return name == resnet_v2.NAME or name.startswith("vgg")


def _trunk(state: weights.State, name: str, whole: Build) -> Callable[[], nn.Module] | None:
    """What builds the trunk that the state holds; None where it holds the whole, or no trunk either."""
    if name == resnet_v2.NAME:
        stages = resnet_v2.stages_in(state)
        return None if stages is None else partial(resnet_v2.ResNetV2, stages=stages, head=False)
    if any(key.startswith("classifier.") for key in state):
        return None
    from conetheory.networks.vgg_trunk import VGGTrunk

    return lambda: VGGTrunk(cast(Any, whole(None)))
