"""One operation of a chain as a matrix: the units below it, one tensor after the other, x the units above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks.graph import INPUT, Node
from conetheory.networks.ops import PassThrough
from conetheory.rules.maps import Chained, LocalMap, Same
from conetheory.rules.smallness import COUNTS, Binary

COLUMNS = 2**22  # numbers of one-hot columns that go through an operation at a time


@dataclass(frozen=True, eq=False)
class Operation:
    """M of one node for the one image of a chain, as a matrix on vectors `(units, count)`.

    Activations and reshapes right below the node are part of it.

    Attributes
    ----------
    node
        the operation.
    local
        its map.
    below
        the tensors beneath the activations and reshapes.
    tails
        what is done on the way to each of `below`.
    shapes
        of the node's tensor and of those in `below`, without the batch axis.
    like
        a tensor of the chain's dtype and device.
    """

    node: Node
    local: LocalMap
    below: tuple[str, ...]
    tails: tuple[LocalMap, ...]
    shapes: tuple[tuple[int, ...], ...]
    like: Tensor  # of the chain's dtype and device

    @classmethod
    def of(cls, chain: RelevanceChain, node: Node, local: LocalMap) -> Operation:
        """The operation of a node of a chain.

        Parameters
        ----------
        chain
            of one image.
        node
            the operation.
        local
            its map, from `chain.crossed`.

        Returns
        -------
        Operation
            the matrix.
        """
        maps = {n.name: m for n, m in chain.crossed(node.name)}
        ends = [_through(chain, maps, name) for name in node.inputs]
        below, tails = zip(*ends, strict=True)
        shapes = tuple(chain.graph.shape(name) for name in below)
        like = torch.empty((), dtype=chain.dtype, device=chain.device)
        return cls(node, local, below, tails, shapes, like)

    @cached_property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return sum(int(np.prod(s)) for s in self.shapes), int(np.prod(self.node.shape))

    def down(self, r: Tensor) -> Tensor:
        """`M r` for r `(columns, count)`."""
        parts = self.local.down(r.T.to(self.like.dtype).reshape(1, -1, *self.node.shape))
        ends = [tail.down(part)[0] for tail, part in zip(self.tails, parts, strict=True)]
        return torch.cat([end.flatten(2)[0] for end in ends], 1).T

    def up(self, h: Tensor) -> Tensor:
        """`M^T h` for h `(rows, count)`."""
        parts = h.T.to(self.like.dtype).split([int(np.prod(s)) for s in self.shapes], 1)
        hs = [part.reshape(1, -1, *s) for part, s in zip(parts, self.shapes, strict=True)]
        hs = [tail.up([part]) for tail, part in zip(self.tails, hs, strict=True)]
        return self.local.up(hs).flatten(2)[0].T

    def ones(self, rows: bool) -> Tensor:
        """A vector of ones, for `up` (rows) or `down`."""
        return self.like.new_ones((self.shape[0 if rows else 1], 1))

    @cached_property
    def live(self) -> Tensor:
        """Which columns have an entry that is not zero by structure."""
        return self.pattern.up(self.ones(rows=True))[:, 0] > 0

    def columns(self, units: Sequence[int] | Tensor) -> Tensor:
        """The columns of some units, `(rows, count)`."""
        chosen = torch.as_tensor(units, device=self.like.device)
        hot = self.like.new_zeros((self.shape[1], len(chosen)))
        hot[chosen, torch.arange(len(chosen), device=chosen.device)] = 1
        return self.down(hot)

    def blocks(self) -> list[Tensor]:
        """All units, in blocks whose columns fit in memory."""
        return list(torch.arange(self.shape[1]).split(max(1, COLUMNS // max(self.shape))))

    def dense(self) -> Tensor:
        """M itself, `(rows, columns)`."""
        return torch.cat([self.columns(units) for units in self.blocks()], 1)

    @property
    def pattern(self) -> Operation:
        """Ones where an entry is not zero by structure."""
        return self._each(lambda local: Binary(local.pattern()), COUNTS)

    @property
    def counted(self) -> Operation:
        """The pattern's map as it is, so that `up` of ones counts the entries of each column."""
        return self._each(lambda local: local.pattern(), COUNTS)

    @property
    def squared(self) -> Operation:
        """The matrix of the squares of the entries."""
        return self._each(lambda local: local.squared())

    def _each(self, derive: Callable[[LocalMap], LocalMap], dtype: torch.dtype | None = None) -> Operation:
        try:
            local, tails = derive(self.local), tuple(derive(tail) for tail in self.tails)
            return replace(self, local=local, tails=tails, like=self.like.to(dtype or self.like.dtype))
        except NotImplementedError as error:
            raise InputError(f"at {self.node.name!r}: {error}") from error


def is_own(node: Node) -> bool:
    """Whether a node is an operation by itself: not an activation or a reshape."""
    return not isinstance(node.op, PassThrough)


def _through(chain: RelevanceChain, maps: dict[str, LocalMap], name: str) -> tuple[str, LocalMap]:
    """The tensor below the activations and reshapes that start at `name`, and the map down to it."""
    passed = []
    while name != INPUT and not is_own(chain.graph.nodes[name]):
        passed.append(maps[name])
        (name,) = chain.graph.nodes[name].inputs
    own = [m for m in passed if not (isinstance(m, Same) and m.inside == m.outside)]
    shape = chain.graph.shape(name)
    match own:
        case []:
            return name, Same(shape, shape)
        case [one]:
            return name, one
    return name, _Diagonals(tuple(own))


class _Diagonals(Chained):
    """Maps whose squares are the product of their squares: each has one entry a row."""

    def squared(self) -> LocalMap:
        return _Diagonals(tuple(part.squared() for part in self.maps))
