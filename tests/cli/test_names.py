"""Names at the command line: understood, refused before anything slow, and never cut."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conetheory.cli import main
from conetheory.cli.compare import failed
from conetheory.errors import InputError
from conetheory.results.comparison import compare as laid_over
from conetheory.results.dataset import Result
from conetheory.rules.names import canonical, refuse_unknown_method, written
from conetheory.rules.registry import entries, find, get_method
from tests.report import folders

ROOT = Path(__file__).parents[2]
FORBID = "import sys; sys.modules['torch'] = None; from conetheory.cli import main; sys.exit(main({}))"


def test_the_names_that_are_read_are_those_of_the_registry():
    known = {name for entry in entries().values() for name in (entry.name, *entry.aliases)}
    made = {
        name for name in known if canonical(name).startswith("lrp-alpha")
    }  # of a pattern, not written out
    assert known - made <= set(written())
    for name in known:
        refuse_unknown_method(name)
        assert find(name).name


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("z+", "lrp-alpha1beta0"),
        ("Z-Plus", "lrp-alpha1beta0"),
        ("LRP_zplus", "lrp-alpha1beta0"),
        ("alpha2-beta1", "lrp-alpha2beta1"),
        ("LRP-Alpha2Beta1", "lrp-alpha2beta1"),
        ("alpha1.5beta0.5", "lrp-alpha1.5beta0.5"),
        ("Guided_Backprop", "guided-backprop"),
        ("LRP-Z", "lrp-0"),
    ],
)
def test_what_is_typed_is_understood(typed, meant):
    refuse_unknown_method(typed)
    assert get_method(typed).name == meant


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("lrp-zplsu", "did you mean 'lrp-zplus'"), ("qqq", "`conetheory methods` lists them")],
)
def test_what_is_not_is_refused_with_what_is_near(typed, hint):
    with pytest.raises(InputError, match=f"unknown method {typed!r}; {hint}"):
        refuse_unknown_method(typed)
    with pytest.raises(InputError, match=f"unknown method {typed!r}; {hint}"):
        find(typed)


@pytest.mark.parametrize(
    "arguments", [["csc", "cifar10_cnn", "--method", "gradeint"], ["methods", "gradeint"]]
)
def test_an_unknown_name_is_refused_without_torch(arguments):
    done = subprocess.run(
        [sys.executable, "-c", FORBID.format(arguments)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 2, done.stderr
    assert "unknown method 'gradeint'; did you mean 'gradient'" in done.stderr


def test_no_name_is_cut_and_a_row_is_a_line_in_a_pipe(capsys):
    assert main(["methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, entry in entries().items():
        (line,) = [text for text in lines if text.split()[1:2] == [name]]
        assert entry.description in line
        assert entry.source in line
    assert main(["theorems"]) == 0
    assert "image-free-blocks" in capsys.readouterr().out


def test_one_method_in_full(capsys):
    assert main(["methods", "z+"]) == 0
    shown = capsys.readouterr().out
    method = get_method("lrp-zplus")
    for text in ("lrp-alpha1beta0", method.description, "stabiliser=0.0", "Bach, Sebastian", "W+ x+ + W- x-"):
        assert text in shown
    assert "no other theory  lrp-alpha1beta0 has no ReLU" in shown
    assert main(["methods", "z+", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["equation"] == method.equation


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "conetheory", "--version"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.startswith("conetheory ")


def test_a_verdict_can_fail_a_build(capsys):
    """Each of the outcomes that are named, case aside; they are named on stderr."""
    found = laid_over(Result(folders.comparison()))
    assert failed(found, []) == failed(found, ["open"]) == 0
    assert failed(found, ["blind", "spatial"]) == 1
    said = capsys.readouterr().err
    assert "lrp-alpha1beta0: only through a spatial weighting" in said
    assert "guided-backprop: does not depend on the decision" in said
    assert "gradient" not in said
    assert main(["csc", "cifar10_cnn", "--fail-if", "lies"]) == 2


@pytest.mark.exhaustive
def test_the_exit_code_is_that_of_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["csc", "cifar10_cnn", "--limit", "1", "--start", "logits", "--method", "z+"]
    assert main([*small, "--fail-if", "blind", "--fail-if", "spatial"]) == 1
    assert main([*small, "--resume", "--fail-if", "blind"]) == 0
