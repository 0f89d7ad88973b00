"""The main figure: what is drawn, for few and for many layers, and with parts missing."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from conetheory.plotting.csc import csc_figure, positive
from conetheory.plotting.methods import families, method_styles, methods_figure
from conetheory.report.comparison_tables import comparison_tables, sentence, summary_lines
from conetheory.results.comparison import Comparison
from conetheory.results.joining import join_methods
from conetheory.schema import SIDES, declared_as


def synthetic(method: str = "lrp-alpha1beta0", layers: int = 6, certified: bool = True) -> Comparison:
    """A comparison whose deficits fall from 0.5 by a factor of 10 with every layer."""
    names = [f"features.{layers - i}.expand3x3_activation" for i in range(layers - 1)] + ["input"]
    deficit = 0.5 * 10.0 ** -np.arange(layers)
    dims = ("method", "start", "layer")
    cube = deficit[None, None]
    data = xr.Dataset(
        {
            "measured_deficit_median": (dims, cube),
            "measured_band": ((*dims, "side"), np.stack([cube / 1.2, cube * 1.2], -1)),
            "measured_deficit_quantile": ((*dims, "quantile"), np.stack([0 * cube, cube, cube * 3], -1)),
            "predicted_local_spectrum": (dims, cube * 1.1),
            "error_decades_local_spectrum": (dims, np.log10(np.full_like(cube, 1.1))),
            "dead_fraction": (dims, 0 * cube),
            "baseline_deficit": ("layer", np.full(layers, 0.95)),
        },
        coords={
            "method": [method],
            "start": ["logits"],
            "layer": names,
            "label": ("layer", names),
            "side": list(SIDES),
            "quantile": [0.05, 0.5, 0.95],
        },
    )
    if certified:
        data["certified_deficit_upper"] = (dims, np.minimum(cube * 1.9, 1))
        data["certified_deficit_upper_median"] = (dims, np.minimum(cube * 1.5, 1))
        data["certified_partial_locations"] = (dims, 0 * cube)
        data["violations"], data["checked"] = (dims, 0 * cube), (dims, 0 * cube + 7)
    return Comparison(data)


def lines(figure: Figure, panel: int = 0) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_ydata() for line in figure.axes[panel].lines}


def test_the_figure_draws_the_numbers_of_the_comparison():
    comparison = synthetic()
    figure = csc_figure(comparison.dataset)
    drawn = lines(figure)
    data = comparison.dataset.isel(method=0, start=0)
    np.testing.assert_array_equal(drawn["measured median"], data["measured_deficit_median"])
    np.testing.assert_array_equal(drawn["predicted: local spectrum"], data["predicted_local_spectrum"])
    assert "predicted: two-scale" not in drawn


def test_convergence_goes_up_and_ticks_are_cosines():
    figure = csc_figure(synthetic(layers=5).dataset)
    axes = figure.axes[0]
    bottom, top = axes.get_ylim()
    assert bottom > 1 > top > 0
    figure.draw_without_rendering()
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert labels[:3] == ["0", "0.9", "0.99"]
    assert labels[3] == "$1-10^{-3}$"


def test_the_certificate_shades_what_it_excludes():
    comparison = synthetic()
    (every, area, half) = csc_figure(comparison.dataset).axes[0].patches
    bound = comparison.dataset["certified_deficit_upper"].values.ravel()
    for step in (every, area):
        np.testing.assert_allclose(step.get_data().values, bound)
    assert area.get_data().baseline == 2.0
    assert (half.get_data().values <= every.get_data().values).all()


@pytest.mark.parametrize("layers", [2, pytest.param(38, marks=pytest.mark.slow)])
def test_many_layers_are_all_labelled_and_can_be_saved(layers, tmp_path):
    comparison = synthetic(layers=layers)
    path = tmp_path / "figure.png"
    comparison.plot(path)
    assert path.stat().st_size > 5000
    assert len(csc_figure(comparison.dataset).axes[0].get_xticklabels()) == layers


def test_one_panel_for_each_method_and_start():
    joined = join_methods([synthetic(), synthetic("lrp-alpha2beta1", certified=False)])
    figure = csc_figure(joined.dataset)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["lrp-alpha1beta0 from logits", "lrp-alpha2beta1 from logits"]
    assert len(figure.axes[0].patches) == 3
    assert len(figure.axes[1].patches) == 0


def test_methods_of_other_libraries_are_a_family_of_their_own():
    known = {"gradient": "gradient", "zennit EpsilonPlus": "", "lrp-0": "LRP", "captum LRP": ""}
    names = list(known)
    joined = join_methods([synthetic(name) for name in names]).dataset
    data = joined.assign_coords(family=("method", list(known.values())))
    styles = method_styles(families(data))
    assert set(families(joined).values()) == {"external"}  # files of earlier versions don't say
    assert len({styles[name]["color"] for name in names}) == 3
    assert styles["zennit EpsilonPlus"]["color"] == styles["captum LRP"]["color"]
    assert styles["zennit EpsilonPlus"]["ls"] != styles["captum LRP"]["ls"]
    assert methods_figure(data).axes[0].lines


def test_a_method_has_the_marks_of_the_first_theory_that_speaks_of_it():
    first, other = synthetic().dataset, synthetic("guided-backprop").dataset
    name = "predicted_local_spectrum"
    mean = (
        first[name]
        .rename("predicted_mean_field")
        .assign_attrs(declared_as("predicted_mean_field").attributes)
    )
    first = first.assign(predicted_mean_field=2 * mean)
    other = other.assign(predicted_mean_field=3 * mean.assign_coords(method=other["method"]))
    other[name] = other[name] * np.nan
    data = join_methods([Comparison(first), Comparison(other)]).dataset
    (axes,) = methods_figure(data).axes
    assert axes.get_title(loc="left") == "CSC from logits; hollow: predicted by local spectrum, mean-field"
    hollow = [line.get_ydata() for line in axes.lines if line.get_marker() == "o"]
    assert len(hollow) == 2
    np.testing.assert_array_equal(hollow[0], positive(first[name].isel(method=0, start=0)))
    np.testing.assert_array_equal(hollow[1], positive(3 * mean.isel(method=0, start=0)))


def test_a_comparison_of_nothing_is_an_empty_figure():
    data = synthetic().dataset
    empty = Comparison(data.where(data["layer"] == "no such layer"))
    assert not any(axes.get_visible() for axes in csc_figure(empty.dataset).axes)


def test_the_table_has_a_row_for_each_layer_and_the_columns_that_there_are():
    (table,) = comparison_tables(synthetic(layers=4))
    assert table.row_count == 4
    headings = [str(column.header) for column in table.columns]
    assert headings[0] == "layer"
    assert not any("two-scale" in heading for heading in headings)


def test_bounds_are_rounded_down():
    data = synthetic(layers=3).dataset
    data["certified_deficit_upper"] = data["certified_deficit_upper"] * 0 + [0.05001, 6.05e-6, np.nan]
    (table,) = comparison_tables(Comparison(data))
    column = next(c for c in table.columns if "worst" in str(c.header))
    assert list(column.cells) == ["0.9499", "1-6.1e-6", "-"]


def test_the_sentence_names_the_first_layer_from_which_the_bound_holds():
    comparison = synthetic(layers=5)  # certified deficits 0.95, 0.095, 0.0095, ...
    words = sentence(comparison)
    assert words.startswith("From features.4.expand3x3_activation down, z+ maps of any two classes")
    assert "cos 0.9050" in words or "cos 0.9049" in words
    assert "no such guarantee" in sentence(synthetic("lrp-alpha2beta1", certified=False))


def test_nothing_is_said_of_any_two_where_some_do_not_arrive():
    comparison = synthetic(layers=5)
    comparison.dataset["certified_partial_locations"][..., -1] = 3
    comparison.dataset["certified_arriving_share"] = (
        comparison.dataset["certified_partial_locations"] * 0 + 0.5
    )
    assert "maps of those classes that arrive agree" in sentence(comparison)
    assert "at 3 of them some do not arrive, and differ" in sentence(comparison)
    assert "at 3 certified locations some starts arrive" in "\n".join(summary_lines(comparison))
    unknown = Comparison(comparison.dataset.drop_vars("certified_partial_locations"))
    assert "any two" not in sentence(unknown)


def test_the_worst_of_a_sample_is_named_so():
    comparison = synthetic(layers=5)
    for name, value in {
        "certified_positions": 5,
        "locations": 50,
        "certified_worse_share_upper": 0.4508,
    }.items():
        comparison.dataset[name] = comparison.dataset["checked"] * 0.0 + value
    (table,) = comparison_tables(comparison)
    assert "worst of\nsample\ncos >=" in [str(column.header) for column in table.columns]
    assert "a sample: at most 45.1% of locations are worse" in sentence(comparison)
    assert "the worst of a sample: at most 45.1% of a layer's locations" in "\n".join(
        summary_lines(comparison)
    )
    labels = csc_figure(comparison.dataset).axes[0].get_legend_handles_labels()[1]
    assert any("worst of the sampled locations" in label for label in labels)


def test_the_summary_counts_bounds_and_layers():
    text = "\n".join(summary_lines(synthetic(layers=4)))
    assert "local spectrum: |error| 0.041 decades at the median of 4 layers" in text
    assert "0 violations in 28 checks" in text
