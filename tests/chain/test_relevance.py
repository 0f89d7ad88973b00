"""The chain as a linear map: its adjoint, its matrix, its composition, shared sweeps and batches."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from conetheory.chain.local import leading_squares
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.networks.graph import INPUT
from tests.cases import devices, needs_cuda
from tests.toys import BIASES, METHODS, SHAPE, chain, graph, images, typical

toys = pytest.mark.parametrize("toy", typical())


@needs_cuda
def test_the_cases_of_this_file_are_held_on_cuda_too():
    assert chain("small vgg", device="cuda").logits.device.type == "cuda"


def vectors(found: RelevanceChain, layer: str, count: int = 3, seed: int = 0) -> Tensor:
    shape = (len(found), count, *found.shape(layer))
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_close(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    """Equal to `tolerance` of the largest entry."""
    a, b = (torch.as_tensor(t).to("cpu", torch.float64) for t in (a, b))
    assert a.shape == b.shape
    scale = float(torch.maximum(a.abs().max(), b.abs().max()))
    assert float((a - b).abs().max()) <= tolerance * scale


# ---------------------------------------------------------------- one linear map


@pytest.mark.covering
@toys
@devices
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bias", BIASES)
def test_adjoint(toy, method, bias, device):
    """<h, C r> = <C^T h, r>, from the output down to every layer."""
    found = chain(toy, method, bias=bias, stabiliser=1e-2 if bias == "signed" else 0.0, device=device)
    r = vectors(found, "logits", 2)
    below = {name: parts["logits"].cpu() for name, parts in found.sweep({"logits": r})}
    assert list(below)[-1] == INPUT
    for layer, down in below.items():
        h = vectors(found, layer, 2, seed=1)
        up = found.up(h, layer, "logits").cpu()
        left, right = (h * down).flatten(2).sum(2), (up * r).flatten(2).sum(2)
        size = h.flatten(2).norm(dim=2) * down.flatten(2).norm(dim=2)
        size = torch.maximum(size, up.flatten(2).norm(dim=2) * r.flatten(2).norm(dim=2))
        assert bool(((left - right).abs() <= 1e-12 * size).all())


@pytest.mark.covering
@toys
@pytest.mark.parametrize("method", METHODS[:2])
def test_the_matrix_is_the_same_from_every_side(toy, method):
    found = chain(toy, method)
    below, above = int(np.prod(SHAPE)), int(np.prod(found.shape("logits")))
    for image in range(len(found)):
        C = found.as_matrix("logits", image=image)
        assert C.shape == (below, above)
        operator = found.linear_operator("logits", image=image)
        assert operator.shape == C.shape
        assert_close(operator.matmat(np.eye(above)), C)
        assert_close(operator.rmatmat(np.eye(below)).T, C)
        assert_close(found.columns("logits", range(above))[image].flatten(1).T, C)
        positions = list(range(SHAPE[1] * SHAPE[2]))
        P = found.rows(INPUT, positions, "logits")[image]
        assert_close(P.transpose(0, 1).reshape(below, above), C)
        v, h = (
            np.random.default_rng(0).standard_normal(above),
            np.random.default_rng(1).standard_normal(below),
        )
        assert_close(operator @ v, C @ v)
        assert_close(operator.T @ h, C.T @ h)
        assert operator.matvec(v[:, None]).shape == (below, 1)


def test_a_wide_matrix_is_made_from_its_rows():
    found = chain("conv same")
    wide = found.as_matrix("2", "0", 1)  # through one layer from behind it, image 1
    rows, columns = wide.shape
    assert rows == columns
    narrow = found.as_matrix("5", INPUT, 1)
    assert narrow.shape[1] < narrow.shape[0]
    head = chain("global mean").as_matrix("2", "1")  # 4 outputs
    assert head.shape == (4 * 6 * 7, 4)
    up = chain("adaptive average pool that repeats")
    rows, columns = up.as_matrix("2", "1").shape
    assert rows < columns
    assert_close(up.as_matrix("2", "1"), up.linear_operator("2", "1").matmat(np.eye(columns)))


@toys
def test_linearity(toy):
    found = chain(toy, "lrp-alpha2beta1")
    a, b = vectors(found, "logits", seed=1), vectors(found, "logits", seed=2)
    assert_close(
        found.down(2 * a - 3 * b, "logits"), 2 * found.down(a, "logits") - 3 * found.down(b, "logits")
    )


@toys
def test_chains_compose_at_cuts(toy):
    found = chain(toy, "lrp-alpha2beta1")
    cuts = found.graph.cuts
    assert cuts[0] == INPUT
    assert cuts[-1] == found.graph.output
    r = vectors(found, "logits")
    whole = found.down(r, "logits")
    for cut in cuts:
        assert_close(found.down(found.down(r, "logits", cut), cut), whole)
    for high, low in itertools.pairwise(reversed(cuts)):
        r = found.down(r, high, low)
    assert_close(r, whole)
    assert_close(found.down(r, INPUT), r, 0)  # from a layer to itself


def test_branches_are_summed_where_they_meet():
    """Around b: the identity path of `b(a) + a` is elementwise, the rest goes through b."""
    found = chain("residual of signed branches")
    through = found.as_matrix("b", "a") @ found.as_matrix("flatten", "b")
    around = found.as_matrix("flatten", "a") - through
    assert_close(around, np.diag(np.diag(around)))
    assert np.diag(around).min() > -1e-15  # a difference of sums of positive numbers
    assert np.diag(around).max() > 0.1


# ---------------------------------------------------------------- sharing


@toys
def test_start_layers_share_a_sweep(toy):
    """Starts at every layer, inside branches too, in one sweep or in one each."""
    found = chain(toy, "lrp-alpha2beta1")
    tops = [name for name in [*found.graph.nodes][::2] if name != found.graph.output] + ["logits"]
    starts = {name: vectors(found, name, 1 + i % 3, seed=i) for i, name in enumerate(tops)}
    shared = {}
    for layer, parts in found.sweep(starts):
        shared |= {(start, layer): r.clone() for start, r in parts.items()}
    seen = set()
    for start, r in starts.items():
        for layer, parts in found.sweep({start: r}):
            assert list(parts) == [start]
            assert_close(shared[start, layer], parts[start])
            seen.add((start, layer))
    for key in shared.keys() - seen:  # beside the start, not below it
        assert not shared[key].any()


def test_a_start_may_be_a_function_of_its_shape():
    found = chain("nested branches")
    made = {}

    def start(shape):
        made["shape"] = shape
        return vectors(found, "c")

    by_function = [parts["c"] for _, parts in found.sweep({"c": start})][-1]
    assert made["shape"] == found.shape("c")
    assert_close(by_function, found.down(vectors(found, "c"), "c"), 0)


def test_two_names_of_one_layer_are_two_starts_or_refused():
    """`logits` and the last layer's own name: neither may be dropped silently."""
    found = chain("small vgg")
    a, b = vectors(found, "logits", seed=1), vectors(found, "logits", seed=2)
    with pytest.raises(InputError, match="same layer"):
        list(found.sweep({"logits": a, found.graph.output: b}))


