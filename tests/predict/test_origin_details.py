"""What origins leave out, where columns replace Gaussians, and origins as arrays: against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from conetheory import schema
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.predict import predict_csc
from conetheory.predict.location_columns import LocationColumns
from conetheory.predict.origin import OriginLaw
from conetheory.predict.origin_columns import NearColumns
from conetheory.predict.origin_cut import centred_grid, first_cut
from conetheory.predict.origin_maps import origin_maps
from conetheory.report.origin_tables import origin_legend, origin_tables
from conetheory.results.comparison import Comparison
from conetheory.results.dataset import Prediction
from conetheory.theory import origin as theory
from tests.networks.toys import random_images, seeded
from tests.toys import chain, conv

# ---------------------------------------------------------------- what it leaves out


def test_a_start_of_one_channel_has_no_transient_and_a_pointwise_chain_nothing_else():
    def build() -> nn.Module:
        return nn.Sequential(conv(2, 6), nn.ReLU(), conv(6, 1), nn.ReLU(), nn.Flatten(), nn.Linear(42, 3))

    found = RelevanceChain(trace(seeded(build), (2, 6, 7)), random_images(2, 2, 6, 7).abs())
    one = OriginLaw("3", layers=["1"])
    one.add(found)
    assert one.detail(schema.TRANSIENT, "1") == pytest.approx(0, abs=1e-20)
    assert 0 < one.detail(schema.GRADIENT, "1") <= 1
    assert one.note(schema.CUT) == "3 (6 x 7)"
    pointwise = OriginLaw("3", layers=["1"])
    pointwise.add(chain("conv 1x1"))
    assert pointwise.detail(schema.TRANSIENT, "1") == pytest.approx(1)
    assert pointwise.detail(schema.WIDTH, "1") == pytest.approx(np.sqrt(0.05))
    assert pointwise.detail("origin_repaired_share", "1") == 1
    assert np.isnan(pointwise.detail(schema.GRADIENT, "input"))  # of two channels


def test_the_share_of_t_is_that_of_the_dense_matrices():
    """Of many draws, at every location: tr T beside c over the same of A + T, from the dense matrix."""
    found = chain("conv same", count=1)
    law = OriginLaw("2", layers=["1"], draws=4000)
    law.add(found)
    cut = first_cut(found, "2")
    (channels, *_), (below_, *_) = found.shape("2"), found.shape("1")
    M = torch.from_numpy(found.as_matrix("2", "1")).reshape(below_, -1, channels, cut.c.shape[-1])
    b, c = cut.b[0].double(), cut.c[0].double()
    M = M * (c != 0)
    rows = torch.einsum("ipjq,jq->ipq", M, c)
    along, total = torch.einsum("ipq,jq->ipjq", rows, b), M
    end = rows.sum(2)
    shares = []
    for p in range(M.shape[1]):
        if (end[:, p] != 0).any():
            unit = end[:, p] / end[:, p].norm()
            beside = torch.eye(below_, dtype=torch.float64) - torch.outer(unit, unit)
            energy = [(beside @ x[:, p].flatten(1)).square().sum() for x in (total - along, along)]
            if sum(energy) > 1e-20 * M[:, p].square().sum():
                shares.append(float(energy[0] / sum(energy)))
    assert law.detail(schema.TRANSIENT, "1") == pytest.approx(np.median(shares), abs=0.02)


def test_location_columns_take_the_place_of_gaussians_near_the_cut(monkeypatch):
    """Where all locations are replaced the spectra are those of the location columns, to the digits."""
    monkeypatch.setattr("conetheory.predict.origin_columns.SWEEPS", 9.0)
    found = chain("conv same")
    law, columns = OriginLaw("2", layers=["1"]), LocationColumns("2", layers=["1"])
    for each in (law, columns):
        each.add(found)
    assert law.detail("origin_columns_share", "1") == 1  # one 3 x 3 step: every origin is narrow
    mine, theirs = (np.concatenate(each.spectra._values["1"]) for each in (law, columns))
    np.testing.assert_allclose(mine[:, :4] ** 2, theirs[:, :4] ** 2, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("sweeps", [0.0, 1e9])
def test_columns_reach_as_far_down_as_they_may_cost(sweeps):
    found = chain("small vgg")
    near = NearColumns.of(found, first_cut(found, "6"), sweeps)
    assert (near is None) if sweeps == 0 else near.bottom == "input"


def test_a_border_cuts_an_origin_whose_two_deviations_reach_it():
    grid = centred_grid((5, 9))
    Sigma = torch.eye(2, dtype=torch.float64)[None].expand(3, 2, 2)
    mean = torch.tensor([[0.0, 0.0], [2.4, 0.0], [0.0, 0.6]], dtype=torch.float64)
    origin = theory.Origin(mean, Sigma, torch.ones(3, 1), torch.zeros(3, 1, 2))
    assert theory.cut_by_border(origin, grid).tolist() == [False, False, True]


def test_energies_beside_c_and_in_the_span_of_g():
    """c along the first axis, G along the second: 3^2 + 4^2 beside c, of which 3^2 in the span of G."""
    eye = torch.eye(3, dtype=torch.float64)
    G = torch.stack([2 * eye[1], 0 * eye[1]], 1)[None]
    origin = theory.Origin(torch.zeros(1, 2), torch.eye(2)[None], eye[:1], G)
    total, inside = theory.tail_energies(origin, torch.tensor([[[7.0], [3.0], [4.0]]]))
    assert (float(total), float(inside)) == (25.0, 9.0)


def test_shares_are_in_results_files_and_tables(tmp_path):
    data = predict_csc(chain("small vgg"), "4", theory="origin")
    found = Comparison(Prediction.load(data.save(tmp_path / "p.nc")).dataset)
    (table,) = origin_tables(found)
    assert [str(c.header).replace("\n", " ") for c in table.columns[1:4]] == ["T", "in G", "width"]
    (legend,) = origin_legend(found)
    assert "T: tail that the start's own channels add" in legend
    row = next(r for r in found.rows() if r["layer"] == "1")
    assert 0 <= row[schema.TRANSIENT] <= 1
    assert 0 <= row[schema.GRADIENT] <= 1
    assert found.dataset[schema.CUT].item() == "4 (3 x 3)"
    assert schema.TRANSIENT in found.to_json()
    assert not list(
        origin_tables(Comparison(predict_csc(chain("small vgg"), "4", theory="two-scale").dataset))
    )


# ---------------------------------------------------------------- seen


def test_densities_are_the_rows_of_the_dense_matrix_and_the_field_is_s():
    found = chain("small vgg", count=1)
    classes = torch.tensor([[1, 3]])
    data = origin_maps(
        found.network,
        found.images,
        "lrp-zplus",
        classes,
        "1",
        names=["i"],
        targets=["a", "b"],
        start="6",
        dtype=torch.float64,
    )
    cut = first_cut(found, "6")
    where = found.shape("1")
    (y, x), (height, width) = data["origin_place"].values[0, 0], where[1:]
    at = int(y * height) * width + int(x * width)
    M = torch.from_numpy(found.as_matrix("6", "1")).reshape(where[0], height * width, *cut.c[0].shape)
    D = torch.einsum("ijq,jq->iq", M[:, at], cut.c[0])
    for channel, density in zip(
        data["origin_channel"].values[0, 0], data["origin_density"].values[0, 0], strict=True
    ):
        if np.isfinite(density).all():
            expected = D[int(channel)] / D[int(channel)].sum()
            np.testing.assert_allclose(density.ravel(), expected, rtol=1e-5, atol=1e-7)
    r = found.one_hot("6", [1, 3])[0].flatten(2)
    s = (cut.b[0] * r).sum(1)
    mean = s.mean(1, keepdim=True)
    expected = (s / torch.where(mean != 0, mean, 1.0)).reshape(2, *cut.size)
    np.testing.assert_allclose(data["location_field"].values[0, 0], expected, rtol=1e-5, atol=1e-7)


def test_layers_above_the_cut_and_methods_without_origins_are_told():
    found = chain("small vgg", count=1)
    given = (found.network, found.images)
    options = {"names": ["i"], "targets": ["a"], "dtype": torch.float64}
    with pytest.raises(InputError, match="is not below"):
        origin_maps(*given, "lrp-zplus", torch.tensor([[1]]), "10", **options)
    assert "cone" in origin_maps(*given, "lrp-gamma", torch.tensor([[1]]), "1", **options).reason
