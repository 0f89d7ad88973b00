"""Results: which may be laid over each other, how those of several methods become one, what is no result."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from torch import nn

from conetheory import networks
from conetheory.certify.certificates import certify_csc
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.measure.meter import measure_csc
from conetheory.predict.predictions import predict_csc
from conetheory.results.comparison import Comparison, compare
from conetheory.results.dataset import Certificate, Measurement, Prediction, Result
from conetheory.results.joining import join_methods
from conetheory.rules.described import described
from conetheory.rules.registry import get_method, methods
from conetheory.rules.repro import reproduced
from conetheory.runs.method import run
from conetheory.runs.settings import Settings
from conetheory.saliency.classes import ClassSettings, class_sensitivity
from conetheory.saliency.maps import explain_maps
from conetheory.sanity import SanitySettings, sanity_check
from tests.networks.toys import random_images, seeded


def body() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(16, 6)),
    )


@pytest.fixture(scope="module")
def network():
    return networks.load(seeded(body), input_shape=(2, 6, 6))


def pictures(count: int = 2) -> torch.Tensor:
    return random_images(count, 2, 6, 6, seed=3)


# ---------------------------------------------------------------- compare


@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-gamma"])
def test_results_of_one_network_are_laid_over_each_other(network, method):
    """Of 2 images and of the first of them, in both precisions, from this process and from a file."""
    measured = measure_csc(RelevanceChain(network, pictures(), method), vectors=4)
    one = RelevanceChain(network, pictures(1), method)
    found = compare(measured, predict_csc(one, vectors=4), certify_csc(one.double()))
    assert found.dataset["error_decades_local_spectrum"].notnull().any()
    assert ("certified_deficit_upper" in found.dataset) == (method == "lrp-alpha1beta0")


def test_results_of_other_weights_are_refused(network):
    other = networks.load(seeded(body, 1), input_shape=(2, 6, 6))
    one, two = (RelevanceChain(net, pictures()) for net in (network, other))
    with pytest.raises(InputError, match=r"networks with different weights .* results of one network"):
        compare(measure_csc(one, vectors=2), predict_csc(two, theory="local-spectrum"))


def test_results_of_other_parameters_are_refused(network):
    mild, strong = (
        RelevanceChain(network, pictures(), "lrp-gamma", parameters={"gamma": g}) for g in (0.25, 10.0)
    )
    with pytest.raises(InputError, match=r"lrp-gamma with different parameters: .*=0\.25.* and .*=10\.0"):
        compare(measure_csc(mild, vectors=2), predict_csc(strong, theory="local-spectrum"))
    unknown = Measurement(measure_csc(mild, vectors=2).dataset.drop_vars("rule"))
    other = measure_csc(RelevanceChain(network, pictures(), "gradient"), vectors=2)
    compare(
        join_methods([other, unknown]), predict_csc(strong, theory="local-spectrum")
    )  # nothing is known to differ
    clipped = RelevanceChain(network, pictures(), reproduced("lrp-alpha1beta0", "clip-adds"))
    plain = RelevanceChain(network, pictures(), "lrp-alpha1beta0")
    with pytest.raises(InputError, match="different parameters"):
        compare(measure_csc(clipped, vectors=2), certify_csc(plain))


def test_layers_of_another_network_are_named_as_they_are_written(network):
    measured = measure_csc(RelevanceChain(network, pictures()), vectors=2, layers=["0", "input"])
    with pytest.raises(InputError, match=r"^layer '4' is in one result only"):
        compare(measured, predict_csc(RelevanceChain(network, pictures()), layers=["4", "input"]))


def test_choices_of_the_papers_code_are_told(network):
    settings = Settings(vectors=2, theories=(), certify=0, repro=("signed-bias", "clip-adds"))
    data = run(network, pictures(), "lrp-alpha1beta0", settings).dataset
    assert data.attrs["repro"] == "signed-bias, clip-adds"
    assert data["rule"].item().startswith("ClippedAdds(inner=AlphaBeta(alpha=1.0, beta=0.0, bias='signed'")


def test_rules_are_described_the_same_in_every_run_and_with_all_that_they_hold():
    low = torch.zeros(2)
    texts = [described(get_method("z-box", low=low, high=high).rule) for high in (low + 1, low + 1, low + 2)]
    assert texts[0] == texts[1] != texts[2]
    assert described({"b": len, "a": frozenset("yx")}) == "{a: {'x', 'y'}, b: len}"
    found = [described(method.rule) for method in methods()]
    assert not any("\n" in text or " at 0x" in text for text in found)


# ---------------------------------------------------------------- several methods as one


def test_layers_go_from_the_output_down_whichever_each_result_has(network):
    whole = measure_csc(RelevanceChain(network, pictures()), vectors=2).dataset
    every = [str(layer) for layer in whole["layer"].values]
    parts = [("gradient", every[1::2]), ("lrp-0", every[2:4]), ("lrp-alpha1beta0", every[::4])]
    measured = [
        measure_csc(RelevanceChain(network, pictures(), method), vectors=2, layers=layers)
        for method, layers in parts
    ]
    joined = join_methods(measured).dataset
    assert list(joined["layer"].values) == every
    assert list(joined["depth"].values) == sorted(joined["depth"].values)
    for one, (method, layers) in zip(measured, parts, strict=True):
        found = joined["measured_deficit_median"].sel({"method": method})
        np.testing.assert_array_equal(
            found.sel(layer=layers), one.dataset["measured_deficit_median"].sel(layer=layers)[0]
        )
        assert found.notnull().sum() == 2
    assert joined["baseline_deficit"].notnull().all()
    assert [rule.partition("(")[0] for rule in joined["rule"].values] == ["Gradient", "Epsilon", "AlphaBeta"]


def test_sanity_runs_of_other_layers_keep_their_order(network):
    """Layer 6 is the output; in the order of names it would be the last."""
    one, two = (
        sanity_check(network, pictures(), method, SanitySettings(layers=layers))
        for method, layers in (("gradient", ("0", "2")), ("lrp-alpha1beta0", ("6",)))
    )
    for parts in ([one, two], [two, one]):
        joined = join_methods(parts).dataset
        assert list(joined["layer"].values) == ["6", "2", "0"]
        curve = joined["similarity_median"].sel({"method": "gradient", "layer": ["2", "0"]})
        np.testing.assert_array_equal(curve, one.dataset["similarity_median"][0])
    with pytest.raises(InputError, match=r"which of layers .* is the deeper one is not known"):
        join_methods([one, type(two)(two.dataset.drop_vars("depth"))])


def test_runs_of_other_numbers_of_classes_and_images(network):
    options = {"seed": 0, "whole": 0}
    one = class_sensitivity(network, pictures(1), "gradient", ClassSettings(top=3, ranks=2, **options))
    two = class_sensitivity(network, pictures(2), "lrp-0", ClassSettings(top=4, ranks=3, **options))
    joined = join_methods([one, two]).dataset
    assert joined["top_classes"].sel({"method": "gradient"})[0, 3].isnull()
    assert joined["directions"].sel({"method": "gradient"})[0, 2].isnull().all()
    assert joined["directions"].sizes["rank"] == 3
    assert "top_k" not in joined.attrs
    assert joined.attrs["sampled"] == 24
    np.testing.assert_array_equal(
        joined["movable_share"].values,
        [[one.dataset["movable_share"].item(), np.nan], two.dataset["movable_share"][0]],
    )
    maps = join_methods([explain_maps(network, pictures(n), m) for n, m in ((1, "gradient"), (2, "lrp-0"))])
    assert maps.dataset["picture"].dims == ("image", "y", "x", "rgb")
    assert maps.dataset["picture"].notnull().all()


def test_results_that_are_not_of_one_network_are_not_joined(network):
    larger = networks.load(
        seeded(lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())),
        input_shape=(2, 8, 8),
    )
    one = explain_maps(network, pictures(1), "gradient")
    two = explain_maps(larger, random_images(1, 2, 8, 8), "lrp-0")
    with pytest.raises(InputError, match=r"different sizes along 'y' \(6, 8\)"):
        join_methods([one, two])
    measured = measure_csc(RelevanceChain(network, pictures()), vectors=2)
    turned = Comparison(measured.dataset.isel(layer=slice(None, None, -1)).assign_coords(method=["other"]))
    with pytest.raises(InputError, match="layers in different orders"):
        join_methods([Comparison(measured.dataset), turned])
    with pytest.raises(InputError, match="no results to join"):
        join_methods([])


# ---------------------------------------------------------------- files


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory):
    measured = measure_csc(RelevanceChain(network, pictures()), vectors=2)
    return measured.save(tmp_path_factory.mktemp("results") / "measured.nc")


def test_a_file_is_read_as_what_it_is(saved):
    measured = Measurement.load(saved)
    assert Result.load(saved).dataset.identical(measured.dataset)
    for kind in (Prediction, Certificate, Comparison):
        with pytest.raises(InputError, match=f"measured.nc is of kind 'measurement', not '{kind.kind}'"):
            kind.load(saved)


def test_large_numbers_are_packed_without_loss(saved, tmp_path):
    data = Measurement.load(saved).dataset
    data["large"] = ("image", "layer"), np.tile(data["measured_deficit_mean"].values[0, 0], (4000, 1))
    path = Measurement(data).save(tmp_path / "many.nc")
    assert path.stat().st_size < saved.stat().st_size + data["large"].nbytes / 10
    assert Measurement.load(path).dataset.identical(data)


@pytest.mark.parametrize("size", [0, 100, 20_000])
def test_files_that_are_cut_off(saved, tmp_path, size):
    (tmp_path / "cut.nc").write_bytes(saved.read_bytes()[:size])
    with pytest.raises(InputError, match=r"cut\.nc is no result of conetheory, or damaged: .+$"):
        Result.load(tmp_path / "cut.nc")
    gc.collect()  # nothing half open is left behind that complains when it is freed


@pytest.mark.slow
def test_files_with_wrong_bits(saved, tmp_path):
    """Some bytes are numbers, which can have any value; most are not, and have checksums."""
    content, told = saved.read_bytes(), []
    for place in range(0, len(content), len(content) // 20):
        path = tmp_path / f"{place}.nc"
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        try:
            Result.load(path)
        except InputError as error:
            told.append(str(error))
    gc.collect()
    assert len(told) > 5
    assert not any("\n" in line for line in told)


def test_numbers_are_described_by_their_values_and_not_by_how_they_were_written():
    class Bare:
        pass

    same = [0, 0.0, np.float32(0)], [np.zeros(3), torch.zeros(3, dtype=torch.float64)]
    for values in same:
        assert len({described(value) for value in values}) == 1
    long = np.zeros(5000)
    changed = long.copy()
    changed[2500] = 1
    assert described(long) != described(changed)
    assert described(True) == "True"
    assert described(Bare()) == described(Bare())


def test_results_without_a_start_or_a_method_in_common_are_refused(network):
    chain = RelevanceChain(network, pictures())
    starts = sorted(network.graph.layers[-2:])
    with pytest.raises(InputError, match="no start in common: logits; and"):
        compare(measure_csc(chain, vectors=2), predict_csc(chain, starts[0], theory="local-spectrum"))
    other = RelevanceChain(network, pictures(), "gradient")
    with pytest.raises(InputError, match="no method in common: lrp-alpha1beta0; and gradient"):
        compare(measure_csc(chain, vectors=2), predict_csc(other, theory="local-spectrum"))


def test_a_method_without_a_certificate_is_compared_at_the_asked_layers(network):
    layer = network.graph.layers[1]
    found = run(network, pictures(1), "gradient", Settings(layers=(layer,), vectors=2))
    assert found.dataset["layer"].values.tolist() == [layer]
    assert "signed matrices" in found.not_applicable[0]["reason"]


def test_a_method_is_joined_once(network):
    one = measure_csc(RelevanceChain(network, pictures()), vectors=2)
    with pytest.raises(InputError, match="lrp-alpha1beta0 is in two of the results to join"):
        join_methods([one, one])
