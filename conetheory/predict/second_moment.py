"""Second moments: the curve from the weights and activations alone, carried from cut to cut.

What is injected in a step is known in full down to its end, and in the pointwise branches below it; from
there on as variances. So a step goes as far as it needs no more vectors (`states.merged`): on
SqueezeNet 1.1 below features.12.squeeze, z+, this and the branches take the error from 0.08 to 0.03 decade at
the median layer and from 0.28 to 0.12 at the 90th percentile.

What the closure still drops is largest at the first convolutions below a start: on VGG-16's trunk two
convolutions below conv5_3 deviations of neighbours are correlated by 0.4 to 0.5 and of rank 4 to 14, where
v has independent units. Neighbours taken as independent make the variances of the next step 0.2 to 0.3 decade
too low, channels taken as independent 0.1 to 0.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from conetheory import room
from conetheory.chain.cost import DECOMPOSED, MOVED, Cost, swept, work
from conetheory.chain.layers import below
from conetheory.chain.local import LAYER_NUMBERS, leading_squares, positions_of_images, singular_values
from conetheory.chain.reach import Interval, Reach, colours, heard, on_axes, periods, reaches, space
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import Supply
from conetheory.networks.graph import INPUT
from conetheory.predict.registry import register
from conetheory.predict.spectra import SpectralTheory
from conetheory.predict.states import (
    FIELDS,
    NUMBERS,
    POSITIONS,
    STATE,
    State,
    applies_to_relevance,
    columns_between,
    cost_of_first_state,
    dense_cuts,
    first_map,
    flat,
    merged,
    picked,
    state_of_columns,
    trailing,
    white_state,
)
from conetheory.progress import Progress
from conetheory.rules.carried import carried_variances
from conetheory.rules.registry import Method
from conetheory.theory import secondmoment as theory
from conetheory.theory.records import NotApplicable

SPECTRUM, TYPICAL = 1.1e7, 256  # of that many channels and more, see `spectrum`
COPIED = 3  # times that a number of a wide local matrix is moved
TRANSPORTED = 7  # times that a number of K is, on its way to the next cut
CARRIED = 10  # vectors of a step beside those of its locations: c, its covector, what carries v
WIDE = 8  # locations of a layer whose wide local matrices are decomposed above the first map
KEPT = 4  # matrices of the size of K that are there at a time
MANY = 200  # rows and columns of matrices from which on only their leading values are computed


@dataclass(frozen=True)
class Branches:
    """Pointwise branches below a cut that are still to be recorded: their names; the images D at the cut of
    what came from each residue of the cut above, which of its locations each location heard, and their
    covariance K; c and v at the cut.
    """

    names: Sequence[str]
    D: Tensor
    index: Tensor
    K: Sequence[Tensor]
    state: State


@register
class SecondMoment(SpectralTheory):
    """The median deficit from second moments of relevance (`theory.secondmoment`), for Gaussian starts.

    The state c, K = Cov of the location weights, v = Var of the deviations goes from cut to cut of the
    network, with as many vectors down and covectors up as a location has others in its reach. No vector is
    random. Beyond 3,200 locations K is not kept: what lies below hears the last cut that had fewer. A dense
    start of at most 1,024 units is followed exactly, unit by unit, to the first map behind a layer that mixes
    locations; from there its 16 principal vectors are followed exactly, and the rest as moments. positions:
    locations a layer and image (None: 256).

    An estimate for any linear chain; its closures are those of theorem `second-moment`.
    """

    name = "second-moment"
    label = "second moments"
    squares = True
    sampled = POSITIONS

    @classmethod
    def applies(cls, method: Method) -> NotApplicable | None:
        """Why it says nothing about a method: that is not linear, or whose state is more than relevance."""
        return applies_to_relevance(method)

    def cost(self, chain: RelevanceChain) -> Cost:
        """For each step the vectors and covectors that cross it; a column for each unit of a dense start."""
        graph, cuts = chain.graph, dense_cuts(chain, self.start)
        first, found = cost_of_first_state(chain, self.start)
        carried = CARRIED + (0 if first == cuts[0] else FIELDS)
        for top, bottom in pairwise(merged(graph, cuts[cuts.index(first) :])):
            vectors = int(np.prod(periods([reaches(graph, top, bottom)[bottom]])))
            up = 0 if bottom == INPUT else vectors
            for count in (vectors, up, carried):  # one after the other
                found += swept(chain, self.start, count, top, bottom, block=room.block(NUMBERS))
            sizes = [int(np.prod(space(chain.shape(name)))) for name in (top, bottom)]
            kept = 0 if bottom == INPUT else (sizes[0] + sizes[1]) * sizes[1]
            found += Cost(TRANSPORTED * MOVED * kept / work(graph, self.start, INPUT))
        found += self.law(chain, spectrum) + self._decomposed(chain, cuts[0], first)
        return replace(found, bytes=found.bytes + KEPT * _largest(chain, cuts) * 8)

    @torch.inference_mode()
    def observe(self, chain: RelevanceChain, supply: Supply, progress: Progress) -> None:
        """Carry the moments down every image of a chain."""
        wanted = below(chain, self.start, self.layers)
        cuts = dense_cuts(chain, self.start)
        first = first_map(chain, cuts)
        if first is None:
            state = supply.once(STATE, lambda: white_state(chain, cuts[0]))
        else:
            state = self._through_columns(chain, cuts[0], first)
            supply.once(STATE, lambda: state)
            cuts = cuts[cuts.index(first) :]
        cuts = merged(chain.graph, cuts)
        left: Branches | None = None
        for step, (top, bottom) in enumerate(pairwise(cuts), 1):
            beyond = [] if bottom == INPUT else trailing(chain.graph, bottom, cuts[step + 1])
            beyond = [name for name in beyond if name in wanted]
            state, left = self._descend(chain, top, bottom, state, wanted, left, beyond)
            wanted = [name for name in wanted if name not in beyond]
            progress(self.label, step, len(cuts) - 1)

    # ------------------------------------------------------------ a dense start

    def _exact_places(self, chain: RelevanceChain, top: str, cut: str) -> dict[str, int]:
        """How many locations of the layers down to the first map have exact spectra.

        As many as it takes little to decompose, of wide local matrices `WIDE`.
        """
        units = int(np.prod(chain.shape(top)))
        passed = {n for node in chain.graph.between(top, cut) for n in node.inputs}
        wanted = [name for name in below(chain, self.start, self.layers) if name in passed]
        most = {n: max(WIDE, LAYER_NUMBERS // (chain.shape(n)[0] * units)) for n in wanted}
        there = {n: int(np.prod(space(chain.shape(n)))) for n in wanted}
        return {n: min(self.positions, most[n], there[n]) for n in wanted}

    def _decomposed(self, chain: RelevanceChain, top: str, cut: str) -> Cost:
        """What these spectra cost: a Gram matrix in float64 and its eigenvalues at each location."""
        if top == cut:
            return Cost()
        units, spent = int(np.prod(chain.shape(top))), 0.0
        for name, places in self._exact_places(chain, top, cut).items():
            few, many = sorted((chain.shape(name)[0], units))
            spent += places * few * many * (DECOMPOSED * few + COPIED * MOVED)
        return Cost(spent / work(chain.graph, self.start, INPUT))

    def _through_columns(self, chain: RelevanceChain, top: str, cut: str) -> State:
        """Exact spectra of the layers down to the first map, and the state there."""
        units = int(np.prod(chain.shape(top)))
        places = {
            name: positions_of_images(chain, name, limit, 1, self.seed, self.first_image)
            for name, limit in self._exact_places(chain, top, cut).items()
        }
        columns, sampled = columns_between(chain, top, cut, places)
        for name, rows in sampled.items():
            total = int(np.prod(space(chain.shape(name))))
            for image in rows:  # units, channels, locations
                squares = _squares(image.permute(2, 1, 0).contiguous())  # which are looked at several times
                self.spectra.add(name, squares.sqrt().cpu().numpy(), total)
        return state_of_columns(columns, chain.method.nonnegative, min(FIELDS, units))

    # ------------------------------------------------------------ from cut to cut

    def _descend(
        self,
        chain: RelevanceChain,
        top: str,
        bottom: str,
        state: State,
        wanted: Sequence[str],
        left: Branches | None,
        beyond: Sequence[str],
    ) -> tuple[State, Branches | None]:
        """Record the layers from a cut down to the next one, and what the step before left of it.

        Gives the state at the next cut, and what is to be recorded beyond it.
        """
        reach = reaches(chain.graph, top, bottom)
        layers = [name for name in wanted if name in reach and name != top]
        period = periods([reach[name] for name in {*layers, bottom}])
        places = {name: self._places(chain, name) for name in (*layers, *(left.names if left else ()))}
        fields, near = self._fields(chain, top, bottom, state, places)
        if left is not None:
            self._record_branches(chain, top, left, near, places)
        c, v = variances(chain, top, bottom, state, keep=layers)
        last = bottom == INPUT
        sampled: dict[str, list[Tensor]] = {name: [] for name in layers}
        D: Tensor | None = None
        for vectors in self._coloured(chain, top, state.c, period, reach, last):
            for name, parts in chain.sweep({top: vectors}, bottom):
                if name in sampled:
                    sampled[name].append(picked(flat(parts[top]), places[name]))
                if name == bottom and not last:
                    D = flat(parts[top])
        width = space(chain.shape(top))[1]
        for name in layers:
            index = torch.as_tensor(heard(reach[name], period, width), device=chain.device)
            parts = torch.cat(sampled.pop(name), 1), near.get(name)
            self._record(name, *parts, index, state.K, v[name], places[name])
        if D is None:  # at the input
            return state, None
        index = torch.as_tensor(heard(reach[bottom], period, width), device=chain.device)
        new = _next_state(chain, top, bottom, state, reach[bottom], D, index, c, v[bottom])
        new = replace(new, fields=fields)
        return new, Branches(beyond, D, index, state.K, State(c, v[bottom], ())) if beyond else None

    def _record_branches(
        self,
        chain: RelevanceChain,
        cut: str,
        left: Branches,
        near: Mapping[str, Tensor],
        places: Mapping[str, np.ndarray],
    ) -> None:
        """Record pointwise branches below a cut: what was injected above it is still known there in full."""
        vectors = left.D.reshape(*left.D.shape[:2], *chain.shape(cut))
        for name in left.names:
            _, v = variances(chain, cut, name, left.state, keep=())
            found = picked(flat(chain.down(vectors, cut, name)), places[name])
            self._record(name, found, near.get(name), left.index, left.K, v[name], places[name])

    def _places(self, chain: RelevanceChain, name: str) -> np.ndarray:
        return positions_of_images(chain, name, self.positions, 1, self.seed, self.first_image)

    def _fields(
        self,
        chain: RelevanceChain,
        top: str,
        bottom: str,
        state: State,
        places: Mapping[str, np.ndarray],
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """The fields of a state at the cut below, and at some places of the layers above it."""
        near: dict[str, Tensor] = {}
        if state.fields is None:
            return None, near
        vectors = state.fields.reshape(*state.fields.shape[:2], *chain.shape(top))
        for name, parts in chain.sweep({top: vectors}, bottom):
            if name in places:
                near[name] = picked(flat(parts[top]), places[name])
        return flat(parts[top]), near

    def _coloured(
        self,
        chain: RelevanceChain,
        top: str,
        c: Tensor,
        period: tuple[int, int],
        reach: dict[str, Reach],
        split: bool,
    ) -> Iterator[Tensor]:
        """c on the locations of one residue after the other, `(images, residues, *shape)`; or in blocks."""
        masks = torch.as_tensor(colours(chain.shape(top), period), dtype=c.dtype, device=c.device)
        widest = max(int(np.prod(chain.shape(name))) for name in reach)
        block = max(1, room.block(NUMBERS) // (widest * len(c))) if split else len(masks)
        for part in masks.flatten(1).split(block):
            yield (c[:, None] * part[None, :, None]).reshape(len(c), len(part), *chain.shape(top))

    def _record(
        self,
        name: str,
        D: Tensor,
        fields: Tensor | None,
        index: Tensor,
        Ks: Sequence[Tensor],
        v: Tensor,
        places: np.ndarray,
    ) -> None:
        each = [None] * len(D) if fields is None else fields
        for one, F, K, variance, where in zip(D, each, Ks, v, places, strict=True):
            here = torch.as_tensor(where, device=D.device)
            near = theory.neighbours(K, index[:, here])
            values = theory.local_spectrum(one, near, variance[:, here], F)
            self.spectra.add(name, values.cpu().numpy(), v.shape[-1])


def _largest(chain: RelevanceChain, cuts: Sequence[str]) -> int:
    """Numbers of the largest K on its way between the cuts; of white starts it is a diagonal."""
    above, *lower = (int(np.prod(space(chain.shape(cut)))) for cut in cuts[:-1])
    return max([above * lower[0], *(n**2 for n in lower)]) if lower else above


def spectrum(channels: int) -> float:
    """Multiplications that a location's spectrum takes."""
    return SPECTRUM * min(1.0, channels / TYPICAL)


