"""The operations of a traced network, each as a plain function with its linear map and the transpose of it.

A tensor is `(N, C, H, W)` or `(N, C)`. A `LinearOp` computes `W x + b`. A relevance rule needs the map
and its transpose with other weights in the place of `W`, and with a diagonal between: `linear(xs, part)`
is `part(W) x`, and `transpose(r, [(share_k, part_k), ...], shapes)` is `sum_k part_k(W)^T diag(share_k) r`,
where a part is an elementwise function of the weights such as `positive`. Weights are transformed as
they are used and never kept. Relevance is `(images, vectors, *shape)`, a share `(images, 1, *shape)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from conetheory.networks.unrolled import transposed, unrolled

Shape = tuple[int, ...]
Part = Callable[[Tensor], Tensor]
Terms = Sequence[tuple[Tensor, Part]]
BLOCK = (
    2**20
)  # elements of a dense weight transformed at a time: the block stays in cache, fc1 of VGG is never copied


def positive(weight: Tensor) -> Tensor:
    """`max(W, 0)`."""
    return weight.clamp(min=0)


def negative(weight: Tensor) -> Tensor:
    """`min(W, 0)`."""
    return weight.clamp(max=0)


def whole(weight: Tensor) -> Tensor:
    """`W` itself."""
    return weight


def spread(bias: Tensor, y: Tensor) -> Tensor:
    """What is added to outputs y: a bias with a number a channel, or with one a unit, `(channels, ...)`."""
    return bias.unsqueeze(0) if bias.ndim > 1 else bias.view((1, -1) + (1,) * (y.ndim - 2))


@contextmanager
def float32() -> Iterator[None]:
    """Convolutions on a GPU in float32 itself.

    torch lets cuDNN use TensorFloat-32 there, whose 11 bits end deficits at about 1e-7.
    """
    cudnn = torch.backends.cudnn
    conv = getattr(cudnn, "conv", None)  # torch 2.9
    where, name, exact = (cudnn, "allow_tf32", False) if conv is None else (conv, "fp32_precision", "ieee")
    before = getattr(where, name)
    setattr(where, name, exact)
    try:
        yield
    finally:
        setattr(where, name, before)


@dataclass(frozen=True, eq=False)
class Derived:
    """Where an operation's parameters come from that are computed from others, such as a folded batch norm.

    `function(*sources)` gives them by name, all of them; `made` are those that the operation holds, rounded
    to its dtype. An operation with other parameters in their place (a randomised one) is not derived.
    `centred` says that the last four sources are a batch norm's mean, variance, weight and bias.
    """

    function: Callable[..., dict[str, Tensor]]
    sources: tuple[Tensor | None, ...]
    made: Mapping[str, Tensor]
    centred: bool = False

    def exact(self) -> dict[str, Tensor]:
        """The parameters in float64: the sources are promoted first, so that nothing is rounded between."""
        return self.function(*(None if s is None else s.to(torch.float64) for s in self.sources))

    def made_for(self, op: Op) -> bool:
        return all(getattr(op, name) is tensor for name, tensor in self.made.items())


@dataclass(frozen=True, eq=False)
class Op:
    """One operation; `forward` takes the tensors of its inputs."""

    origin: Derived | None = field(default=None, kw_only=True, repr=False)

    def forward(self, *xs: Tensor) -> Tensor:
        raise NotImplementedError

    def to(self, **kwargs: Any) -> Op:
        """The same operation with its parameters on another device or in another dtype.

        Derived parameters are computed anew in float64 for another dtype and rounded once.
        """
        held = {k: v for k, v in vars(self).items() if isinstance(v, Tensor)}
        if not held:
            return self
        moved = {k: v.to(**kwargs) for k, v in held.items()}
        if self.origin is None or not self.origin.made_for(self):
            return replace(self, **moved, origin=None)
        if any(moved[k].dtype != v.dtype for k, v in held.items()):
            moved = {k: v.to(**kwargs) for k, v in self.origin.exact().items() if v is not None}
        return replace(self, **moved, origin=replace(self.origin, made=moved))


@dataclass(frozen=True, eq=False)
class PassThrough(Op):
    """An elementwise activation, dropout or a reshape: what is relevant after it was relevant before it."""

    function: Callable[[Tensor], Tensor]
    kind: str = "identity"

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@dataclass(frozen=True, eq=False)
class PReLU(PassThrough):
    """`max(x, 0) + weight min(x, 0)`, one weight a channel or one for all, as in `torch.nn.PReLU`.

    An activation as any other: relevance as it is, the gradient by the slope at the input.
    """

    function: Callable[[Tensor], Tensor] = whole  # not used: this is the activation with parameters
    kind: str = "activation"
    weight: Tensor = field(kw_only=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.prelu(x, self.weight)


@dataclass(frozen=True, eq=False)
class Affine(Op):
    """A factor and an offset for each channel, `scale * x + shift`: a batch norm that can't be folded, what
    other norms do behind their standardisation, multiplication by a constant.

    fixed: whether these are numbers of the architecture, not parameters.
    """

    scale: Tensor
    shift: Tensor
    fixed: bool = False

    def forward(self, x: Tensor) -> Tensor:
        shape = (1, -1) + (1,) * (x.ndim - 2)
        return x * self.scale.view(shape) + self.shift.view(shape)


@dataclass(frozen=True, eq=False)
class Concat(Op):
    """Concatenation along the channels."""

    def forward(self, *xs: Tensor) -> Tensor:
        return torch.cat(xs, 1)


@dataclass(frozen=True, eq=False)
class MaxPool2d(Op):
    """Maximum over windows, as in `torch.nn.MaxPool2d`; adaptive where `kernel` is None."""

    kernel: Any
    stride: Any = None
    padding: Any = 0
    dilation: Any = 1
    ceil_mode: bool = False
    output_size: Any = None

    def forward(self, x: Tensor) -> Tensor:
        return self.with_indices(x)[0]

    def with_indices(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The maxima and the flat spatial index of each winner, `(N, C, H', W')`."""
        if self.kernel is None:
            return F.adaptive_max_pool2d(x, self.output_size, return_indices=True)
        return F.max_pool2d(
            x, self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode, return_indices=True
        )


