"""Where second moments begin: at a start of white vectors, or at the first map below a dense one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from conetheory import room
from conetheory.chain.cost import DECOMPOSED, MOVED, Cost, swept, work
from conetheory.chain.layers import state_cuts
from conetheory.chain.local import ENUMERABLE, gram, widest
from conetheory.chain.reach import periods, reaches, space
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import Supply
from conetheory.networks.graph import INPUT, Graph
from conetheory.networks.ops import Conv2d, Linear
from conetheory.rules.base import Rule
from conetheory.rules.registry import Method
from conetheory.theory import secondmoment as theory
from conetheory.theory.records import NotApplicable

DENSE = 3200  # locations up to which K is kept
POSITIONS = 256  # locations a layer and image whose spectra enter the mixture
RESTS = 3  # times that a number of a column is moved to tell v and K
ENOUGH = 16  # numbers of a column for each unit, from which principal mixtures are told
STATE = "first state"  # of a supply
FIELDS = 16  # principal vectors of a dense start that are followed exactly
NUMBERS = 2**25  # numbers of the largest tensor that one sweep of coloured vectors may hold
COLUMNS = 2**22  # the same of columns: what a heap hands on without asking the system for new pages


@dataclass(frozen=True)
class State:
    """What is kept at a cut: c and v `(images, channels, locations)`, and K of every image, or its diagonal
    where there is no more.

    free: the variances of the units before the condition `<b, eta> = 0`, where they are known (white starts).
    fields: `(images, k, channels, locations)`, vectors whose independent N(0, 1) multiples come on top of
    what c, v and K say: they are followed exactly.
    """

    c: Tensor
    v: Tensor
    K: Sequence[Tensor]
    free: Tensor | None = None
    fields: Tensor | None = None


def applies_to_relevance(method: Method) -> NotApplicable | None:
    """Why a theory of linear chains that goes from cut to cut says nothing about a method."""
    if not method.backpropagated:
        return NotApplicable(f"{method.name} is not backpropagated layer by layer")
    if not method.linear:
        return NotApplicable(f"{method.name} is not linear in the relevance")
    if getattr(method, "only_down", False):  # another library's, whose rules are not known
        return None
    kind = type(method.layerwise)
    if kind.entrance is not Rule.entrance or kind.exit is not Rule.exit:
        return NotApplicable(f"{method.name} carries more than relevance from layer to layer")
    return None


def flat(r: Tensor) -> Tensor:
    """Relevance `(images, vectors, channels, locations)`; one location where there are none."""
    return r.flatten(3) if r.ndim > 3 else r.unsqueeze(-1)


def picked(r: Tensor, places: np.ndarray) -> Tensor:
    """Flat relevance at the places of each image, `(images, places)`."""
    found = [_at(one, torch.as_tensor(where, device=r.device)) for one, where in zip(r, places, strict=True)]
    return torch.stack(found) if len(found) > 1 else found[0].unsqueeze(0)


def _at(r: Tensor, where: Tensor) -> Tensor:
    """Some locations of an image; a location's channels are copied together where they lie together."""
    if r.stride(-1) > r.stride(-2):
        return r.mT.index_select(-2, where).mT
    return r[..., where]


def dense_cuts(chain: RelevanceChain, start: str) -> list[str]:
    """The cuts from the start down that have no more locations than K is kept for, and the input."""
    cuts = state_cuts(chain, start)
    return [cuts[0], *(c for c in cuts[1:-1] if np.prod(space(chain.shape(c))) <= DENSE), INPUT]


def merged(graph: Graph, cuts: Sequence[str]) -> list[str]:
    """The cuts without those that only pointwise layers part from another: these join a step and its vectors.

    What is injected in a step is followed exactly to the step's end, and beyond it as variances only. Layers
    whose locations differ in number stay apart.
    """
    kept = [cuts[0]]
    for cut, lower in pairwise(cuts[1:]):
        found = reaches(graph, kept[-1], lower)
        here, there = (np.prod(periods([found[name]])) for name in (cut, lower))
        alike = space(graph.shape(kept[-1])) == space(graph.shape(cut)) == space(graph.shape(lower))
        if not alike or 1 < here < there:
            kept.append(cut)
    return [*kept, cuts[-1]]


