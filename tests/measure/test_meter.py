"""CSC: golden cases, the pooling, and what results must not depend on."""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.measure import histogram
from conetheory.measure.meter import QUANTILES, CscMeter, draw, local_deficits, measure_csc
from conetheory.networks import trace
from conetheory.networks.graph import INPUT
from conetheory.theory.cosine import random_baseline_deficit
from conetheory.theory.gaussian_law import live_baseline_deficit
from tests.toys import chain, graph, images

CHANNELS, SIDE = 8, 6


def pointwise(weight: Tensor, image: Tensor, dtype: torch.dtype = torch.float64) -> RelevanceChain:
    """A chain of one 1x1 convolution."""
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=False).double()
    layer.weight.data = weight[:, :, None, None].double()
    return RelevanceChain(trace(layer, tuple(image.shape[1:])), image, dtype=dtype)


def positive_images(count: int = 2, channels: int = CHANNELS) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand((count, channels, SIDE, SIDE), generator=generator, dtype=torch.float64) + 0.1


def observed(found: RelevanceChain | list[RelevanceChain], starts: list[str], **options):
    """Every deficit, `{(start, layer, image): (locations, pairs)}`, and the measurement."""
    seen: dict[tuple[str, str, int], Tensor] = {}

    def keep(start: str, layer: str, image: int, deficits: Tensor) -> None:
        seen[start, layer, image] = deficits.clone()

    meter = CscMeter(starts, observe=keep, **options)
    for one in [found] if isinstance(found, RelevanceChain) else found:
        meter.add(one)
    return seen, meter.result().dataset.isel(method=0)


def assert_same(one, other, tolerance: float) -> None:
    """Deficits that agree relative to themselves; of what one lacks, all is dead in the other."""
    assert one
    for key, deficits in one.items():
        torch.testing.assert_close(deficits, other[key], rtol=tolerance, atol=1e-25, equal_nan=True)
    for key in other.keys() - one.keys():
        assert other[key].isnan().all()


# ---------------------------------------------------------------- golden cases


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identical_vectors(dtype):
    """Also scaled and turned around; by an odd factor float32 vectors are identical to its rounding only."""
    r = torch.randn((2, 1, 8, 3, 3), generator=torch.Generator().manual_seed(0), dtype=dtype)
    local, flattened = local_deficits(torch.cat([r, -4 * r, 0.5 * r], 1))
    assert local.shape == (2, 9, 3)
    assert flattened.shape == (2, 3)
    assert local.max() <= 1e-15
    assert flattened.max() <= 1e-15
    if dtype == torch.float64:
        assert not local.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_orthogonal_vectors(dtype):
    r = torch.eye(4, dtype=dtype).view(1, 4, 4, 1, 1).expand(1, 4, 4, 2, 3)
    local, flattened = local_deficits(r)
    assert (local == 1).all()
    assert (flattened == 1).all()


def test_a_chain_of_rank_one_forgets_everything():
    found = measure_csc(pointwise(torch.rand(1, CHANNELS), positive_images()), vectors=5).dataset.isel(
        method=0, start=0
    )
    assert found["measured_deficit_median"].sel(layer=INPUT) < 1e-30
    assert found["measured_deficit_quantile"].sel(layer=INPUT).max() < 1e-30
    assert found["measured_flattened_deficit_median"].sel(layer=INPUT) > 0.1  # the map is not forgotten


def test_an_identity_chain_shows_no_convergence():
    """The deficits at the input are those of the start, and their median is that of chance."""
    identity = pointwise(torch.eye(CHANNELS), positive_images())
    seen, found = observed(identity, ["logits"], vectors=60)
    for image in range(2):
        torch.testing.assert_close(seen["logits", INPUT, image], seen["logits", identity.graph.output, image])
    pairs = 2 * SIDE**2 * 60 * 59 / 2
    assert (found["pairs_pooled"] == pairs).all()
    below = found.sel(layer=INPUT, start="logits")
    median, baseline = below["measured_deficit_median"], below["baseline_deficit"]
    # pairs of one location share vectors, 60 independent ones: 4 standard errors of 2 * 36 * 30 draws
    assert float(median) == pytest.approx(float(baseline), rel=4 * 0.5 / np.sqrt(2 * SIDE**2 * 30))
    assert float(baseline) == random_baseline_deficit(CHANNELS)


