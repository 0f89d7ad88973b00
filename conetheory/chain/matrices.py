"""The matrix C of a chain: its columns, its rows, and as a whole, all by sweeps down and up."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from conetheory.chain.units import Units
from conetheory.errors import InputError
from conetheory.networks.graph import INPUT
from conetheory.networks.ops import Shape
from conetheory.rules.registry import Method

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

MAX_ENTRIES = 2**28


class Matrices(Units):
    """What a `RelevanceChain` says of its matrix, made of its `down` and `up`."""

    method: Method

    @abstractmethod
    def down(self, r: Tensor, start: str, stop: str = INPUT) -> Tensor: ...

    @abstractmethod
    def up(self, h: Tensor, stop: str, start: str) -> Tensor: ...

    @abstractmethod
    def only(self, image: int) -> Self: ...

    def columns(self, start: str, units: Sequence[int], stop: str = INPUT) -> Tensor:
        """The columns of C of some units.

        Parameters
        ----------
        start
            the layer of the units.
        units
            flat indices.
        stop
            the layer where the columns end.

        Returns
        -------
        Tensor
            `(images, units, *shape of stop)`.
        """
        return self.down(self.one_hot(start, units), start, stop)

    def rows(self, stop: str, positions: Sequence[int], start: str) -> Tensor:
        """`P_p`, the rows of C at some locations.

        Parameters
        ----------
        stop
            the layer of the locations.
        positions
            flat spatial indices.
        start
            the layer where relevance starts.

        Returns
        -------
        Tensor
            `(images, positions, channels, units of start)`.
        """
        channels, *space = self.shape(stop)
        size = int(np.prod(space, dtype=int))
        units = [c * size + p for p in positions for c in range(channels)]
        found = self.up(self.one_hot(stop, units), stop, start)
        return found.flatten(2).unflatten(1, (len(positions), channels))

    def linear_operator(self, start: str, stop: str = INPUT, image: int = 0) -> LinearOperator:
        """C for one image as a scipy operator.

        Parameters
        ----------
        start, stop
            names of layers, `stop` below `start`.
        image
            its number.

        Returns
        -------
        LinearOperator
            of shape (units of stop, units of start).

        Raises
        ------
        InputError
            where the method is not linear in the relevance.
        """
        if not self.method.linear:
            raise InputError(f"{self.method.name} is not linear in the relevance: it has no matrix")
        one = self.only(image)
        above, below = one.shape(start), one.shape(stop)
        sizes = int(np.prod(below)), int(np.prod(above))

        def apply(function: Callable[[Tensor], Tensor], shape: Shape, x: np.ndarray) -> np.ndarray:
            vectors = torch.from_numpy(np.ascontiguousarray(x.reshape(len(x), -1).T)).view(1, -1, *shape)
            return function(vectors).flatten(2)[0].T.cpu().numpy().reshape(-1, *x.shape[1:])

        def matmat(x: np.ndarray) -> np.ndarray:
            return apply(lambda v: one.down(v, start, stop), above, x)

        def rmatmat(x: np.ndarray) -> np.ndarray:
            return apply(lambda v: one.up(v, stop, start), below, x)

        dtype = torch.empty((), dtype=self.dtype).numpy().dtype
        from scipy.sparse.linalg import LinearOperator  # here: its import takes half a second

        make: Any = LinearOperator  # scipy declares no types: with a shape it makes one of functions
        return make(sizes, matvec=matmat, rmatvec=rmatmat, matmat=matmat, rmatmat=rmatmat, dtype=dtype)

    def as_matrix(self, start: str, stop: str = INPUT, image: int = 0) -> np.ndarray:
        """C for one image as a dense matrix, from the cheaper side.

        Parameters
        ----------
        start, stop
            names of layers, `stop` below `start`.
        image
            its number.

        Returns
        -------
        np.ndarray
            `(units of stop, units of start)`.

        Raises
        ------
        InputError
            above `MAX_ENTRIES`, and as `linear_operator`.
        """
        operator = self.linear_operator(start, stop, image)
        (rows, columns), dtype = operator.shape, np.dtype(operator.dtype)
        if rows * columns > MAX_ENTRIES:
            raise InputError(
                f"the matrix from {start!r} to {stop!r} is {rows} x {columns}; use linear_operator or rows"
            )
        if columns <= rows:
            return np.hstack([operator.matmat(block) for block in _identity_blocks(columns, dtype)])
        return np.hstack([operator.rmatmat(block) for block in _identity_blocks(rows, dtype)]).T


def _identity_blocks(size: int, dtype: np.dtype, block: int = 256) -> Iterator[np.ndarray]:
    for first in range(0, size, block):
        yield np.eye(size, min(block, size - first), -first, dtype=dtype)
