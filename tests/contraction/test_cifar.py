"""Every number of rates on the CIFAR-10 network with its real weights, against the textbook's matrices.

In float64. The quick part has the operations whose matrices are small; the whole network is exhaustive.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.sparse.linalg import svds
from scipy.spatial.distance import pdist

from conetheory import networks
from conetheory.chain.operation import Operation, is_own
from conetheory.chain.relevance import RelevanceChain
from conetheory.contraction import Rates, rates
from conetheory.contraction.ritz import RTOL
from conetheory.contraction.study import Survey
from conetheory.contraction.vectors import probes
from conetheory.measure.meter import draw, local_deficits
from conetheory.predict.walk import Walk, flat_chain
from tests.contraction.textbook import Textbook, autograd_columns

QUICK = ("fc6", "pool2")
exhaustive = pytest.mark.exhaustive
OPERATIONS = ("fc6", "fc5", "pool2", "conv4", "conv3", "pool1", "conv2", "conv1")
each = pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=exhaustive) for n in OPERATIONS]
)
below_a_map = pytest.mark.parametrize("name", [pytest.param(n, marks=exhaustive) for n in OPERATIONS[3:]])


@cache
def chain() -> RelevanceChain:
    network = networks.load("cifar10_cnn")
    return RelevanceChain(network, networks.load_images(None, network, 1).tensor, dtype=torch.float64)


@cache
def textbook() -> Textbook:
    return Textbook(chain())


@cache
def operation(name: str) -> Operation:
    return next(Operation.of(chain(), n, m) for n, m in chain().crossed("logits") if n.name == name)


@cache
def everything() -> Rates:
    return rates(chain(), passes=math.inf)


def record(name: str) -> dict[str, Any]:
    return next(r for r in everything().records if r["layer"] == name)


@cache
def own(name: str) -> dict[str, Any]:
    """What an operation's matrix says by itself."""
    node, local = next((n, m) for n, m in chain().crossed("logits") if n.name == name)
    return Survey(chain(), "logits")._operation(node, local).as_json()


@cache
def so_far() -> dict[str, np.ndarray]:
    """C from the logits down to what each operation hands down to: products of textbook matrices."""
    found, C = {"": np.eye(10)}, np.eye(10)
    for name in OPERATIONS:
        C = textbook()[name] @ C
        found[name] = C
    return found


def above(name: str) -> str:
    return OPERATIONS[OPERATIONS.index(name) - 1] if name != OPERATIONS[0] else ""


# ---------------------------------------------------------------- the matrix


def test_the_operations_are_the_networks():
    assert tuple(n.name for n, _ in chain().crossed("logits") if is_own(n)) == OPERATIONS