@dataclass(frozen=True, eq=False)
class LinearOp(Op):
    """`y = W x + b`. `weight` is None where the weights are fixed and nonnegative (a mean, a sum)."""

    weight: Tensor | None = None
    bias: Tensor | None = None

    def forward(self, *xs: Tensor) -> Tensor:
        y = self.linear(xs)
        return y if self.bias is None else y + spread(self.bias, y)

    def linear(self, xs: Sequence[Tensor], part: Part = whole) -> Tensor:
        raise NotImplementedError

    def transpose(self, r: Tensor, terms: Terms, shapes: Sequence[Shape]) -> tuple[Tensor, ...]:
        """One tensor for each input; `shapes` are those of the inputs without the batch axis."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Conv2d(LinearOp):
    weight: Tensor  # pyright: ignore[reportGeneralTypeIssues] (always given: the base's default is no case)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @float32()
    def linear(self, xs: Sequence[Tensor], part: Part = whole) -> Tensor:
        weight = part(self.weight)
        return F.conv2d(xs[0], weight, None, self.stride, self.padding, self.dilation, self.groups)

    def transpose(self, r: Tensor, terms: Terms, shapes: Sequence[Shape]) -> tuple[Tensor, ...]:
        if self.groups > 1:
            parts = (
                self._transpose((r * share).flatten(0, 1), part(self.weight), shapes[0])
                for share, part in terms
            )
            out = reduce(torch.add, parts)
        else:
            weight = torch.cat([part(self.weight) for _, part in terms])
            out = self._transpose(self._stacked(r, terms), weight, shapes[0])
        return (out.unflatten(0, r.shape[:2]),)

    @staticmethod
    def _stacked(r: Tensor, terms: Terms) -> Tensor:
        """All `share_k r` side by side in the channels: one convolution does for all terms."""
        if len(terms) == 1:
            return (r * terms[0][0]).flatten(0, 1)
        images, vectors, channels, *space = r.shape
        stack = torch.empty(
            (images * vectors, channels * len(terms), *space),
            dtype=r.dtype,
            device=r.device,
            memory_format=_layout(r, len(space)),
        )
        parts = stack.unflatten(0, (images, vectors)).split(channels, 2)
        for (share, _), part in zip(terms, parts, strict=True):
            torch.mul(r, share, out=part)
        return stack

    @float32()
    def _transpose(self, y: Tensor, weight: Tensor, shape: Shape) -> Tensor:
        kernel = weight.shape[2:]
        geometry = list(zip(kernel, self.padding, self.dilation, strict=True))
        reach = [d * (k - 1) - p for k, p, d in geometry]
        whole = self.groups == 1 and tuple(self.stride) == (1, 1) and min(reach) >= 0
        # Unrolling what comes out costs a fifth of unrolling what goes in where channels get fewer.
        fewer = weight.shape[0] >= weight.shape[1] or weight[0, 0].numel() == 1
        if unrolled(y) and self.groups == 1 and (fewer or not whole):
            return transposed(y, weight, shape[1:], self.stride, self.padding, self.dilation)
        if whole:
            # At stride 1 the transpose is a convolution with the flipped kernel, and channels-last
            # convolutions are the fastest there are: 1.5 x a transposed one on a CPU.
            flipped = weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=_layout(y, 2))
            return F.conv2d(y, flipped, None, 1, reach, self.dilation)
        extra = [
            n + 2 * p - d * (k - 1) - 1 - (m - 1) * s
            for n, m, s, (k, p, d) in zip(shape[1:], y.shape[2:], self.stride, geometry, strict=True)
        ]
        return F.conv_transpose2d(
            y, weight, None, self.stride, self.padding, extra, self.groups, self.dilation
        )


def _layout(y: Tensor, axes: int) -> torch.memory_format:
    return torch.contiguous_format if axes != 2 or unrolled(y) else torch.channels_last


@dataclass(frozen=True, eq=False)
class Pointwise(Conv2d):
    """A dense layer over the channels of each location: a convolution of one tap."""


@dataclass(frozen=True, eq=False)
class Linear(LinearOp):
    weight: Tensor  # pyright: ignore[reportGeneralTypeIssues] (always given: the base's default is no case)

    def linear(self, xs: Sequence[Tensor], part: Part = whole) -> Tensor:
        return torch.cat([xs[0] @ part(block).T for block in self._blocks()], 1)

    def transpose(self, r: Tensor, terms: Terms, shapes: Sequence[Shape]) -> tuple[Tensor, ...]:
        ys = [(r * share).flatten(0, 1) for share, _ in terms]
        out = ys[0].new_zeros((len(ys[0]), self.weight.shape[1]))
        rows = 0
        for block in self._blocks():
            for y, (_, part) in zip(ys, terms, strict=True):
                out.addmm_(y[:, rows : rows + len(block)], part(block))
            rows += len(block)
        return (out.unflatten(0, r.shape[:2]),)

    def _blocks(self) -> tuple[Tensor, ...]:
        return self.weight.split(max(1, BLOCK // self.weight.shape[1]))


@dataclass(frozen=True, eq=False)
class Unweighted(LinearOp):
    """A linear map whose weights are fixed and nonnegative; a part keeps it or removes it."""

    @staticmethod
    def _scale(part: Part) -> float:
        return float(part(torch.ones(())))

    def diagonal(self, terms: Terms) -> Tensor:
        """What r is multiplied with on its way through some terms, whose parts are scales."""
        first, *others = (share * self._scale(part) for share, part in terms)
        return sum(others, start=first)


@dataclass(frozen=True, eq=False)
class AvgPool2d(Unweighted):
    """Any fixed spatial mean, given as the function that computes it (windowed, adaptive, global)."""

    function: Callable[[Tensor], Tensor] = whole

    def linear(self, xs: Sequence[Tensor], part: Part = whole) -> Tensor:
        return self.function(xs[0]) * self._scale(part)

    def transpose(self, r: Tensor, terms: Terms, shapes: Sequence[Shape]) -> tuple[Tensor, ...]:
        y = (r * self.diagonal(terms)).flatten(0, 1)
        with torch.inference_mode(False), torch.enable_grad():
            x = torch.zeros((len(y), *shapes[0]), dtype=y.dtype, device=y.device, requires_grad=True)
            (out,) = torch.autograd.grad(self.function(x), x, y.clone())
            return (out.unflatten(0, r.shape[:2]),)


@dataclass(frozen=True, eq=False)
class Upsample(AvgPool2d):
    """Interpolation to a finer grid, whose weights are nonnegative and sum to one: a mean like the others."""


@dataclass(frozen=True, eq=False)
class SquaredMeans(Unweighted):
    """The squares of the weights of a spatial mean, as one matrix (locations out, locations in)."""

    matrix: Tensor = field(kw_only=True)
    space: tuple[int, ...] = ()

    @classmethod
    def of(cls, pool: AvgPool2d, inside: Shape, like: Tensor) -> SquaredMeans:
        size = math.prod(inside[1:])
        hot = torch.eye(size, dtype=like.dtype, device=like.device).view(size, 1, *inside[1:])
        out = pool.function(hot)
        return cls(matrix=out.flatten(1).T.square(), space=tuple(out.shape[2:]))

    def linear(self, xs: Sequence[Tensor], part: Part = whole) -> Tensor:
        y = xs[0].flatten(2) @ self.matrix.T * self._scale(part)
        return y.unflatten(-1, self.space) if self.space else y.squeeze(-1)

    def transpose(self, r: Tensor, terms: Terms, shapes: Sequence[Shape]) -> tuple[Tensor, ...]:
        y = r * self.diagonal(terms)
        flat = y.flatten(3) if self.space else y.unsqueeze(-1)
        return ((flat @ self.matrix).unflatten(-1, shapes[0][1:]),)


@dataclass(frozen=True, eq=False)
class Add(Unweighted):
    """A sum of tensors of one shape: `W = [I I ...]`."""

    def linear(self, xs: Sequence[Tensor], part: Part = whole) -> Tensor:
        return sum(xs[1:], start=xs[0]) * self._scale(part)

    def transpose(self, r: Tensor, terms: Terms, shapes: Sequence[Shape]) -> tuple[Tensor, ...]:
        return (r * self.diagonal(terms),) * len(shapes)