@toys
@devices
def test_a_batch_is_its_images(toy, device):
    found = chain(toy, "lrp-alpha2beta1", count=3, device=device)
    r = vectors(found, "logits")
    together = found.down(r, "logits")
    for i in range(3):
        alone = RelevanceChain(found.graph, images(3)[i], "lrp-alpha2beta1", device=device)
        assert len(alone) == 1
        assert_close(alone.down(r[i : i + 1], "logits")[0], together[i])
        assert_close(alone.logits[0], found.logits[i])


@pytest.mark.covering
@toys
@devices
@pytest.mark.parametrize("method", METHODS[:2])
def test_float32_agrees_with_float64(toy, device, method):
    """Where no pool is nearly empty: a pool of rounding errors is another matrix."""
    exact = chain(toy, method, stabiliser=1e-3)
    single = chain(toy, method, stabiliser=1e-3, dtype=torch.float32, device=device)
    assert single.logits.dtype == torch.float32
    r = vectors(exact, "logits")
    assert_close(single.down(r, "logits"), exact.down(r, "logits"), 1e-4)
    h = vectors(exact, INPUT)
    assert_close(single.up(h, INPUT, "logits"), exact.up(h, INPUT, "logits"), 1e-4)
    assert single.double().dtype == torch.float64
    assert exact.double() is exact