@each
def test_the_matrix_is_the_textbooks(name):
    """Every column of a small matrix, some of a large one, and all of it at once by random vectors."""
    M, found = textbook()[name], operation(name)
    assert found.shape == M.shape
    units = np.unique(np.linspace(0, M.shape[1] - 1, 20).astype(int))
    np.testing.assert_allclose(found.columns(units).numpy(), M[:, units].toarray(), atol=1e-13)
    for down, shape in ((True, M.shape[1]), (False, M.shape[0])):
        x = torch.randn((shape, 4), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        expected = (M if down else M.T) @ x.numpy()
        np.testing.assert_allclose((found.down if down else found.up)(x).numpy(), expected, atol=1e-11)


@pytest.mark.parametrize(
    "name", ["fc6", pytest.param("fc5", marks=exhaustive), pytest.param("conv3", marks=exhaustive)]
)
def test_columns_are_those_of_autograd(name):
    units = np.unique(np.linspace(0, operation(name).shape[1] - 1, 10).astype(int))
    expected = autograd_columns(*textbook().inputs[name], units)
    np.testing.assert_allclose(operation(name).columns(units).numpy(), expected, atol=1e-13)


@each
def test_size_density_signs_and_sums(name):
    M, r = textbook()[name], own(name)
    assert (r["rows"], r["columns"]) == M.shape
    assert r["density"]["side"] == "exact"
    assert r["density"]["value"] * M.shape[0] * M.shape[1] == pytest.approx(M.nnz, abs=1e-3)
    assert r["nonnegative"] == (M.data.min() >= 0)
    sums = np.asarray(M.sum(axis=0)).ravel()
    off = np.abs(sums[sums > 0] - 1).max()
    assert r["sum_error"]["value"] == pytest.approx(off, abs=1e-11)


@each
def test_columns_meet_or_a_witness_says_no(name):
    M, r = textbook()[name], own(name)["scrambling"]
    assert r["side"] == "exact"
    live = np.flatnonzero(np.asarray(M.sum(axis=0)).ravel() > 0)
    if r["value"]:
        P = (M[:, live] > 0).astype(np.float32)
        assert (P.T @ P).toarray().min() > 0
    else:
        j, k = (M[:, [column]].toarray() > 0 for column in r["witness"])
        assert j.any()
        assert k.any()
        assert not (j & k).any()


@each
def test_birkhoff(name):
    M, r = textbook()[name], own(name)["birkhoff"]
    rows, columns = (np.asarray(M.sum(axis=axis)).ravel() > 0 for axis in (1, 0))
    assert r["diameter"]["side"] == r["coefficient"]["side"] == "exact"
    assert (r["diameter"]["value"] == "inf") == (M.nnz < rows.sum() * columns.sum())
    if r["diameter"]["value"] != "inf":
        expected = diameter(M[rows][:, columns].toarray())
        assert r["diameter"]["value"] == pytest.approx(expected)
        assert r["coefficient"]["value"] == pytest.approx(math.tanh(expected / 4))
    else:
        assert r["coefficient"]["value"] == 1


@each
def test_dobrushin(name):
    M, r = textbook()[name], own(name)
    assert r["tau_1"]["side"] == "exact"
    if r["scrambling"]["value"]:
        columns = M[:, np.asarray(M.sum(axis=0)).ravel() > 0].toarray()
        assert r["tau_1"]["value"] == pytest.approx(pdist(columns.T, "cityblock").max() / 2)
    else:  # two columns without a common row, which the test above looks at, are 2 apart
        assert r["tau_1"]["value"] == pytest.approx(1)


@each
def test_singular_values_are_enclosed(name):
    M, r = textbook()[name], own(name)["sigma"]["layer"]
    first = svds(M, k=1, return_singular_vectors=False)[0]
    values = np.sort(svds(M, k=min(6, min(M.shape) - 1), return_singular_vectors=False))[::-1] / first
    assert r["lower"] <= values[1] * (1 + 1e-9)
    assert values[1] <= r["upper"] * (1 + 1e-9)
    assert r["lower"] * (1 - 1e-12) <= r["value"] <= r["upper"] * (1 + 1e-12)
    if r["residual"] < 0.05:
        assert np.abs(values - r["value"]).min() <= r["residual"] + 1e-9


# ---------------------------------------------------------------- the chain so far


@exhaustive
@pytest.mark.parametrize("name", OPERATIONS)
def test_ratios_and_exponents_of_the_chain(name):
    r, C, before = record(name), so_far()[name], so_far()[above(name)]
    values = np.linalg.svd(C, compute_uv=False)
    one = r["sigma"]["whole"]
    assert np.abs(values / values[0] - one["value"]).min() <= one["residual"] + 2 * RTOL
    if one["reached"]:
        assert one["value"] == pytest.approx(values[1] / values[0], abs=2 * RTOL)
    Q = np.linalg.qr(probes(chain(), 10, 3, 0).numpy())[0]
    sizes, sizes_above = (np.log(np.linalg.svd(part @ Q, compute_uv=False)) for part in (C, before))
    np.testing.assert_allclose(r["lyapunov"]["log_singular_values"][0], sizes, atol=1e-6)
    gap, gap_above = (part[0] - part[1] for part in (sizes, sizes_above))
    assert r["lyapunov"]["gap"]["value"] == pytest.approx(gap, abs=1e-6)
    assert r["lyapunov"]["value"] == pytest.approx(gap - gap_above, abs=1e-6)
    assert r["lyapunov"]["side"] == "estimate"


@exhaustive
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_location_and_its_shortest_bounded_block(name):
    """P_p from every cut above, by textbook matrices; the first without zeros among what is alive."""
    r = record(name)
    found, (layer,) = r["birkhoff"]["block"], r["below"]
    shape = chain().shape(layer)
    p = np.arange(shape[0]) * math.prod(shape[1:]) + found["location"]
    values = np.linalg.svd(so_far()[name][p], compute_uv=False)
    one = r["sigma"]["location"]
    assert np.abs(values / values[0] - one["value"]).min() <= one["residual"] + 2 * RTOL
    P = textbook()[name][p]
    for top in (name, *reversed(OPERATIONS[: OPERATIONS.index(name)])):
        if top != name:
            P = P @ textbook()[top]
        alive = so_far()[above(top)].sum(1) > 0
        on = P.toarray()[:, alive]
        on = on[on.any(1)]
        on = on[:, on.any(0)]
        if (on > 0).all():
            break
    else:
        assert found["top"] is None
        return
    assert found["top"] == chain().graph.resolve(top)
    assert found["certain"]
    assert (found["live_channels"], found["arriving_units"]) == on.shape
    if on.shape[0] * on.shape[1] <= 2**20:
        assert found["diameter"]["value"] == pytest.approx(diameter(on), rel=1e-9, abs=1e-9)
        assert found["coefficient"]["value"] == pytest.approx(math.tanh(diameter(on) / 4), rel=1e-9, abs=1e-9)


@exhaustive
@pytest.mark.parametrize("name", OPERATIONS)
def test_decades_that_are_lost(name):
    """The median over locations and pairs of the very vectors that are measured."""
    v = draw((10,), [0], 10, start="logits", seed=0)[0].double().numpy()
    medians = []
    for C, layer in ((so_far()[above(name)], name), (so_far()[name], record(name)["below"][0])):
        shape = chain().shape(layer)
        r = torch.from_numpy((C @ v.T).T.copy()).reshape(1, 10, *shape)
        medians.append(np.nanmedian(local_deficits(r)[0]))
    found = record(name)["decades_lost"]["measured"]
    assert found["side"] == "measured"
    assert found["value"] == pytest.approx(math.log10(medians[0] / medians[1]), abs=0.02)


# ---------------------------------------------------------------- locations


@below_a_map
def test_mixing_of_locations(name):
    M, r = textbook()[name], record(name)["mixing"]["chain"]
    c = so_far()[above(name)] @ (so_far()["conv1"].sum(0))
    above_shape, below_shape = operation(name).node.shape, operation(name).shapes[0]
    arrived = _by_place(_by_place(M @ sparse.diags_array(c), below_shape).T, above_shape)  # (above, below)
    size = arrived.sum(0)
    live = size > 0
    t = arrived[:, live] / size[live]
    w = np.full(live.sum(), 1 / live.sum())
    weights = t @ w
    kept = weights > 0
    scaled = (t[kept] / np.sqrt(weights[kept])[:, None]) * np.sqrt(w)
    scaled -= np.outer(np.sqrt(weights[kept]), np.sqrt(w))
    expected = np.linalg.svd(scaled, compute_uv=False)[0]
    assert r["side"] == "lower"
    assert expected * (1 - 1e-2) <= r["value"] <= expected * (1 + 1e-9)


def _by_place(M: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Rows of a matrix over (channels, locations), summed over the channels."""
    places = math.prod(shape[1:])
    add = sparse.csr_array(sparse.kron(np.ones((1, shape[0])), sparse.eye_array(places)))
    found = add @ M
    return found.toarray() if sparse.issparse(found) else found


@below_a_map
@pytest.mark.parametrize("flat", [False, True], ids=["of the image", "flat"])
def test_steps_of_the_walk(name, flat):
    """Variance within and between channels of where M's entries, weighted by c, come from."""
    made = _flat_textbook() if flat else textbook()
    C = {"": np.eye(10)}
    for one in OPERATIONS:
        C[one] = made[one] @ C[above(one)]
    c = C[above(name)] @ C["conv1"].sum(0)
    height, width = operation(name).node.shape[1:]
    row, column = np.divmod(np.arange(height * width), width)
    channels = operation(name).node.shape[0]
    moments = [np.tile(f, channels) * c for f in (np.ones(row.shape), column, row, column**2, row**2)]
    below_shape = operation(name).shapes[0]
    m, X, Y, XX, YY = ((made[name] @ v).reshape(below_shape[0], -1) for v in moments)
    length = (m**2).sum(0)
    live = length > 0
    variances = []
    for first, second in ((X, XX), (Y, YY)):
        mean = (m * first).sum(0)[live] / length[live]
        whole = (m * second).sum(0)[live] / length[live] - mean**2
        between = ((first[:, live] - mean * m[:, live]) ** 2).sum(0) / length[live]
        variances.append((whole - between, between))
    pixel = chain().shape("pool2")[1] / height
    found = record(name)["walk" if flat else "origin"]
    for key, parts in zip(("variance_added", "variance_injected"), zip(*variances, strict=True), strict=True):
        assert found[key]["side"] == ("estimate" if flat else "exact")
        assert found[key]["value"] == pytest.approx(np.mean(parts) * pixel**2, rel=1e-6, abs=1e-9)


@cache
def _flat_textbook() -> Textbook:
    return Textbook(flat_chain(chain(), Walk("logits").flat(chain())))


def diameter(P: np.ndarray) -> float:
    """The largest |log cross ratio| of a positive matrix, pair by pair of its shorter axis."""
    logs = np.log(P if P.shape[0] <= P.shape[1] else P.T)
    return max(float(np.ptp(logs[i] - logs[j])) for i in range(len(logs)) for j in range(i + 1))