def trailing(graph: Graph, top: str, bottom: str) -> list[str]:
    """What is between two cuts and hears the same one location of the upper cut: its branches, pointwise."""
    found = reaches(graph, top, bottom)
    place = [np.arange(n) for n in space(graph.shape(top))]
    return [
        name
        for name, reach in found.items()
        if name not in (top, bottom)
        and all(
            np.array_equal(axis.first, here) and np.array_equal(axis.last, here)
            for axis, here in zip(reach, place, strict=True)
        )
    ]


def first_map(chain: RelevanceChain, cuts: Sequence[str]) -> str | None:
    """Of a dense start that is followed exactly, the cut to which: the first map with mixed locations.

    A layer mixes locations that is a convolution of more than one tap, or dense on a flattened map.
    """
    top, graph = cuts[0], chain.graph
    if space(chain.shape(top)) != (1, 1) or np.prod(chain.shape(top)) > ENUMERABLE:
        return None
    mixed = False
    for above, cut in pairwise(cuts):
        mixed = mixed or any(_mixes(graph, node.name) for node in graph.between(above, cut))
        if mixed and np.prod(space(graph.shape(cut))) > 1:
            return None if cut == INPUT else cut
    return None


def _mixes(graph: Graph, name: str) -> bool:
    node = graph.nodes[name]
    if isinstance(node.op, Conv2d):
        return max(node.op.weight.shape[2:]) > 1
    (source, *_) = node.inputs
    before = graph.nodes.get(source)
    reshaped = before is not None and space(graph.shape(before.inputs[0])) != (1, 1)
    return isinstance(node.op, Linear) and reshaped and len(graph.shape(source)) == 1


def white_state(chain: RelevanceChain, top: str) -> State:
    """The state of independent N(0, 1) starts: c is the vector of column sums."""
    ones = torch.ones((len(chain), 1, *chain.shape(INPUT)), dtype=chain.dtype, device=chain.device)
    h = flat(chain.up(ones, INPUT, top))[:, 0]
    size = h.abs().amax((1, 2), keepdim=True)
    c = torch.where(h.abs() > 1e-6 * size, h, 0.0)
    made = [theory.white_start(one, theory.covector(one, chain.method.nonnegative)) for one in c]
    return State(c, torch.stack([v for _, v in made]), [K for K, _ in made], (c != 0).to(c.dtype))


