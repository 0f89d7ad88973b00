"""The theory experiments run, and draw and save what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image

from conetheory.plotting.simulation import simulation
from conetheory.simulate import simulate
from conetheory.theory.randomlayers import critical_alpha
from experiments import (
    cone_picture,
    random_conv_chains,
    rate_depth_width,
    real_curves,
    simulate_chains,
    spatial_mixing,
    spectrum_tail,
)
from experiments import critical_alpha as critical

CHAINS = [simulate_chains, rate_depth_width, critical, cone_picture, random_conv_chains]
EXPERIMENTS = [*CHAINS, spatial_mixing, spectrum_tail, real_curves]


Made = Callable[[str], tuple[Path, dict]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """An experiment's directory and return value, in its smoke setting; made when it is asked for."""
    modules = {module.__name__.rpartition(".")[2]: module for module in EXPERIMENTS}

    @cache
    def run(name: str) -> tuple[Path, dict]:
        out = tmp_path_factory.mktemp(name) / "new"
        return out, modules[name].main(out=out, smoke=True)

    return run


@pytest.mark.exhaustive
@pytest.mark.parametrize("module", EXPERIMENTS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_figure_and_numbers_are_written(module: ModuleType, made: Made) -> None:
    name = module.__name__.rpartition(".")[2]
    out, numbers = made(name)
    assert json.loads((out / f"{name}.json").read_text()) == numbers
    pixels = np.asarray(Image.open(out / f"{name}.png").convert("L"))
    assert pixels.shape[0] > 600
    assert 0.01 < np.mean(pixels < 250) < 0.5
    assert (out / f"{name}.pdf").stat().st_size > 5000


@pytest.mark.slow
def test_simulation_keeps_its_dataset(made: Made) -> None:
    out, numbers = made("simulate_chains")
    with xr.open_dataset(out / "simulate_chains.nc", engine="h5netcdf") as data:
        assert set(numbers) == set(data["variant"].values)
        assert data.sizes["layer"] == 17


@pytest.mark.slow
def test_rates_fall_with_the_width(made: Made) -> None:
    for by_width in made("rate_depth_width")[1].values():
        narrow, wide = by_width.values()
        assert wide["kappa_over_n"] == pytest.approx(narrow["kappa_over_n"] / 2, rel=1e-12, abs=0)
    positive = made("rate_depth_width")[1]["positive"]["32"]
    assert positive["measured"] == pytest.approx(positive["kappa_over_n"], rel=0.5, abs=0)


@pytest.mark.slow
def test_critical_alpha_separates(made: Made) -> None:
    run = made("critical_alpha")[1]["32"]
    assert run["alpha_critical"] == critical_alpha(32)
    assert run["deficit_simulated"][0] < 1e-6
    assert run["deficit_simulated"][-1] > 0.1
    assert run["deficit_closed_form"][-1] > 0.1


def test_cones_are_nested_and_bounded() -> None:
    layers = cone_picture.random_layers(4, 0.34, 0)
    exact, bound = cone_picture.angles(layers)
    assert np.all(np.diff(exact) < 0)
    assert np.all(exact <= bound)
    first, second = cone_picture.cones(layers)[2:4]
    assert np.all(np.linalg.solve(first, second) > 0)  # generators are positive combinations of earlier ones


@pytest.mark.exhaustive
def test_the_movie_shows_each_stage(made: Made) -> None:
    out, numbers = made("cone_picture")
    assert np.all(np.array(numbers["worst_angle_degrees"]) <= np.array(numbers["half_angle_bound_degrees"]))
    with Image.open(out / "cone_picture.gif") as movie:
        assert movie.n_frames == 9


def test_the_simulation_figure_draws_what_is_in_the_dataset() -> None:
    data = simulate(["positive", "alpha2beta1"], widths=(9, 12, 7, 5), starts=4, repeats=2)
    axes = simulation(data, Figure().subplots(), ["positive", "alpha2beta1"])
    drawn = [np.asarray(line.get_ydata()) for line in axes.lines]
    for line, (kind, name) in zip(
        drawn,
        [(k, n) for n in ("positive", "alpha2beta1") for k in ("closed_form", "simulated")],
        strict=True,
    ):
        assert np.array_equal(line, data[kind].sel(variant=name, statistic="median").values)
    texts = {text.get_text() for text in axes.texts}
    assert texts == {"positive", "$\\alpha$ = 2"}
    assert axes.get_yscale() == "log"
