"""Experiments in parts: what shards have made is taken up, and none of it is made again."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from conetheory.errors import InputError
from conetheory.measure.meter import CscMeter
from conetheory.runs.division import Shard
from experiments import paper_csc
from experiments.score_predictions import main

TRUNK = """
from torch import nn

def trunk():
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
"""


@pytest.mark.slow
def test_scores_of_shards_are_the_scores(tmp_path, monkeypatch):
    (tmp_path / "small.py").write_text(TRUNK)
    options = {"method": ["lrp-alpha1beta0"], "theory": ["two-scale", "sampled-spectrum"], "start": "2"}
    options |= {"limit": 3, "seeds": 2, "drawn_seeds": 2, "vectors": 3, "size": 12, "weights": "random:0"}

    def scored(folder: str, **given):
        found = main(f"{tmp_path / 'small.py'}:trunk", **options, **given, out=tmp_path / folder)
        scores = found.get("lrp-alpha1beta0", {})
        return {name: value for name, value in scores.items() if name != "seconds_an_image"}

    whole = scored("whole", kept=tmp_path / "one")
    for number in (2, 3, 1):
        assert scored("parts", kept=tmp_path / "other", shard=f"{number}/3") == {}
    assert not (tmp_path / "parts" / "score-trunk.json").exists()
    monkeypatch.setattr(CscMeter, "add", lambda self, *_, **__: pytest.fail("it was measured already"))
    assert scored("parts", kept=tmp_path / "other", save_every=100) == whole


def test_each_method_is_a_piece_of_one_shard(monkeypatch, capsys):
    done: list[str] = []

    def one_method(case, method):
        done.append(method)
        if method == "b":
            raise InputError("it has none")

    monkeypatch.setattr(paper_csc, "one_method", one_method)
    case = SimpleNamespace(name="small")
    for number in (1, 2, 3):
        paper_csc.compute_pieces(case, list("abcd"), Shard(number, 3), lambda: 1.0)
    assert sorted(done) == list("abcd")
    assert "small b left out: it has none" in capsys.readouterr().out
    paper_csc.compute_pieces(case, list("abcd"), Shard(1, 3), lambda: 0.0)
    assert len(done) == 4
