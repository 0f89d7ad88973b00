"""What a cascade can't change: the chain below the randomised layers.

Randomising everything from a layer up leaves the activations below it as they are. So the maps before and
after are `C r` and `C r'` with the same chain C from the cut below that layer to the input, whatever the
upper layers have become: they differ only in the relevances r, r' that arrive at the cut. If C is near rank
one the maps are similar for unrelated r and r', and the test says nothing about the method's upper part
(cf. Binder et al. 2023). This level is estimated with an r' that has lost all that the network decided: the
values of r in random order over the units of the cut.

Where a method gives nothing to units of activation zero, their relevance is `a` times something, and the
activation a is the same before and after (Binder et al.'s second observation): then `r / a` is what is put
in random order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from conetheory.chain.relevance import RelevanceChain
from conetheory.counts import checked_seed
from conetheory.networks.graph import INPUT
from conetheory.saliency.explain import one_hot

TOLERANCE = 1e-3  # of the map, by which what is sent down again from a cut may differ from it


def shuffled_maps(
    chain: RelevanceChain,
    targets: Tensor,
    cuts: Sequence[str],
    *,
    seed: int,
    numbers: Sequence[int] | None = None,
) -> dict[str, Tensor]:
    """Maps `(images, *input shape)` of shuffled relevance at each cut; NaN where a method can't be taken up.

    A method whose relevance at a hidden layer is not what it sends on (DeepLIFT) does not give its own map
    when its relevance at the cut is sent down again; that is checked, image by image. The order
    is drawn from (seed, number of the image); numbers: of the chain's (None: from 0 on).
    """
    seed, given = checked_seed(seed), range(len(targets)) if numbers is None else numbers
    relevance, activations = _at_cuts(chain, targets, set(cuts))
    starts, whole = {}, relevance[INPUT]
    for cut in cuts:
        r = relevance[cut]
        images = zip(given, r, activations[cut], strict=True)
        other = torch.stack([_shuffled(x, a, [seed, n]) for n, x, a in images])
        starts[cut] = torch.stack([r, other], 1)
    found = {INPUT: starts.pop(INPUT)} if INPUT in starts else {}
    if starts:
        *_, (_, parts) = chain.sweep(starts)
        found |= parts
    return {cut: _trusted(parts, whole) for cut, parts in found.items()}


def _at_cuts(
    chain: RelevanceChain, targets: Tensor, cuts: set[str]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The relevance of the explained class at the cuts and the input, and the activations there."""
    wanted = cuts | {INPUT}
    start = one_hot(chain.logits, targets)
    relevance = {n: p["logits"][:, 0] for n, p in chain.sweep({"logits": start}) if n in wanted}
    activations = {INPUT: chain.images}
    activations |= {node.name: y for node, _, y in chain.graph.run(chain.images) if node.name in wanted}
    return relevance, activations


def _shuffled(r: Tensor, a: Tensor, seed: Sequence[int]) -> Tensor:
    """The values of r, or of r / a where r is zero wherever a is, in random order over the units."""
    flat, active = r.flatten(), a.flatten() != 0
    factor = a.flatten()
    if bool(active.all()) or bool(flat[~active].any()):
        factor, active = torch.ones_like(flat), torch.ones_like(active)
    units = active.nonzero()[:, 0]
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(units))).to(units.device)
    out = torch.zeros_like(flat)
    out[units] = (flat[units] / factor[units])[order] * factor[units]
    return out.view_as(r)


def _trusted(parts: Tensor, whole: Tensor) -> Tensor:
    own, other = parts[:, 0].flatten(1), parts[:, 1]
    error = (own - whole.flatten(1)).norm(dim=1)
    good = error <= TOLERANCE * whole.flatten(1).norm(dim=1)
    return torch.where(good.view(-1, *[1] * (other.ndim - 1)), other, torch.nan)
