"""Inputs of other kinds than usual: right, or one clear line."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from conetheory.cli import main
from conetheory.errors import InputError
from conetheory.measure import CscMeter, measure_csc
from conetheory.saliency.explain import explain, one_hot
from conetheory.saliency.pictures import class_index
from tests.report import folders
from tests.toys import chain

ROOT = Path(__file__).parents[1]


ENCODINGS = ("ascii", "utf-8", "cp1252", "latin-1")


def assert_printed(text: str, encoding: str) -> None:
    assert "depends on the" in text
    assert ("●" in text) == (encoding == "utf-8")


@pytest.mark.parametrize("encoding", ENCODINGS[:1])
def test_a_verdict_is_printed_whatever_the_stream_takes(tmp_path, monkeypatch, encoding):
    folders.write(tmp_path, "comparison")
    held = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(held, encoding=encoding))
    assert main(["report", str(tmp_path), "--format", "md"]) == 0
    sys.stdout.flush()
    assert_printed(held.getvalue().decode(encoding), encoding)


@pytest.mark.exhaustive
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_verdict_is_printed_whatever_the_encoding(tmp_path, encoding):
    """By a process of its own."""
    folders.write(tmp_path)
    command = [sys.executable, "-m", "conetheory.cli", "report", str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, cwd=ROOT, env=os.environ | {"PYTHONIOENCODING": encoding}
    )
    assert done.returncode == 0, done.stderr
    assert_printed(done.stdout.decode(encoding), encoding)


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.int16, torch.int64])
def test_class_indices_of_any_whole_dtype(dtype):
    found = chain("small vgg")
    targets = torch.tensor([[1], [0]])
    torch.testing.assert_close(one_hot(found.logits, targets.to(dtype)), one_hot(found.logits, targets))


@pytest.mark.parametrize("targets", [torch.tensor([[0.5], [1.0]]), torch.tensor([[True], [False]])])
def test_class_indices_are_whole_numbers(targets):
    found = chain("small vgg")
    with pytest.raises(InputError, match="class indices, whole numbers"):
        explain(found.network, found.images, "gradient", targets)


def test_an_index_below_zero_is_no_class():
    found = chain("small vgg")
    assert class_index(found.network, np.int64(1)) == 1
    with pytest.raises(InputError, match="class -1 is not one of the classes 0 to"):
        class_index(found.network, -1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": -1}, "a seed is a whole number from 0 on, not -1"),
        ({"seed": None}, "a seed is a whole number from 0 on, not None"),
        ({"vectors": 2.5}, "vectors, of which pairs are compared, must be a whole number, not 2.5"),
    ],
)
def test_counts_and_seeds_are_checked(options, words):
    with pytest.raises(InputError, match=words):
        measure_csc(chain("small vgg"), **options)


def test_a_measurement_starts_somewhere():
    with pytest.raises(InputError, match="needs a start layer"):
        CscMeter([])


def test_vectors_may_be_arrays():
    found = chain("small vgg", count=1)
    r = np.random.default_rng(0).standard_normal((1, 2, *found.shape("logits")))
    torch.testing.assert_close(found.down(r, "logits"), found.down(torch.from_numpy(r), "logits"))
    with pytest.raises(InputError, match="a tensor or an array, not list"):
        found.down([1.0], "logits")