# ---------------------------------------------------------------- bad input


def test_wrong_images_are_refused():
    with pytest.raises(InputError, match=r"the network takes \(2, 6, 7\)"):
        RelevanceChain(graph("small vgg"), torch.zeros(1, 2, 7, 6))
    with pytest.raises(InputError, match="the network takes"):
        RelevanceChain(graph("small vgg"), torch.zeros(6, 7))
    broken = images()
    broken[0, 0, 0, 0] = torch.nan
    with pytest.raises(InputError, match="NaN"):
        RelevanceChain(graph("small vgg"), broken)


def test_wrong_vectors_are_refused():
    found = chain("small vgg")
    with pytest.raises(InputError, match=r"2 images, .*5\), not \(1, 3, 5\)"):
        found.down(torch.zeros(1, 3, 5), "logits")
    with pytest.raises(InputError, match=r"not \(2, 3, 4\)"):
        found.down(torch.zeros(2, 3, 4), "logits")
    with pytest.raises(InputError, match="vectors at 'input'"):
        found.up(torch.zeros(2, 3, 2, 6, 6), INPUT, "logits")


def test_wrong_layers_are_refused():
    found = chain("nested branches")
    r = vectors(found, "logits")
    with pytest.raises(InputError, match="no layer 'conv9'"):
        found.down(r, "conv9")
    with pytest.raises(InputError, match="no layer 'conv9'"):
        list(found.sweep({"logits": r}, "conv9"))
    with pytest.raises(InputError, match="is not below"):
        found.down(vectors(found, "b"), "b", "logits")
    with pytest.raises(InputError, match="is not below"):
        found.up(vectors(found, "d"), "d", "c")
    with pytest.raises(InputError, match="is not below"):
        found.as_matrix("c", "d")


def test_wrong_units_and_images_are_refused():
    found = chain("small vgg")
    for units in ([], [-1], [5]):
        with pytest.raises(InputError, match="0 to 4"):
            found.columns("logits", units)
    with pytest.raises(InputError, match="images 0 to 1"):
        found.as_matrix("logits", image=2)


def test_matrices_too_large_are_refused():
    huge = trace(torch.nn.Conv2d(3, 8, 3, padding=1), (3, 96, 96))
    with pytest.raises(InputError, match="use linear_operator"):
        RelevanceChain(huge, torch.zeros(1, 3, 96, 96)).as_matrix("logits")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dtype": torch.int32}, "dtype must be torch.float32 or torch.float64, not torch.int32"),
        ({"dtype": "float64"}, "dtype must be torch.float32 or torch.float64, not float64"),
        ({"device": "nowhere"}, "device 'nowhere' is not available"),
        ({"device": "cuda:99"}, "device 'cuda:99' is not available"),
    ],
)
def test_a_place_that_there_is_not_gets_one_line(options, said):
    with pytest.raises(InputError, match=said) as caught:
        RelevanceChain(graph("small vgg"), images(1), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(2, 30, 40), (2, 40, 30), (3, 4, 40), (1, 1, 1)])
def test_leading_squares_are_those_of_the_singular_values(shape):
    """By Lanczos's method, with dead rows and columns, and of fewer values than are asked for."""
    P = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    P[:, 2:5], P[..., 3:9] = 0, 0
    exact = torch.linalg.svdvals(P).square()
    squares, rest = leading_squares(P, 6)
    assert squares.shape == (shape[0], 6)
    known = min(6, exact.shape[1])
    torch.testing.assert_close(squares[:, :known], exact[:, :known], rtol=1e-10, atol=1e-12)
    assert not squares[:, known:].any()
    torch.testing.assert_close(rest, exact[:, known:].sum(1), rtol=1e-9, atol=1e-10)