def _squares(P: Tensor) -> Tensor:
    """Squared singular values of matrices (locations, m, n), as `theory.shortened` gives them."""
    if min(P.shape[1:]) <= MANY or P.dtype == torch.float64:
        return theory.shortened(singular_values(P).square())
    return theory.spread(*leading_squares(P, theory.HALF))


def variances(
    chain: RelevanceChain, top: str, bottom: str, state: State, keep: Sequence[str]
) -> tuple[Tensor, dict[str, Tensor]]:
    """c at the lower of two cuts, and the carried variances there and at the layers to keep.

    Without injection; all `(images, channels, locations)`. Nonnegative chains lose what goes over to location
    weights, by `carried_variances`. In signed chains that loss and the covariances that the closure drops are
    of one size and opposite, so `(M o M) v` is nearer to the measurement: on VGG-16's trunk 0.17 decade off
    at the median layer, with the loss 0.29.
    """
    shape = (len(chain), 1, *chain.shape(top))
    c = {name: parts[top] for name, parts in chain.sweep({top: state.c.reshape(shape)}, bottom)}
    b = {name: _covector(one, chain.method.nonnegative) for name, one in c.items()}
    v, kept = {top: state.v.reshape(shape)}, {}
    crossed = {node.name for node, _ in chain.crossed(top, bottom)}
    for node, local in chain.crossed(top, bottom):
        above = v.pop(node.name)
        if node.name in keep:
            kept[node.name] = flat(above)[:, 0]
        sources = [name if name in c else None for name in node.inputs]
        blank = above.new_zeros(())
        if chain.method.nonnegative:
            bs, cs = ([blank if name is None else found[name] for name in sources] for found in (b, c))
            parts = carried_variances(local, above, bs, cs)
        else:
            parts = local.squared().down(above)
        for name, part in zip(sources, parts, strict=True):
            if name is not None and (name in crossed or name == bottom):
                v[name] = part if name not in v else v[name] + part
    kept[bottom] = flat(v[bottom])[:, 0]
    return flat(c[bottom])[:, 0], kept