def test_dead_locations_are_dropped_and_counted():
    image = positive_images()
    image[0, :, 0, :] = 0  # 6 of 36 locations of one image, 3 of the other
    image[1, :, 2:5, 1] = 0
    seen, found = observed(pointwise(torch.rand(4, CHANNELS) + 0.1, image), ["logits"], vectors=4)
    below = found.sel(layer=INPUT, start="logits")
    assert float(below["dead_fraction"]) == pytest.approx(9 / 72, rel=1e-15)
    assert float(below["pairs_pooled"]) == 63 * 6
    assert seen["logits", INPUT, 0][:6].isnan().all()
    assert seen["logits", INPUT, 0][6:].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_random_vectors_are_those_in_the_live_channels(dtype):
    image = positive_images()
    image[0, 1:, 0, :] = 0  # one channel at 6 of 36 locations of an image
    image[1, :, 2:5, 1] = 0  # none at 3 of the other
    found = measure_csc(pointwise(torch.rand(4, CHANNELS) + 0.1, image, dtype), vectors=4).dataset
    below = found.sel(layer=INPUT).isel(method=0, start=0)
    pairs = np.bincount([1] * 6 + [CHANNELS] * 63)
    assert float(below["live_baseline_deficit"]) == live_baseline_deficit(pairs)
    assert float(below["live_baseline_deficit"]) < float(below["baseline_deficit"])
    above = found.isel(method=0, start=0).sel(layer=found["layer"][0])
    assert float(above["live_baseline_deficit"]) == pytest.approx(float(above["baseline_deficit"]), rel=1e-9)


def test_a_dead_image_gives_nan():
    found = measure_csc(pointwise(torch.rand(4, CHANNELS), positive_images() * 0)).dataset.isel(
        method=0, start=0
    )
    below = found.sel(layer=INPUT)
    assert float(below["dead_fraction"]) == 1
    for name in ("median", "mean", "quantile"):
        assert np.isnan(below[f"measured_deficit_{name}"]).all()
    assert np.isnan(below["measured_flattened_deficit_median"])