def columns_between(
    chain: RelevanceChain, top: str, cut: str, places: Mapping[str, np.ndarray]
) -> tuple[Tensor, dict[str, Tensor]]:
    """One column for each unit of a start: whole at a cut, at some places of the layers above it.

    `(images, units, channels, locations)` each.
    """
    units = int(np.prod(chain.shape(top)))
    whole: dict[str, Tensor] = {}
    sampled: dict[str, Tensor] = {}
    step = max(1, room.block(COLUMNS) // (widest(chain, top, cut) * len(chain)))
    for block in torch.arange(units).split(step):
        for name, parts in chain.sweep({top: chain.one_hot(top, block.tolist())}, cut):
            if name in places:
                _put(sampled, name, block, units, picked(flat(parts[top]), places[name]))
            if name == cut:
                _put(whole, cut, block, units, flat(parts[top]))
    return whole[cut], sampled


def _put(kept: dict[str, Tensor], name: str, block: Tensor, units: int, found: Tensor) -> None:
    """Some columns in their place among all."""
    if name not in kept:
        kept[name] = found.new_empty((len(found), units, *found.shape[2:]))
    kept[name][:, int(block[0]) : int(block[-1]) + 1] = found


def state_of_columns(columns: Tensor, nonnegative: bool, leading: int = 0) -> State:
    """The exact state at a cut below white starts, from one column for each of their units.

    leading: how many principal vectors become `fields`; c, v and K are of what is left.
    """
    cs, parts, fields = columns.sum(1), [], []
    for one, c in zip(columns, cs, strict=True):
        V = _principal(one, c, leading)
        fields.append(torch.tensordot(V.T, one, 1))
        parts.append(_from_columns(one, c, nonnegative, V, fields[-1]))
    kept = torch.stack(fields) if leading else None
    return State(cs, torch.stack([v for v, _ in parts]), [K for _, K in parts], fields=kept)


def _principal(C: Tensor, c: Tensor, leading: int) -> Tensor:
    """Orthonormal `(units, leading)`: the principal mixtures of the columns `(units, channels, locations)`.

    Locations count alike: columns are taken in units of |c| there. Where there are many more numbers in a
    column than units, every so-many-th channel tells: any mixtures do, the nearer the better.
    """
    length = c.square().sum(0)
    scale = torch.where(length > 0, length, torch.inf).rsqrt()
    C = C[:, :: max(1, C[0].numel() // (ENOUGH * len(C)))]
    found = torch.zeros((len(C), len(C)), dtype=torch.float64, device=C.device)
    for channels in C.split(max(1, room.block(NUMBERS) // (8 * C[:, 0].numel())), 1) if leading else ():
        found += gram((channels * scale).flatten(1))
    return torch.linalg.eigh(found)[1][:, len(C) - leading :].to(C.dtype)


def cost_of_first_state(chain: RelevanceChain, start: str) -> tuple[str, Cost]:
    """The cut of `first_state`, and what it costs to get there: a column for each unit of a dense start."""
    cuts = dense_cuts(chain, start)
    cut = first_map(chain, cuts)
    if cut is None:
        return cuts[0], swept(chain, start, 1)
    units = int(np.prod(chain.shape(cuts[0])))
    sent = swept(chain, start, units, cuts[0], cut, block=room.block(COLUMNS))
    numbers = units * int(np.prod(chain.shape(cut)))
    spent = (ENOUGH * DECOMPOSED * units**3 + RESTS * MOVED * numbers) / work(chain.graph, start, INPUT)
    return cut, Cost(sent.passes + spent, 2 * numbers * chain.dtype.itemsize + sent.bytes)


def first_state(chain: RelevanceChain, start: str, supply: Supply) -> tuple[str, State]:
    """The first cut with locations, and the exact state there: the start itself, or below a dense one.

    A start without locations and with too many units for columns is itself the cut. From the supply, where
    one theory has made it for all; whoever makes it, it is the same to the last digit.
    """
    cuts = dense_cuts(chain, start)
    cut = first_map(chain, cuts)
    if cut is None:
        return cuts[0], supply.once(STATE, lambda: white_state(chain, cuts[0]))

    def make() -> State:
        columns, _ = columns_between(chain, cuts[0], cut, {})
        return state_of_columns(columns, chain.method.nonnegative, min(FIELDS, columns.shape[1]))

    return cut, without_fields(supply.once(STATE, make), chain.method.nonnegative)


def without_fields(state: State, nonnegative: bool) -> State:
    """The same, with the covariance of the fields in K and v."""
    if state.fields is None:
        return state
    Ks, variances = [], []
    for c, v, K, fields in zip(state.c, state.v, state.K, state.fields, strict=True):
        weights = (fields * theory.covector(c, nonnegative)).sum(1)
        variances.append(v + (fields - weights[:, None] * c).square().sum(0))
        Ks.append(K + weights.to(K.dtype).T @ weights.to(K.dtype))
    return State(state.c, torch.stack(variances), Ks)


def _from_columns(
    C: Tensor, c: Tensor, nonnegative: bool, V: Tensor, fields: Tensor
) -> tuple[Tensor, Tensor]:
    """v and K of white starts from columns `(units, channels, locations)` without their part `V fields`."""
    b, v = theory.covector(c, nonnegative), torch.zeros_like(c)
    rows = torch.empty((len(C), c.shape[-1]), dtype=torch.float64, device=C.device)
    step = max(1, room.block(COLUMNS) // c.numel())
    for columns, mixtures, row in zip(C.split(step), V.split(step), rows.split(step), strict=True):
        rest = columns - torch.tensordot(mixtures, fields, 1)
        weight = (rest * b).sum(1)
        v += (rest - weight[:, None] * c).square().sum(0)
        row[:] = weight
    return v, rows.T @ rows