def _covector(c: Tensor, nonnegative: bool) -> Tensor:
    return torch.stack([theory.covector(one[0], nonnegative)[None] for one in c])


def _next_state(
    chain: RelevanceChain,
    top: str,
    bottom: str,
    state: State,
    reach: Reach,
    D: Tensor,
    index: Tensor,
    c: Tensor,
    v: Tensor,
) -> State:
    """c, v and K at a cut, from those at the cut above and the images D of c at its locations."""
    nonnegative = chain.method.nonnegative
    b = torch.stack([theory.covector(one, nonnegative) for one in c])
    psi, where = _covectors(chain, top, bottom, b, reach)
    Ks, variance = [], []
    for i, K in enumerate(state.K):
        t = theory.location_weights(D[i], b[i])
        variance.append(v[i] + theory.injected(D[i], t, c[i], theory.neighbours(K, index)).to(v.dtype))
        above = theory.covector(state.c[i], nonnegative)
        handed = theory.handed_over(psi[i], (state.v if state.free is None else state.free)[i], above)
        new = theory.transported(K, t, index)
        pairs = where[:, None, :].expand(-1, len(where), -1), where[None].expand(len(where), -1, -1)
        Ks.append(new.index_put_(pairs, handed, accumulate=True))
    return State(c, torch.stack(variance), Ks)


def _covectors(
    chain: RelevanceChain, top: str, bottom: str, b: Tensor, reach: Reach
) -> tuple[Tensor, Tensor]:
    """`psi_p = M^T b_p`, the p that no location hears together in one covector, and which p each q hears."""
    back = on_axes(Interval.reversed, reach)
    period = periods([back])
    masks = torch.as_tensor(colours(chain.shape(bottom), period), dtype=b.dtype, device=b.device)
    shape = (len(b), len(masks), *chain.shape(bottom))
    psi = chain.up((b[:, None] * masks.flatten(1)[None, :, None]).reshape(shape), bottom, top)
    where = heard(back, period, space(chain.shape(bottom))[1])
    return flat(psi), torch.as_tensor(where, device=b.device)
