"""The command line: what it prints and writes, and one line and exit code 2 for what a user gets wrong."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from conetheory.cli import app, main
from conetheory.cli.app import COMMANDS
from conetheory.networks.sources import BUNDLED
from conetheory.results.comparison import Comparison
from conetheory.results.dataset import Result
from conetheory.rules import registry
from conetheory.runs import method as one_method
from tests.cli.commands import CIFAR, QUICK, SMOKE, complaint


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["csc", "vgg17"], "unknown model 'vgg17'"),
        (
            ["csc", "tests.cli.refused:Sorted", "--input-shape", "3,8,8"],
            "no relevance rule for the operation 'sort'",
        ),
        ([*CIFAR, "--start", "conv9"], "no layer 'conv9'"),
        ([*CIFAR, "--start", "input"], "no layer below"),
        ([*CIFAR, "--method", "lrp-alpha1"], "unknown method 'lrp-alpha1'"),
        ([*CIFAR, "--method", "lrp-alpha3beta1"], "alpha - beta must be 1"),
        ([*CIFAR, "--bias", "some"], "bias of lrp-alpha1beta0 must be"),
        ([*CIFAR, "--empty-pool", "some"], "empty_pool of lrp-alpha1beta0 must be"),
        ([*CIFAR, "--stabiliser", "-1"], "stabiliser must be >= 0"),
        ([*CIFAR, "--device", "tpu"], "unknown device 'tpu'"),
        ([*CIFAR, "--device", "cuda:99"], "not available"),
        ([*CIFAR, "--dtype", "float8"], "unknown dtype 'float8'"),
        (["predict", "cifar10_cnn", "--theory", "magic"], "unknown theory 'magic'"),
        ([*CIFAR, "--weights", "IMAGENET1K_V9"], "unknown weights"),
        ([*CIFAR, "--weights", "absent.pth"], "does not exist"),
        ([*CIFAR, "--images", "absent.png"], "does not exist"),
        ([*CIFAR, "--images", ""], "empty"),
        ([*CIFAR, "--vectors", "1"], "--vectors"),
        ([*CIFAR, "--vectors", "many"], "--vectors"),
        ([*CIFAR, "--vectors", str(10**9)], "--vectors"),
        ([*CIFAR, "--limit", "0"], "--limit"),
        ([*CIFAR, "--seed", "-1"], "--seed"),
        ([*CIFAR, "--seed", str(2**64)], "--seed"),
        (["certify", "cifar10_cnn", "--certify-images", "-1"], "--certify-images"),
        (["certify", "cifar10_cnn", "--method", "lrp-zplus", "--method", "occlusion"], "not backpropagated"),
        (["predict", "cifar10_cnn", "--method", "occlusion"], "not backpropagated"),
        (["predict", "cifar10_cnn", "--theory", "mean-field"], "no ReLU on what goes down"),
        (["certify", "cifar10_cnn", "--certify-images", "0"], "--certify-images must be at least 1"),
        (["explain", "cifar10_cnn", "--limit", "0"], "--limit"),
        (["classes", "cifar10_cnn", "--top", "0"], "--top"),
        (["classes", "cifar10_cnn", "--whole", "-1"], "--whole"),
        (["classes", "cifar10_cnn", "--seed", "-1"], "--seed"),
        (["sanity", "cifar10_cnn", "--smooth", "-1"], "--smooth"),
        (["sanity", "cifar10_cnn", "--seed", str(2**64)], "--seed"),
        (["simulate", "--starts", "1"], "--starts"),
        (["simulate", "--starts", str(10**9)], "--starts"),
        (["simulate", "--repeats", "0"], "--repeats"),
        (["simulate", "--seed", "-1"], "--seed"),
        (["theorems", "fermat"], "no theorem 'fermat'"),
        (["simulate", "--matrices", "diagonal"], "unknown variant diagonal"),
        (["simulate", "--conv", "--matrices", "positive"], "--matrices are of dense chains"),
        (["simulate", "--channels", "8"], "--channels is an option of --conv"),
        (["simulate", "--conv", "--dimensions", "3"], "--dimensions"),
        (["simulate", "--conv", "--side", "1"], "--side"),
        (["simulate", "--conv", "--kappa", "-1"], "kappa"),
        (["simulate", "--conv", "--border", "mirror"], '"mirror" for --border'),
        (["dance"], "dance"),
        ([*CIFAR, "extra"], "unexpected argument 'extra'"),
        ([*CIFAR, "--vectors", "2.5"], "--vectors must be a whole number, not '2.5'"),
        ([*CIFAR, "--seed", "1" * 5000], "--seed must be a whole number"),
        ([*CIFAR, "--no-json"], "--no-json"),
        ([*CIFAR, "--empty-method"], "--empty-method"),
        ([*CIFAR, "--options.seed", "1"], "--options.seed"),
        (["csc", "--model", "cifar10_cnn"], "--model"),
        (["sanity", "cifar10_cnn", "--scheme", "shuffle"], '"shuffle" for --scheme'),
        (["sanity", "cifar10_cnn", "--target", "cat"], '"cat" for --target'),
        ([*CIFAR, "--colour"], "--colour"),
        (["csc"], "MODEL"),
    ],
)
def test_bad_requests_get_one_line(capsys, arguments, words):
    assert words in complaint(capsys, *arguments)


def test_weights_that_cannot_be_used(capsys, tmp_path):
    state = load_file(BUNDLED)
    name = next(name for name, tensor in state.items() if tensor.ndim == 4)
    save_file({**state, name: state[name][:, :1].contiguous()}, tmp_path / "misfit.safetensors")
    save_file({**state, name: torch.full_like(state[name], torch.nan)}, tmp_path / "nan.safetensors")
    (tmp_path / "short.safetensors").write_bytes(BUNDLED.read_bytes()[:5000])
    torch.save({k: v[:1] for k, v in state.items()}, tmp_path / "whole.pth")
    (tmp_path / "short.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:300])
    torch.save({**state, name: state[name].to_sparse()}, tmp_path / "sparse.pth")
    expected = {
        "sparse.pth": "is sparse",
        "misfit.safetensors": "does not fit cifar10_cnn",
        "nan.safetensors": "NaN",
        "short.safetensors": "truncated",
        "short.pth": "truncated",
    }
    for file, words in expected.items():
        line = complaint(capsys, *CIFAR, "--weights", str(tmp_path / file))
        assert words in line
        assert file in line


class _Intruder:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_pickle_that_would_run_code_does_not(capsys, tmp_path, save):
    proof = tmp_path / "it-ran"
    save({"conv1.weight": _Intruder(proof)}, tmp_path / "evil.pth")
    assert "would run code" in complaint(capsys, *CIFAR, "--weights", str(tmp_path / "evil.pth"))
    assert not proof.exists()


def test_a_broken_image_is_named(capsys, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    assert "broken.png" in complaint(capsys, *CIFAR, "--images", str(tmp_path / "broken.png"))
    (tmp_path / "none").mkdir()
    assert "holds no images" in complaint(capsys, *CIFAR, "--images", str(tmp_path / "none"))


def test_grey_transparent_and_tiny_images_are_fine_and_broken_ones_in_a_folder_left_out(capsys, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 4), dtype=np.uint8)
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(pixels[..., 0]).save(folder / "grey.png")
    Image.fromarray(pixels).save(folder / "rgba.png")
    Image.fromarray(pixels[:1, :1, :3]).save(folder / "tiny.png")
    (folder / "broken.png").write_bytes(b"no picture")
    assert main(["csc", "cifar10", "--images", str(folder), "--vectors", "2", "--start", "conv2"]) == 0
    printed = capsys.readouterr()
    assert "left out" in printed.err
    assert "broken.png" in printed.err
    assert "2 vectors on each of 3 images" in printed.out


@pytest.mark.exhaustive
def test_results_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").touch()
    assert "can't be written" in complaint(capsys, *CIFAR, "--out", str(tmp_path / "file"))
    (tmp_path / "out" / "simulation.json").mkdir(parents=True)
    quick = ["simulate", "--matrices", "positive", "--starts", "3", "--repeats", "1"]
    assert "simulation.json: Is a directory" in complaint(capsys, *quick, "--out", str(tmp_path / "out"))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 7 EiB for an array"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    ],
)
def test_too_little_memory_is_one_line(capsys, monkeypatch, error):
    def refused(*_, **__):
        raise error

    monkeypatch.setattr(one_method, "run", refused)
    assert "not enough memory" in complaint(capsys, *CIFAR, "--start", "conv2")


@pytest.mark.slow
def test_maps_without_relevance_are_noted(capsys, tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "black.png")
    methods = ["--method", "lrp-zplus", "--method", "gradient"]
    assert main(["explain", "cifar10", "--images", str(tmp_path / "black.png"), *methods]) == 0
    printed = capsys.readouterr().err
    assert "lrp-alpha1beta0: no relevance of predicted reaches the pixels of black.png" in printed
    assert "gradient: no relevance" not in printed


@pytest.mark.exhaustive
def test_what_is_asked_for_twice_is_done_once(capsys):
    """Under one name or under two that mean the same."""
    twice = ["--target", "cat", "--target", "3", "--target", "predicted", "--target", "predicted"]
    assert main(["explain", "cifar10_cnn", "--limit", "1", *twice, "--json"]) == 0
    assert set(*json.loads(capsys.readouterr().out)["explained"].values()) == {"cat", "predicted"}
    twice = ["--layer", "fc6", "--layer", "fc6", "--layer", "logits"]
    assert main(["sanity", "cifar10_cnn", "--limit", "1", *twice, "--json"]) == 0
    assert Result.load("out/sanity-cifar10_cnn/sanity.nc").dataset["layer"].values.tolist() == ["fc6"]
    twice = ["--pair", "3,5", "--pair", "cat,dog"]
    assert main(["classes", "cifar10_cnn", "--limit", "1", *twice, "--json"]) == 0
    assert Result.load("out/classes-cifar10_cnn/classes.nc").dataset["pair"].values.tolist() == ["3-5"]
    assert main([*CIFAR, "--start", "logits", "--start", "output", "--json"]) == 0
    assert Result.load("out/csc-cifar10_cnn/comparison.nc").dataset["start"].values.tolist() == ["logits"]
    twice = ["--matrices", "positive", "--matrices", "positive"]
    assert main(["simulate", *twice, "--starts", "3", "--repeats", "1", "--json"]) == 0


@pytest.mark.exhaustive
def test_json_is_all_there_is_on_stdout(capsys):
    """The summary of what is compared, the layers of what is computed alone."""
    assert (
        main(["compare", "cifar10", *SMOKE, "--start", "conv2", "--theory", "local-spectrum", "--json"]) == 0
    )
    assert set(json.loads(capsys.readouterr().out)) >= {"median_abs_error_decades", "violations"}
    assert main(["csc", "cifar10", *QUICK, "--start", "conv2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(Path("out/csc-cifar10_cnn/comparison.json").read_text())
    assert all(record["measured_deficit_median"] is not None for record in found["layers"])


@pytest.mark.exhaustive
def test_json_of_sanity_and_classes_holds_numbers(capsys):
    assert main(["sanity", "cifar10", "--limit", "1", "--layer", "fc6", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert 0 < record["ssim_median"]["fc6"] <= 1
    assert 0 < record["rank_one_bound"]["fc6"] <= 1
    assert isinstance(record["random_logit_ssim_median"], float)
    request = ["classes", "cifar10", "--limit", "1", "--pair", "cat,dog"]
    assert main([*request, "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert 0 < record["pairs"]["3-5"] <= record["class_distance_worst"]
    assert record["effective_rank"] > 1
    assert 0 < record["movable_share"] < 1


@pytest.mark.slow
def test_predict_and_certify_do_their_part_alone(capsys):
    small = [*SMOKE, "--start", "conv2"]
    assert main(["predict", "cifar10", *small, "--theory", "local-spectrum"]) == 0
    printed = capsys.readouterr().out
    assert "spectrum" in printed
    assert "measured" not in printed
    assert main(["certify", "cifar10", *small]) == 0
    printed = capsys.readouterr().out
    assert "worst" in printed
    assert "0 violations" in printed
    assert "spectrum" not in printed
    assert Path("out/predict-cifar10_cnn/comparison.json").is_file()
    certified = json.loads(Path("out/certify-cifar10_cnn/comparison.json").read_text())
    assert all(record["certified_cos_lower"] is not None for record in certified["layers"])


def test_certificates_that_do_not_apply_say_why(capsys):
    assert main(["certify", "cifar10", *SMOKE, "--method", "lrp-alpha2beta1", "--start", "conv4"]) == 0
    assert "signed matrices" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["methods", "models", "theorems"])
def test_listings(capsys, command):
    assert main([command]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 5
    assert main([command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_one_theorem_in_full(capsys):
    assert main(["theorems", "generators", "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)
    assert entry["id"] == "generators"
    assert main(["theorems", "generators"]) == 0
    printed = capsys.readouterr().out
    assert all(part in printed for part in ("proofs/test_generators.py", "Orlitzky, Michael", "**Proof.**"))


@pytest.mark.slow
def test_simulate_writes_the_figure_and_the_errors(capsys):
    assert main(["simulate", "--matrices", "positive", "--starts", "3", "--repeats", "1", "--json"]) == 0
    assert "positive" in json.loads(capsys.readouterr().out)["errors"]
    assert {p.name for p in Path("out/simulate").iterdir()} == {
        f"simulation.{s}" for s in ("nc", "json", "png")
    }


@pytest.mark.exhaustive
def test_simulate_conv_writes_the_same_files(capsys):
    """Of the grids that were asked for, with a table for the terminal or the errors as JSON."""
    small = ["simulate", "--conv", "--side", "12", "--depth", "4", "--channels", "8", "--repeats", "1"]
    assert main([*small, "--dimensions", "2", "--json"]) == 0
    (zero_mean, positive) = json.loads(capsys.readouterr().out)["chains"]
    assert (zero_mean["starts"], positive["starts"]) == ("zero-mean", "positive")
    assert positive["dimensions"] == 2
    assert {p.name for p in Path("out/simulate").iterdir()} == {
        f"simulation.{s}" for s in ("nc", "json", "png")
    }
    assert main(small) == 0
    printed = capsys.readouterr().out
    assert "12x12" in printed
    assert printed.index("zero-mean") < printed.index("positive")
    assert len(json.loads(Path("out/simulate/simulation.json").read_text())["chains"]) == 4


def test_help_and_version_do_not_import_torch():
    """Nor do the help of every command, and what is wrong with an option."""
    helps = [[name, "-h"] for name in COMMANDS]
    calls = [
        ["--version"],
        ["theorems"],
        ["-h"],
        [],
        *helps,
        ["dance"],
        ["csc"],
        ["csc", "m", "--vectors", "1"],
    ]
    check = f"import sys; from conetheory.cli import main; [main(call) for call in {calls}]"
    check += "; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True)


def test_help_says_every_option_with_its_default(capsys):
    """Options of a group are written flat, each in its panel; flags and empty defaults say none."""
    assert main(["compare", "--help"]) == 0
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "Usage: conetheory compare [OPTIONS] MODEL" in printed
    assert "--vectors K Random vectors per image and start layer. [2 to 10000] [default: 10]" in printed
    assert "[default: lrp-alpha1beta0]" in printed
    assert "--set NAME=VALUE" in printed
    assert not any(word in printed for word in ("--no-", "--empty-m", "None", "False", "()", "--options"))


def test_the_last_of_an_option_given_twice_counts():
    """Of one that holds one value; negative numbers and `--name=value` are values."""
    twice = ["--vectors=5", "--vectors", "3", "--set=a=1", "--set", "b-c=x", "--stabiliser", "-1"]
    command, bound, _ = app.parse_args(["csc", "m", *twice, "--resume"])
    options = bound.arguments["options"]
    assert command is COMMANDS["csc"]
    assert (options.drawing.vectors, options.output.resume, options.output.json) == (3, True, False)
    assert options.methods.parameters == {"stabiliser": -1.0, "a": 1, "b_c": "x"}


@pytest.mark.slow
def test_all_methods_in_one_go(capsys, monkeypatch, tmp_path):
    """What the network does not allow is left out with its reason; the others share a table and a figure."""
    chosen = ["lrp-alpha1beta0", "guided-backprop", "rectgrad", "lrp-epsilon", "pattern-net"]
    monkeypatch.setattr(
        "conetheory.runs.methods.entries", lambda: {name: registry.find(name) for name in chosen}
    )
    request = ["compare", "cifar10_cnn", *SMOKE, "--start", "conv2", "--certify-images", "0"]
    request += ["--out", str(tmp_path / "all")]
    request += ["--theory", "local-spectrum", "--theory", "mean-field"]
    assert main([*request, "--method", "all", "--set", "percentile=90", "--set", "bias=none"]) == 0
    printed = capsys.readouterr()
    assert "pattern-net: left out: " in printed.err
    found = Comparison.load(tmp_path / "all" / "comparison.nc")
    assert list(found.dataset["method"].values) == chosen[:-1]
    assert {"comparison.png", "methods.png", "rectgrad.nc"} <= {p.name for p in (tmp_path / "all").iterdir()}
    assert all(name in printed.out for name in chosen[:-1])
    settings = json.loads(Comparison.load(tmp_path / "all" / "rectgrad.nc").dataset.attrs["settings"])
    assert settings["parameters"] == {"percentile": 90}
    assert np.isfinite(found.median("predicted_mean_field", method="rectgrad")).any()
    assert np.isfinite(found.median("predicted_local_spectrum", method="lrp-epsilon")).any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "percentile"], "NAME=VALUE"),
        (["--set", "percentile=90"], "no parameter 'percentile'"),
        (["--method", "rectgrad", "--set", "percentile=101"], "percentile must be"),
        (
            ["--method", "rectgrad", "--set", "percentile=[1]"],
            "percentile of rectgrad must be a finite number",
        ),
        (["--method", "lrp-gamma", "--set", "gamma=Infinity"], "gamma of lrp-gamma must be a finite number"),
        (["--method", "smoothgrad", "--set", f"seed={'1' * 5000}"], "seed of smoothgrad must be a whole"),
        (["--repro", "icml2021"], "unknown choice 'icml2021'"),
        (["--method", "pattern-net"], "patterns"),
        (["--method", "rectgrad", "--bias", "bach"], "no parameter 'bias'"),
    ],
)
def test_parameters_that_no_method_has(capsys, arguments, words):
    assert words in complaint(capsys, *CIFAR, *arguments)


@pytest.mark.slow
def test_choices_of_the_papers_code_change_the_result(tmp_path):
    medians = []
    for choice in ([], ["--repro", "byte-inputs"], ["--repro", "icml2020"]):
        out = tmp_path / str(len(medians))
        request = [*CIFAR, "--start", "conv2", "--method", "lrp-alpha2beta1", "--out", str(out), "--json"]
        assert main([*request, *choice]) == 0
        medians.append(Comparison.load(out / "comparison.nc").median("measured_deficit_median").values)
    assert not np.allclose(medians[0], medians[1])
    assert not np.allclose(medians[1], medians[2])
