"""DeepLIFT against its formulas on dense matrices, captum, the deeplift package's cases, and completeness."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError, UnsupportedLayerError
from conetheory.networks.graph import INPUT
from conetheory.networks.ops import PassThrough
from conetheory.rules.differences import secant
from conetheory.rules.maps import Diagonal
from conetheory.rules.registry import get_method
from tests.networks.toys import random_images, seeded
from tests.rules.deeplift_textbook import (
    FLIPPED,
    KINDS,
    METHODS,
    REFERENCE,
    Textbook,
    captum_net,
    every_output,
    network,
    open_chain,
)
from tests.toys import COUPLED, SHAPE, alone, graph, images

# ---------------------------------------------------------------- the textbook


@pytest.mark.covering
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("toy", [*alone(), FLIPPED])
def test_the_textbook_at_every_tensor(toy, kind):
    """Multipliers and contributions of two images against different references, from all logits at once."""
    method, options = KINDS[kind]
    x, reference = images(), torch.stack([torch.zeros(SHAPE, dtype=torch.float64), REFERENCE])
    reference[1, :, :2] = x[1, :, :2]  # pixels that do not change
    books = [Textbook(toy, kind, a, b) for a, b in zip(x, reference, strict=True)]
    expected = [(book, book.multipliers()) for book in books]
    for measure in ("multipliers", "contributions"):
        chain = RelevanceChain(
            network(toy), x, method, parameters={"reference": reference, "measure": measure, **options}
        )
        for name, parts in chain.sweep({"logits": every_output(chain)}):
            for found, (book, m) in zip(parts["logits"].flatten(2).mT.numpy(), expected, strict=True):
                if measure == "multipliers" and name != INPUT:
                    wanted = (m[name][0] + m[name][1]) / 2
                elif kind == "revealcancel":
                    wanted = sum(c[:, None] * part for c, part in zip(book.parts[name], m[name], strict=True))
                else:
                    d = book.delta[name][:, None]
                    amount = kind == "ablation" and measure == "multipliers"
                    wanted = (np.abs(d) if amount else d) * (m[name][0] + m[name][1]) / 2
                np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9 * max(1, np.abs(wanted).max()))


# ---------------------------------------------------------------- completeness and linearity


@pytest.mark.covering
@pytest.mark.parametrize("method", METHODS[:2])
@pytest.mark.parametrize("toy", [*alone(), FLIPPED])
def test_contributions_sum_to_the_difference(toy, method):
    for reference in (torch.zeros(SHAPE, dtype=torch.float64), REFERENCE):
        chain = RelevanceChain(
            network(toy), images(), method, parameters={"reference": reference, "pool": "rescale"}
        )
        found = chain.down(every_output(chain), "logits").flatten(2).sum(2)
        difference = chain.logits - network(toy).forward(reference[None])
        torch.testing.assert_close(found, difference.flatten(1), rtol=0, atol=1e-10)


@pytest.mark.covering
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("toy", alone())
def test_adjoints_and_linearity(toy, kind):
    method, options = KINDS[kind]
    measure, pool = [("multipliers", "gradient"), ("contributions", "rescale")][len(toy) % 2]
    chain = RelevanceChain(
        graph(toy),
        images(),
        method,
        parameters={"measure": measure, "pool": pool, "reference": REFERENCE, **options},
    )
    r = random_images(2, 3, *chain.shape("logits"), seed=3)
    for stop in (INPUT, chain.layers[1]):
        h = random_images(2, 3, *chain.shape(stop), seed=4)
        below = (chain.down(r, "logits", stop) * h).flatten(2).sum(2)
        above = (chain.up(h, stop, "logits") * r).flatten(2).sum(2)
        torch.testing.assert_close(below, above, rtol=1e-10, atol=1e-10)
    total = chain.down(r[:, :1] + 2 * r[:, 1:2], "logits")
    apart = chain.down(r, "logits")
    torch.testing.assert_close(total, apart[:, :1] + 2 * apart[:, 1:2], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("toy", [name for name in COUPLED if name != "b-cos units"])  # refused: test_bcos
def test_rescale_is_complete_through_products_and_norms_and_the_others_refuse_them(toy):
    """And linear, with an adjoint: <h, M r> = <M^T h, r>."""
    net = graph(toy)
    for reference in (torch.zeros(SHAPE, dtype=torch.float64), REFERENCE):
        options = {"reference": reference, "pool": "rescale"}
        chain = RelevanceChain(net, images(), METHODS[0], parameters=options)
        found = chain.down(every_output(chain), "logits").flatten(2).sum(2)
        difference = chain.logits - net.forward(reference[None])
        torch.testing.assert_close(found, difference.flatten(1), rtol=0, atol=1e-9)
    r, h = random_images(2, 3, *chain.shape("logits"), seed=3), random_images(2, 3, *SHAPE, seed=4)
    below = (chain.down(r, "logits") * h).flatten(2).sum(2)
    torch.testing.assert_close(below, (chain.up(h, INPUT, "logits") * r).flatten(2).sum(2))
    for method in METHODS[1:]:
        with pytest.raises(UnsupportedLayerError, match=f"layer .*: {method} has no rule for .*rescale has"):
            RelevanceChain(net, images(), method)


# ---------------------------------------------------------------- captum


# ---------------------------------------------------------------- published cases


# ---------------------------------------------------------------- the ablation


def assert_decoupled(chain: RelevanceChain) -> None:
    """What enters one block stays in it, and what is nonnegative stays so, at every operation."""
    for name, node in chain.graph.nodes.items():
        r = random_images(2, 3, *node.shape, seed=6).abs()
        for block in (0, 1):
            state = torch.cat([r if block == 0 else 0 * r, r if block == 1 else 0 * r], 2)
            for part in chain._maps[name].down(state):
                blocks = part.chunk(2, 2)
                assert not blocks[1 - block].any()
                assert bool((blocks[block] >= 0).all())


@pytest.mark.parametrize("toy", [*alone(), FLIPPED])
def test_the_blocks_of_the_ablation_never_mix(toy):
    chain = RelevanceChain(network(toy), images(), "deeplift-ablation", parameters={"reference": REFERENCE})
    assert chain.method.nonnegative
    assert_decoupled(chain)


def test_the_ablation_converges_and_deeplift_does_not():
    """A deep narrow network: each block of the ablation reaches rank one, Rescale and RevealCancel do not."""

    def build() -> nn.Module:
        body = [part for _ in range(12) for part in (nn.Linear(12, 12), nn.ReLU())]
        return nn.Sequential(*body, nn.Linear(12, 12))

    net, x, reference = seeded(build, seed=2), random_images(1, 12), random_images(12, seed=8)
    second = {}
    for kind, (method, options) in KINDS.items():
        chain = open_chain(net, x, method, parameters={"reference": reference, **options})
        below = chain.layers[1]
        C = chain.as_matrix("logits", below)
        sigma = np.linalg.svd(C, compute_uv=False)
        second[kind] = sigma[1] / sigma[0]
        if kind == "ablation":
            run = chain.graph.run(torch.stack([x[0], reference]))
            image, still = next(y for node, _, y in run if node.name == below).numpy()
            for chosen in (image > still, image < still):  # the units of each chain
                assert chosen.sum() > 1
                block = np.linalg.svd(C[chosen], compute_uv=False)
                assert block[1] < 1e-4 * block[0]
    assert min(second["rescale"], second["revealcancel"]) > 1e-2
    assert second["shared"] < 1e-3


def test_non_monotone_activations_keep_the_ablation_nonnegative():
    net, x = seeded(lambda: captum_net(nn.SiLU)), 9 * random_images(2, *SHAPE)
    assert_decoupled(open_chain(net, x, METHODS[2], parameters={"reference": 9 * REFERENCE}))
    rescale = open_chain(net, x, METHODS[0], parameters={"reference": 9 * REFERENCE})
    slopes = [m.scale for m in rescale._maps.values() if isinstance(m, Diagonal)]
    assert any(bool((s < 0).any()) for s in slopes), "else nothing is tested"


# ---------------------------------------------------------------- references


def test_references():
    x = images(3)
    base = RelevanceChain(graph("small vgg"), x, METHODS[1], parameters={"reference": REFERENCE})
    rows = REFERENCE.expand(3, -1, -1, -1)
    r = every_output(base)
    for same in (REFERENCE[None], rows, rows.float().double()):
        chain = RelevanceChain(graph("small vgg"), x, METHODS[1], parameters={"reference": same})
        torch.testing.assert_close(chain.down(r, "logits"), base.down(r, "logits"), rtol=1e-5, atol=1e-5)
    mean = RelevanceChain(graph("small vgg"), x, METHODS[1], parameters={"reference": "mean"})
    fixed = RelevanceChain(graph("small vgg"), x, METHODS[1], parameters={"reference": x.mean(0)})
    torch.testing.assert_close(mean.down(r, "logits"), fixed.down(r, "logits"))


@pytest.mark.parametrize("reference", ["mean", "rows"])
def test_one_image_of_a_batch_keeps_its_reference(reference):
    x = images(3)
    given_one = random_images(3, *SHAPE, seed=12) if reference == "rows" else "mean"
    chain = RelevanceChain(graph("small vgg"), x, METHODS[0], parameters={"reference": given_one})
    r = every_output(chain)
    expected = chain.down(r, "logits")[2].flatten(1).mT.numpy()
    np.testing.assert_allclose(chain.as_matrix("logits", image=2), expected, rtol=1e-12, atol=1e-14)


def test_float32_stays_close():
    x = images(2)
    for kind, (method, options) in KINDS.items():
        exact = RelevanceChain(graph("small vgg"), x, method, parameters={"reference": REFERENCE, **options})
        single = RelevanceChain(
            graph("small vgg"), x, method, dtype=torch.float32, parameters={"reference": REFERENCE, **options}
        )
        r = every_output(exact)
        a, b = exact.down(r, "logits"), single.down(r, "logits").double()
        assert (a - b).norm() < 1e-4 * a.norm(), kind


@given(st.floats(-1e3, 1e3, width=32), st.floats(-1e3, 1e3, width=32), st.sampled_from(["relu", "tanh"]))
def test_secants_are_between_the_slopes(a, b, name):
    """In float32, however near the two points."""
    op = PassThrough(getattr(torch, name), "activation")
    found = secant(op, torch.tensor([a]), torch.tensor([b]))
    assert -1e-6 <= float(found) <= 1 + 1e-3
    if a == b:
        assert float(found) == pytest.approx(
            float(a > 0) if name == "relu" else 1 - np.tanh(a) ** 2, abs=1e-6
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reference": "black"}, "reference must be zeros, mean or a tensor"),
        ({"measure": "relevance"}, "measure of .* must be"),
        ({"pool": "all"}, "pool of .* must be"),
        ({"reference": torch.zeros(3, 6, 7)}, "the reference is"),
        ({"reference": torch.zeros(5, *SHAPE)}, "the reference is"),
        ({"reference": torch.full(SHAPE, torch.nan)}, "NaN"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_parameters_out_of_range_are_refused(method, options, message):
    with pytest.raises(InputError, match=message):
        RelevanceChain(graph("small vgg"), images(), method, parameters=options)


def test_more_refusals():
    with pytest.raises(InputError, match=r"chains of .* must be"):
        get_method("deeplift-ablation", chains="three")
    with pytest.raises(InputError, match="mean of one image"):
        RelevanceChain(graph("small vgg"), images(1), "deeplift-rescale", parameters={"reference": "mean"})
    assert not get_method("deeplift-ablation", measure="contributions").nonnegative
    assert not get_method("deeplift-ablation", chains="shared").nonnegative
    assert [get_method(m).nonnegative for m in METHODS] == [False, False, True]
    assert all(get_method(m).linear for m in METHODS)
