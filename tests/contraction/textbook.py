"""The z+ rule's matrices as the literature writes them, from weights and activations in float64.

Sparse where a layer is a convolution: `Z = (diag(x+) W+^T + diag(x-) W-^T) diag(1/z+)`, W as a matrix of
(units of the output, units of the input), which is made tap by tap. None of it uses the package's rules. And
single columns by autograd: `x * grad(z_j) / z_j`, z_j the output of the layer with positive weights.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional

from conetheory.chain.relevance import RelevanceChain
from conetheory.networks.graph import Node
from conetheory.networks.ops import Conv2d, Linear, MaxPool2d, PassThrough

Matrix = sparse.csr_array


class Textbook:
    """The matrices of the operations of a network without branches, (units below, units above), by name."""

    def __init__(self, chain: RelevanceChain) -> None:
        crossed = chain.graph.run(chain.images)
        self.inputs = {
            n.name: (n, x[0].double()) for n, (x,), _ in crossed if not isinstance(n.op, PassThrough)
        }
        self._made: dict[str, Matrix] = {}

    def __getitem__(self, name: str) -> Matrix:
        if name not in self._made:
            self._made[name] = _matrix(*self.inputs[name])
        return self._made[name]


def _matrix(node: Node, x: Tensor) -> Matrix:
    if isinstance(node.op, MaxPool2d):
        return _winners(node, x)
    W = weights(node, tuple(x.shape))
    x = x.flatten().numpy()
    plus, minus = np.maximum(x, 0), np.minimum(x, 0)
    M = sparse.diags_array(plus) @ W.maximum(0).T + sparse.diags_array(minus) @ W.minimum(0).T
    z = np.asarray(M.sum(axis=0)).ravel()
    M = sparse.csr_array(M @ sparse.diags_array(np.divide(1, z, out=np.zeros_like(z), where=z > 0)))
    M.eliminate_zeros()
    return M


def weights(node: Node, shape: tuple[int, ...]) -> Matrix:
    """W (units of the output, units of the input), a tap of the kernel after the other."""
    kernel = node.op.weight.double().numpy()
    if isinstance(node.op, Linear):
        return sparse.csr_array(kernel)
    assert isinstance(node.op, Conv2d)
    assert node.op.groups == 1
    (inputs, height, width), (outputs, rows, columns) = shape, node.shape
    y, x = np.divmod(np.arange(rows * columns), columns)
    parts = []
    for a, b in np.ndindex(kernel.shape[2:]):
        v = y * node.op.stride[0] - node.op.padding[0] + a * node.op.dilation[0]
        u = x * node.op.stride[1] - node.op.padding[1] + b * node.op.dilation[1]
        inside = np.flatnonzero((v >= 0) & (v < height) & (u >= 0) & (u < width))
        ones = np.ones(len(inside))
        place = (ones, (inside, (v * width + u)[inside]))
        moved = sparse.csr_array(place, shape=(rows * columns, height * width))
        parts.append(sparse.kron(sparse.csr_array(kernel[:, :, a, b]), moved, format="csr"))
    W = sparse.csr_array(sum(parts[1:], parts[0]))
    assert W.shape == (outputs * rows * columns, inputs * height * width)
    return W


def _winners(node: Node, x: Tensor) -> Matrix:
    op = node.op
    _, index = functional.max_pool2d(
        x[None], op.kernel, op.stride, op.padding, op.dilation, op.ceil_mode, return_indices=True
    )
    area = math.prod(x.shape[1:])
    rows = (index[0].flatten(1) + area * torch.arange(len(x))[:, None]).flatten().numpy()
    columns = np.arange(len(rows))
    return sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(x.numel(), len(rows)))


def autograd_columns(node: Node, x: Tensor, units: np.ndarray) -> np.ndarray:
    """Columns of z+ for x >= 0 by autograd, (units below, number of units)."""
    positive = node.op.weight.double().clamp(min=0)

    def pools(x: Tensor) -> Tensor:
        if isinstance(node.op, Linear):
            return functional.linear(x, positive)
        op = node.op
        return functional.conv2d(x, positive, None, op.stride, op.padding, op.dilation, op.groups)

    x = x.double()
    z, pullback = torch.func.vjp(lambda v: pools(v).flatten(), x)
    hot = torch.eye(len(z), dtype=torch.float64)[units] if len(z) < 2000 else _hot(len(z), units)
    (gradients,) = torch.func.vmap(pullback)(hot)
    share = torch.where(z[units] > 0, 1 / z[units], 0.0)
    return ((gradients * x).flatten(1) * share[:, None]).T.numpy()


def _hot(size: int, units: np.ndarray) -> Tensor:
    hot = torch.zeros((len(units), size), dtype=torch.float64)
    hot[torch.arange(len(units)), torch.as_tensor(units)] = 1
    return hot