def test_deficits_are_those_of_many_digit_arithmetic():
    r = torch.randn((1, 1, 6, 2, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = torch.randn((1, 3, 6, 2, 2), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    r = r + noise * torch.tensor([1e-3, 1e-7, 1e-10], dtype=torch.float64).view(1, 3, 1, 1, 1)
    local, flattened = local_deficits(r)
    for pair, (i, j) in enumerate(itertools.combinations(range(3), 2)):
        for p in range(4):
            exact = _exact_deficit(r[0, i].flatten(1)[:, p], r[0, j].flatten(1)[:, p])
            assert float(local[0, p, pair]) == pytest.approx(exact, rel=1e-10)
        assert float(flattened[0, pair]) == pytest.approx(_exact_deficit(r[0, i], r[0, j]), rel=1e-10)
    single, _ = local_deficits(r.float())
    assert (single - local).abs().max() < 1e-8  # the rounding of the vectors themselves, not of the cosine
    again, _ = local_deficits(r.float().double())
    assert (single - again).abs().max() < 1e-14


def _exact_deficit(x: Tensor, y: Tensor) -> float:
    with mpmath.workdps(60):
        x, y = ([mpmath.mpf(v) for v in t.flatten().tolist()] for t in (x, y))
        dot, xx, yy = (mpmath.fdot(a, b) for a, b in ((x, y), (x, x), (y, y)))
        return float(1 - abs(dot) / mpmath.sqrt(xx * yy))


# ---------------------------------------------------------------- pooling


def test_the_statistics_are_those_of_the_pooled_deficits():
    """Medians and quantiles over pairs x locations x images, means, and the flattened maps."""
    found = chain("small vgg", count=3)
    starts = {"logits": draw((5,), range(3), 12, start="logits", seed=4)}
    flat = {}
    for layer, parts in found.sweep(starts):
        flat[layer] = np.median([_deficits(r.flatten(1)) for r in parts["logits"]])
    seen, dataset = observed(found, ["logits"], vectors=12, seed=4, layers=[INPUT, "0", "5"])
    for layer in (INPUT, "0", "5"):
        pooled = torch.cat([seen["logits", layer, image].flatten() for image in range(3)]).numpy()
        live = pooled[~np.isnan(pooled)]
        one = dataset.sel(start="logits", layer=layer)
        assert float(one["measured_deficit_mean"]) == pytest.approx(live.mean(), rel=1e-12)
        assert float(one["dead_fraction"]) == pytest.approx(np.isnan(pooled).mean())
        quantiles = np.quantile(live, QUANTILES, method="inverted_cdf")
        measured = one["measured_deficit_quantile"].values
        zero = quantiles < 10**histogram.LOWEST  # locations that only one channel reaches
        assert not measured[zero].any()
        error = np.log10(measured[~zero] / quantiles[~zero])
        assert np.abs(error).max() < 1 / histogram.PER_DECADE
        assert float(np.abs(np.log10(one["measured_deficit_median"] / np.median(live)))) < 0.01
        assert float(one["measured_flattened_deficit_median"]) == pytest.approx(flat[layer], rel=1e-9)


def _deficits(vectors: Tensor) -> list[float]:
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    cosine = (unit @ unit.T).abs()
    return [1 - float(cosine[i, j]) for i, j in itertools.combinations(range(len(vectors)), 2)]


@pytest.mark.parametrize("center", [-30.0, -14.0, -5.3, -0.5])
def test_histogram_quantiles_of_smooth_samples(center):
    values = np.minimum(10 ** np.random.default_rng(0).normal(center, 0.4, 20001), 1)
    counts = histogram.pair_histograms(torch.from_numpy(values)[:, None]).numpy()
    assert counts.shape == (1, histogram.BINS)
    assert counts.sum() == 20001
    q = np.array([0.01, 0.2, 0.5, 0.8, 0.99])
    assert np.abs(np.log10(histogram.quantile(counts, q)[0] / np.quantile(values, q))).max() < 0.01


def test_histogram_edge_cases():
    values = torch.tensor([[0.0, 1.0], [1e-40, np.nan], [0.0, 1.0], [1e-3, 1e-3]], dtype=torch.float64)
    zero, one = histogram.pair_histograms(values).numpy()
    assert zero.sum() == 4
    assert one.sum() == 3
    assert histogram.quantile(zero, 0.5) == 0
    assert histogram.quantile(one, 1.0) == 1
    assert histogram.quantile(one, 0.0) == pytest.approx(1e-3, rel=0.04)  # not zero, which was never seen
    assert histogram.quantile(zero, 1.0) == pytest.approx(1e-3, rel=0.04)
    assert np.isnan(histogram.quantile(np.zeros(histogram.BINS), 0.5)).all()
    assert np.isnan(histogram.pair_histograms(values * np.nan).numpy()).sum() == 0


def test_histogram_quantiles_of_cosines_near_zero():
    """Random vectors in many dimensions: the cosine is resolved, not its distance from one alone."""
    cosines = np.abs(np.random.default_rng(0).normal(0, 0.03, 20001))
    counts = histogram.pair_histograms(torch.from_numpy(1 - cosines)[:, None]).numpy()
    q = np.array([0.2, 0.5, 0.8])
    found = 1 - histogram.quantile(counts, 1 - q)[0]
    np.testing.assert_allclose(found, np.quantile(cosines, q), rtol=0.01)


# ---------------------------------------------------------------- what does not matter


def test_batches_do_not_matter():
    whole, _ = observed(chain("nested branches", count=3), ["logits"], vectors=4)
    single = [RelevanceChain(graph("nested branches"), image) for image in images(3)]
    parts, _ = observed(single, ["logits"], vectors=4)
    assert whole.keys() == parts.keys()
    assert_same(whole, parts, 1e-9)


@pytest.mark.parametrize("toy", ["small vgg", "nested branches", "dense block"])
def test_sharing_a_sweep_does_not_matter(toy):
    found = chain(toy, "lrp-alpha2beta1")
    inner = [name for name in found.graph.nodes if name != found.graph.output][1::3]
    together, shared = observed(found, ["logits", *inner], vectors=3)
    for start in ["logits", *inner]:
        alone, dataset = observed(found, [start], vectors=3)
        assert_same(alone, {key: d for key, d in together.items() if key[0] == start}, 1e-8)
        median = dataset["measured_deficit_median"].sel(start=start).dropna("layer")
        both = shared["measured_deficit_median"].sel(start=start, layer=median["layer"])
        np.testing.assert_allclose(both, median, rtol=0.01)


def test_float32_measures_the_same():
    exact, _ = observed(chain("small vgg"), ["logits"], vectors=4)
    single, _ = observed(chain("small vgg", dtype=torch.float32), ["logits"], vectors=4)
    for key, deficits in exact.items():
        torch.testing.assert_close(single[key], deficits, rtol=1e-3, atol=1e-6, equal_nan=True)


def test_draws_depend_on_seed_image_and_start_alone():
    one = draw((3, 2, 2), [0, 1], 4, start="logits", seed=0)
    assert one.shape == (2, 4, 3, 2, 2)
    assert torch.equal(one[1:], draw((3, 2, 2), [1], 4, start="logits", seed=0))
    assert torch.equal(
        draw((3, 2, 2), [1], 4, start="logits", seed=0, distribution="nonnegative"), one[1:].abs()
    )
    for other in (
        draw((3, 2, 2), [0, 1], 4, start="logits", seed=1),
        draw((3, 2, 2), [0, 1], 4, start="fc1", seed=0),
        draw((3, 2, 2), [2, 3], 4, start="logits", seed=0),
    ):
        assert not torch.isclose(one, other).any()
    many = draw((1000,), [0], 100, start="logits", seed=0)
    assert float(many.mean()) == pytest.approx(0, abs=4 / np.sqrt(1e5))
    assert float(many.var()) == pytest.approx(1, abs=4 * np.sqrt(2 / 1e5))


def test_nonnegative_starts_lie_in_the_orthant():
    """Their cosines are nonnegative, and larger than those of Gaussian ones."""
    found = chain("small vgg")
    gaussian, nonnegative = (
        measure_csc(found, vectors=10, distribution=d)
        .median("measured_deficit_median")
        .sel(layer=found.graph.output)
        for d in ("gaussian", "nonnegative")
    )
    assert nonnegative < 0.5 < gaussian
    with pytest.raises(InputError, match="distribution"):
        measure_csc(found, distribution="uniform")


# ---------------------------------------------------------------- the band, bad input


def test_every_image_has_its_own_resamples():
    meter = CscMeter(["logits"], vectors=6, bootstrap=200, seed=1)
    weights = meter._weights(0).numpy()
    assert weights.shape == (201, 15)
    assert not np.array_equal(weights, meter._weights(1).numpy())
    np.testing.assert_array_equal(weights, CscMeter(["3"], vectors=6, bootstrap=200, seed=1)._weights(0))


def test_the_band_is_around_the_plain_median():
    found = chain("small vgg")
    plain = measure_csc(found, vectors=8).dataset
    banded = measure_csc(found, vectors=8, bootstrap=60).dataset
    for name in ("measured_deficit_median", "measured_deficit_mean", "measured_deficit_quantile"):
        np.testing.assert_array_equal(plain[name], banded[name])
    assert np.isnan(plain["measured_band"]).all()
    low, high = (banded["measured_band"].sel(side=side) for side in ("lower", "upper"))
    inside = (low <= banded["measured_deficit_median"]) & (banded["measured_deficit_median"] <= high)
    assert inside.all()
    assert (low < high).where(banded["measured_deficit_median"] > 0, True).all()


@pytest.mark.parametrize("vectors", [-1, 0, 1])
def test_pairs_need_two_vectors(vectors):
    with pytest.raises(InputError, match="at least 2"):
        measure_csc(chain("small vgg"), vectors=vectors)


def test_nothing_measured_is_an_error():
    with pytest.raises(InputError, match="nothing was measured"):
        CscMeter(["logits"]).result()


def test_unknown_layers_are_refused():
    with pytest.raises(InputError, match="no layer 'fc9'"):
        measure_csc(chain("small vgg"), "fc9")
    with pytest.raises(InputError, match="no layer 'conv9'"):
        measure_csc(chain("small vgg"), layers=["conv9"])


@pytest.mark.parametrize("channels", [2, 3, 10, 100])
def test_the_baseline_is_what_random_vectors_have(channels):
    x, y = np.random.default_rng(0).standard_normal((2, 20000, channels))
    cosine = np.abs((x * y).sum(1)) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    q = random_baseline_deficit(channels)
    assert np.mean(1 - cosine <= q) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(20000))
    assert 1 - cosine.mean() == pytest.approx(
        random_baseline_deficit(channels, None), abs=4 * 0.31 / np.sqrt(20000)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_relevance_that_overflows_is_an_error_and_not_dead(dtype):
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Flatten(), nn.Linear(12, 4))
    network = network.to(torch.float64)
    for layer in (network[0], network[2]):
        layer.weight.data *= 1e30 if dtype == torch.float32 else 1e200
    images = torch.full((1, 2, 2, 2), 1e-30 if dtype == torch.float32 else 1e-200, dtype=torch.float64)
    graph = trace(network, (2, 2, 2)).to(dtype=torch.float64)
    chain = RelevanceChain(graph, images, "gradient", dtype=dtype)
    with pytest.raises(InputError, match=r"overflows|not finite"):
        measure_csc(chain, vectors=3)
