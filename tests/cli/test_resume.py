"""What is taken up again, and what is never replaced."""

from __future__ import annotations

import pytest

from conetheory.cli import main
from conetheory.results.dataset import Result
from conetheory.runs import method as one_method
from tests.cli.commands import CIFAR, QUICK, SMOKE, complaint


@pytest.mark.slow
def test_resume_takes_what_is_there_and_reruns_what_differs(capsys, monkeypatch, tmp_path):
    runs, real = [], one_method.run
    monkeypatch.setattr(one_method, "run", lambda *a, **k: runs.append(a[2]) or real(*a, **k))
    request = ["csc", "cifar10", *QUICK, "--start", "conv2", "--out", str(tmp_path / "out")]
    methods = ["--method", "lrp-zplus", "--method", "lrp-alpha2beta1"]
    assert main([*request, "--method", "lrp-zplus"]) == 0
    assert main([*request, *methods, "--resume", "--json"]) == 0
    assert runs == ["lrp-alpha1beta0", "lrp-alpha2beta1"]
    printed = capsys.readouterr()
    assert "lrp-alpha1beta0: taken from" in printed.err
    assert main([*request, *methods, "--resume", "--seed", "1"]) == 0
    assert runs[2:] == ["lrp-alpha1beta0", "lrp-alpha2beta1"]
    assert "made with other settings" in capsys.readouterr().err
    (tmp_path / "out" / "lrp-alpha1beta0.nc").write_bytes(b"half a file")
    assert main([*request, *methods, "--resume", "--seed", "1"]) == 0
    assert runs[4:] == ["lrp-alpha1beta0"]


@pytest.mark.slow
def test_results_of_another_command_or_network_are_not_replaced(capsys, tmp_path):
    out = ["--out", str(tmp_path / "out")]
    assert main([*CIFAR, "--start", "conv2", *out]) == 0
    kept = (tmp_path / "out" / "comparison.nc").read_bytes()
    capsys.readouterr()
    line = complaint(capsys, "certify", "cifar10_cnn", *SMOKE, *out, "--resume")
    assert "other results (csc, cifar10_cnn, weights 71da48e7e14e)" in line
    assert "--out" in line
    assert "other results (csc, cifar10_cnn, weights 71da48e7e14e)" in complaint(capsys, "demo", *SMOKE, *out)
    assert "other results (csc" in complaint(
        capsys, "csc", "squeezenet1_1", "--weights", "random:0", *QUICK, *out
    )
    assert "other results (csc" in complaint(capsys, *CIFAR, "--weights", "random:1", *out)
    assert (tmp_path / "out" / "comparison.nc").read_bytes() == kept
    assert main([*CIFAR, "--start", "conv2", *out, "--method", "lrp-alpha2beta1"]) == 0
    assert (tmp_path / "out" / "lrp-alpha1beta0.nc").is_file()
    assert main(["explain", "cifar10_cnn", "--limit", "1", *out]) == 0  # has files of its own
    Result(Result.load(tmp_path / "out" / "maps.nc").dataset.drop_attrs()).save(tmp_path / "out" / "maps.nc")
    capsys.readouterr()
    again = "explain", "cifar10_cnn", "--limit", "1", *out
    assert "maps.nc holds other results:" in complaint(capsys, *again)
    for text in ("[]", "3", "{bad", '{"command": 3}'):  # of another program
        foreign = Result.load(tmp_path / "out" / "maps.nc").dataset.assign_attrs(settings=text)
        Result(foreign).save(tmp_path / "out" / "maps.nc")
        assert "maps.nc holds other results" in complaint(capsys, *again)


@pytest.mark.slow
def test_other_settings_of_the_same_command_replace_with_a_note(capsys, tmp_path):
    request = ["explain", "cifar10_cnn", "--limit", "1", "--out", str(tmp_path / "out")]
    assert main(request) == 0
    assert main(request) == 0
    assert "replaced" not in capsys.readouterr().err
    assert main([*request, "--target", "cat"]) == 0
    assert "maps-lrp-alpha1beta0.nc was made with other settings; it is run" in capsys.readouterr().err


@pytest.mark.slow
def test_resume_sees_another_version_and_what_is_in_a_file(capsys, monkeypatch, tmp_path):
    from conetheory.networks import bundled_images, load
    from conetheory.rules.fitted_patterns import fit_patterns

    network, file = load("cifar10_cnn"), tmp_path / "patterns.safetensors"
    images = bundled_images(network, 2).tensor
    fit_patterns(network, images[:1]).save(file)
    request = [*CIFAR, "--start", "conv2", "--method", "pattern-net", "--set", f"patterns={file}", "--resume"]
    assert main(request) == 0
    assert main(request) == 0
    assert "taken from" in capsys.readouterr().err
    fit_patterns(network, images).save(file)
    assert main(request) == 0
    assert "other settings" in capsys.readouterr().err
    monkeypatch.setattr("conetheory.runs.store.__version__", "0.0.0")
    assert main(request) == 0
    assert "other settings" in capsys.readouterr().err


def test_an_interruption_leaves_one_line(capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(one_method, "run", interrupted)
    assert main([*CIFAR, "--start", "conv2"]) == 130
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("conetheory: interrupted")
