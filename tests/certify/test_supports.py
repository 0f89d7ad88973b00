"""Supports taken up at a cut are those of columns that are sent down from the start."""

from __future__ import annotations

import pytest

from conetheory.certify.supports import Supports
from conetheory.chain.columns import local_columns
from conetheory.chain.layers import below
from conetheory.chain.streamed import Columns
from tests.toys import chain

ROOMS = [2**9, 2**11, 2**26]


def held(columns: Columns, lose: bool) -> dict:
    """The supports of each layer and image, (positions, channels, units); what is not 0 where none is."""
    supports, found = Supports(columns), {}
    for group in columns.rows():
        for images in (*group.values(), *columns.whole.values()) if lose else ():
            for rows in images:
                rows.columns[::2] = 0
        on = supports.of(group)
        for layer, images in group.items():
            found[layer] = [r.matrices if layer in on else r.matrices != 0 for r in on.get(layer, images)]
    return found


@pytest.mark.parametrize("toy", ["small vgg", "nested branches", "dense block"])
@pytest.mark.parametrize("positions", [None, 3])
@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("lose", [False, True])
def test_supports_are_those_of_the_pattern(toy, positions, room, lose):
    """Also where the numbers of every second unit are lost, as underflow may lose them."""
    found = chain(toy)
    layers = below(found, "logits")
    expected = local_columns(found.pattern(), "logits", layers, positions=positions)
    columns = Columns(found, "logits", layers, positions=positions, room=room)
    if room == min(ROOMS) and positions is None and toy == "small vgg":
        assert len(set(columns.sources)) > 1
    for layer, images in held(columns, lose).items():
        for support, block in zip(images, expected[layer], strict=True):
            assert (support == (block.matrices > 0)).all()
