"""Columns by groups of layers: the same as all at once, and no row that a start reaches is left out."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conetheory.chain.columns import local_columns
from conetheory.chain.layers import below
from conetheory.chain.streamed import Columns, divided
from tests.toys import chain


@pytest.mark.parametrize("toy", ["small vgg", "nested branches", "dense block"])
@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha2beta1", "deconvnet"])
@pytest.mark.parametrize("positions", [None, 3])
def test_groups_hold_what_all_at_once_hold(toy, method, positions):
    found = chain(toy, method)
    layers = below(found, "logits")
    whole = local_columns(found, "logits", layers, positions=positions, seed=2, first_image=5)
    room = max(block.matrices.numel() for held in whole.values() for block in held) * len(found)
    columns = Columns(found, "logits", layers, positions=positions, seed=2, first_image=5, room=room)
    assert list(columns) == layers
    assert len(columns.groups) > 1
    if toy == "small vgg" and positions is None and columns.reached is not None:
        assert len(set(columns.sources)) > 1  # it is taken up below the start
    for layer, held in columns.items():
        for block, expected in zip(held, whole[layer], strict=True):
            torch.testing.assert_close(block.matrices, expected.matrices, rtol=1e-12, atol=0)
            assert (block.positions == expected.positions).all()
            assert (block.layer, block.total) == (layer, expected.total)


def test_rows_of_dead_units_are_not_kept():
    """Those of them that are kept, place by place, are the rows of the block."""
    found = chain("small vgg", count=1)
    layers = below(found, "logits")
    columns = Columns(found, "logits", layers)
    (group,) = columns.rows()
    assert sum(columns.kept(layer) for layer in layers) < sum(
        rows.channels * len(rows.positions) for (rows,) in group.values()
    )
    for (rows,) in group.values():
        for matrix, (channels, part) in zip(rows.matrices, rows.places(), strict=True):
            assert torch.equal(matrix[channels], part)
            matrix[channels] = 0
            assert not matrix.any()


def test_what_is_held_is_not_sent_down_again():
    found, told = chain("small vgg", count=1), []
    columns = Columns(found, "logits", below(found, "logits"), room=2**9)
    assert len(columns.groups) > 1
    list(columns.items())
    order = [list(group) for group in columns.rows(told.append)]
    assert order == [columns.groups[-1], *columns.groups[:-1]]
    assert told
    told.clear()
    next(columns.rows(told.append))
    assert not told


@given(st.lists(st.integers(0, 20), max_size=12), st.integers(1, 60))
def test_few_groups_of_equal_sizes(sizes, room):
    named = {str(i): size for i, size in enumerate(sizes)}
    groups = divided(named, room)
    assert [name for group in groups for name in group] == list(named)
    held = [sum(named[name] for name in group) for group in groups]
    most = max([room, *sizes])
    assert all(total <= most for total in held)
    assert len(groups) <= 1 + 2 * sum(sizes) / most
