"""A network by where it is made: a module's or a file's factory, in Python and at the command line."""

from __future__ import annotations

import pytest
import torch

import conetheory as ct
from conetheory.cli import main
from conetheory.errors import InputError
from conetheory.results.dataset import Result

MINE = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()

ready = net()

def fails():
    raise RuntimeError("no data here")

def number():
    return 7
"""
SHAPE = (3, 8, 8)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with a module of the caller's, in which the command is run."""
    (tmp_path / "mine_of_factory_tests.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("where", ["mine_of_factory_tests", "mine_of_factory_tests.py"])
@pytest.mark.parametrize("what", ["net", "ready"])
def test_what_it_makes_is_the_network(where, what):
    network = ct.networks.load(f"{where}:{what}", input_shape=SHAPE)
    assert network.name == what
    found = network.graph.forward(torch.ones(1, *SHAPE))
    held = ct.networks.load("mine_of_factory_tests.py:net", input_shape=SHAPE)
    assert torch.equal(found, held.graph.forward(torch.ones(1, *SHAPE)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine_of_factory_tests:other", "mine_of_factory_tests has no 'other'"),
        ("nowhere.py:net", "there is no file 'nowhere.py'"),
        ("no_such_module:net", "no_such_module:net can't be made: No module named 'no_such_module'"),
        ("mine_of_factory_tests:fails", "mine_of_factory_tests:fails can't be made: no data here"),
        ("mine_of_factory_tests:number", "mine_of_factory_tests:number makes a int, and no nn.Module"),
    ],
)
def test_refusals(name, message):
    with pytest.raises(InputError) as caught:
        ct.networks.load(name, input_shape=SHAPE)
    assert str(caught.value) == message


def test_its_size_is_asked_for():
    with pytest.raises(InputError, match="does not say at what shape"):
        ct.networks.load("mine_of_factory_tests:net")


def test_a_command_takes_one(capsys):
    asked = ["csc", "mine_of_factory_tests.py:net", "--limit", "1", "--vectors", "2"]
    assert main([*asked, "--input-shape", "3,8,8", "--name", "trial 1"]) == 0
    assert Result.load("out/csc-trial 1/comparison.nc").dataset.attrs["network"] == "trial 1"
    capsys.readouterr()
    assert main([*asked, "--input-shape", "3,8"]) == 2
    assert "--input-shape takes C,H,W" in capsys.readouterr().err
