"""Start vectors at the units of a layer, for whatever chain: one-hot ones, and ones everywhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from conetheory.errors import InputError
from conetheory.networks.ops import Shape


class Units(ABC):
    """What a chain inherits that knows the shapes of its layers."""

    dtype: torch.dtype
    device: torch.device

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def shape(self, layer: str) -> Shape: ...

    def one_hot(self, layer: str, units: Sequence[int]) -> Tensor:
        """Unit vectors at some units of a layer.

        Parameters
        ----------
        layer
            its name.
        units
            flat indices.

        Returns
        -------
        Tensor
            `(images, units, *shape)`.

        Raises
        ------
        InputError
            for no units, and those that the layer has not.
        """
        shape = self.shape(layer)
        size = int(np.prod(shape))
        index = torch.as_tensor(list(units), device=self.device)
        if len(index) == 0 or int(index.min()) < 0 or int(index.max()) >= size:
            raise InputError(f"units of {layer!r} are 0 to {size - 1}")
        hot = torch.zeros((len(index), size), dtype=self.dtype, device=self.device)
        hot.scatter_(1, index[:, None], 1.0)
        return hot.view(1, len(index), *shape).expand(len(self), *[-1] * (len(shape) + 1))

    def ones(self, layer: str) -> Tensor:
        """A vector of ones at a layer, `(images, 1, *shape)`."""
        return torch.ones((len(self), 1, *self.shape(layer)), dtype=self.dtype, device=self.device)
