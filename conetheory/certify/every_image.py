"""Certificates for every image at once: for all that share the active units, pool winners and input signs.

A z+ layer is `diag(a) (W+)^T diag(1 / (W+ a))`: which units are active is in its pattern, and how active they
are in its diagonals. Diagonals at the outside of a block change no diameter; so a layer, or two layers
A D B, may have one bound for all positive D, that is for all such images (theorem `image-free-blocks`). Of a
rule without that form nothing is said: z-box scales the positive and the negative weights of a unit by
distances of its own to the two ends of the box, whatever units are active; DeepLIFT's ablation sends down two
relevances a unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from conetheory.certify.blocks import POSITIONS, beyond, check, check_form, rounding
from conetheory.certify.known import EXTRA, Known, known, row_loss, row_support
from conetheory.chain.local import local_matrices, sample_positions
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks.ops import LinearOp
from conetheory.theory import cone, generators
from conetheory.theory.records import NotApplicable

PROBE = 64  # units whose rows are looked at before all of them are made


@dataclass(frozen=True)
class EveryImageCertificate:
    """What holds for every image with the same active units, pool winners and input signs.

    diameter_upper: of the cone of nonnegative relevance from above, at one location or the worst of several.
    deficit_upper: 1 - cos of any two of its members. factor: the upper end of the step that bounds it.
    """

    diameter_upper: float
    factor: str

    @property
    def deficit_upper(self) -> float:
        return float(cone.deficit_upper_from_diameter(self.diameter_upper))


Statement = EveryImageCertificate | NotApplicable


def every_image_certificates(
    chain: RelevanceChain,
    start: str,
    layers: Sequence[str],
    *,
    positions: int = POSITIONS,
    seed: int = 0,
    image: int = 0,
    first_image: int = 0,
) -> dict[str, Statement]:
    """For each of the layers below `start`: the two steps above it, at the worst of some sampled locations.

    The locations are drawn for the image by its number, which is `first_image` for the first of the chain.
    It holds for all nonnegative relevance at the top of the two steps, and so for all nonnegative starts.
    NotApplicable names the layer and the units that prevent it, the step that is no single layer, or the
    method whose rule does not say that it has the form (`Rule.has_fixed_pattern`).
    """
    chain, refused = check(chain).only(image), check_form(chain)
    if refused is not None:
        return dict.fromkeys(map(chain.graph.resolve, layers), refused)
    found: dict[str, Statement] = {}
    for bottom in map(chain.graph.resolve, layers):
        middle = _above(chain, bottom, start)
        top = middle if isinstance(middle, NotApplicable) else _above(chain, middle, start)
        if isinstance(middle, NotApplicable):
            found[bottom] = middle
        else:
            top = middle if isinstance(top, NotApplicable) else top  # the one step has to do it
            units = int(np.prod(chain.shape(middle)))
            chosen = sample_positions(chain, bottom, positions, units, [seed, first_image + image])
            found[bottom] = _worst(
                every_image_certificate(chain, top, middle, bottom, int(p)) for p in chosen
            )
    return found


def _worst(
    found: Iterator[EveryImageCertificate | NotApplicable | None],
) -> EveryImageCertificate | NotApplicable:
    """The widest of the live locations; the first that has none."""
    widest = None
    for each in found:
        if isinstance(each, NotApplicable):
            return each
        if each is not None and (widest is None or each.diameter_upper > widest.diameter_upper):
            widest = each
    return NotApplicable("all sampled locations are dead") if widest is None else widest


def _above(chain: RelevanceChain, layer: str, start: str) -> str | NotApplicable:
    """The lowest cut above `layer`, and not above `start`, with one linear layer between."""
    graph, start = chain.graph, chain.graph.resolve(start)
    order = [*graph.nodes]
    low = order.index(layer) if layer in order else -1
    for cut in (c for c in [*graph.cuts, start] if c in order and low < order.index(c) <= order.index(start)):
        depth = _depth(chain, cut, layer)
        if depth == 1:
            return cut
        if depth > 1:
            return NotApplicable(f"the step from {cut!r} to {layer!r} crosses {depth} layers at once")
    return NotApplicable(f"no layer lies between {start!r} and {layer!r}")


def _depth(chain: RelevanceChain, top: str, bottom: str) -> int:
    """The most linear layers on a path from `top` down to `bottom`."""
    depth = {top: 0}
    for node in chain.graph.between(top, bottom):
        here = depth.get(node.name, 0) + isinstance(node.op, LinearOp)
        depth.update({name: max(depth.get(name, 0), here) for name in node.inputs})
    return depth.get(bottom, 0)


def every_image_certificate(
    chain: RelevanceChain, top: str, middle: str, bottom: str, position: int, image: int = 0
) -> Statement | None:
    """The block top..middle..bottom at location p, A D B with D the positive diagonal that the image sets.

    A: the step middle..bottom at p, B: the step top..middle at the units that feed p, one linear layer each
    (none between top and middle if they are one). Diagonals at the outside change no diameter, and
    tanh(Delta(A D B) / 4) <= tanh(Delta(A) / 4) tanh(Delta(B) / 4). Where both are infinite on the units
    alive in both, so is the supremum over D (theorem `image-free-blocks`): NotApplicable with the layer and
    the units that prevent it.
    None at a dead location. Raises InputError if a path of a step crosses more than one linear layer.
    Source: new here, theorems `z-plus-image-dependence` and `image-free-blocks`.
    """
    chain, refused = check(chain).only(image), check_form(chain)
    if refused is not None:
        return refused
    top, middle, bottom = (chain.graph.resolve(name) for name in (top, middle, bottom))
    for above, below in ((top, middle), (middle, bottom)):
        if (depth := _depth(chain, above, below) if above != below else 0) > 1:
            raise InputError(f"the step from {above!r} to {below!r} crosses {depth} layers; one at a time")
    found = _rows(chain, middle, bottom, position)
    ones = torch.ones((1, 1, *chain.shape(top)), dtype=chain.dtype, device=chain.device)
    fed = chain.pattern().down(ones, top, middle).flatten().cpu().numpy() > 0
    inner = np.flatnonzero(found.columns & fed)
    if len(inner) == 0:
        return None
    if not found.by_entry:
        return beyond(middle, bottom)
    A = found.matrices
    own = generators.diameter_upper(A[:, inner], rounding(chain, middle, bottom) + EXTRA)
    first = _holed(A[:, inner].T)
    if top == middle:
        if own < np.inf:
            return EveryImageCertificate(own, middle)
        return NotApplicable(
            f"unit {inner[first]} of {middle!r} feeds only some of the channels at {bottom!r}"
        )
    B, above = _fed_by(chain, top, middle, inner)
    if B is None:
        return beyond(top, middle)
    if np.minimum(own, above) < np.inf:
        both = float(cone.contracted_diameter_upper(own, above))
        return EveryImageCertificate(both, middle if own <= above else top)
    return NotApplicable(
        f"positive scalings of the units of {middle!r} let the diameter at {bottom!r} grow without bound:"
        f" its unit {inner[first]} feeds only some of the channels,"
        f" and its unit {inner[_holed(B)]} is fed by only some of {top!r}"
    )


def _rows(chain: RelevanceChain, top: str, bottom: str, position: int) -> Known:
    P = local_matrices(chain, bottom, position, top).cpu().numpy()
    return known(P[0], row_support(chain, bottom, position, top, P)[0], row_loss(chain, bottom, top)[0])


def _fed_by(
    chain: RelevanceChain, top: str, middle: str, inner: np.ndarray
) -> tuple[np.ndarray | None, float]:
    """B, the rows of the step top..middle at the units `inner`, or some of them that do; and its diameter.

    None where float64 can't vouch for a number of them.
    """
    lost = row_loss(chain, middle, top)[0]
    for rows in (inner[:PROBE], inner) if len(inner) > PROBE else (inner,):
        # A zero among some of the rows, in a column that they keep alive, is one among all.
        hot = chain.one_hot(middle, rows.tolist())
        B, on = (each.up(hot, middle, top).flatten(2)[0].cpu().numpy() for each in (chain, chain.pattern()))
        found = known(B, on > 0, lost)
        if not found.by_entry:
            return None, np.inf
        B = found.matrices
        diameter = generators.diameter_upper(B, rounding(chain, top, middle) + EXTRA)
        if diameter == np.inf:
            break
    return B, diameter


def _holed(A: np.ndarray) -> int:
    """The first row with a zero in a live column; 0 where there is none."""
    holes = np.flatnonzero((A[:, A.any(axis=0)] == 0).any(axis=1))
    return int(holes[0]) if len(holes) else 0
