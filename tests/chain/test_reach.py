"""Which locations an operation's relevance can come from: at least those that it does come from."""

from __future__ import annotations

import numpy as np
import pytest

from conetheory.chain.reach import reaches
from conetheory.networks.graph import INPUT
from tests.toys import COUPLED, chain

MOVED = [
    "channel shuffle of parts",
    "axes exchanged",
    "pixel shuffle",
    "pixel unshuffle",
    "upsampling bilinear",
]


@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "gradient"])
@pytest.mark.parametrize("toy", [*COUPLED, *MOVED, "scaled branches"])
def test_relevance_comes_from_within_the_reach(toy, method):
    """Every nonzero entry of the matrix from each cut that is a map lies within both intervals."""
    found = chain(toy, method, count=1)
    shape = found.graph.input_shape
    for top in found.graph.cuts[1:]:
        if len(found.shape(top)) != 3:
            continue
        rows, columns = reaches(found.graph, top, INPUT)[INPUT]
        M = np.abs(found.as_matrix(top, INPUT)).reshape(*shape, *found.shape(top)).sum((0, 3))
        below_row, below_column, above_row, above_column = np.nonzero(M)
        assert len(below_row) > 0
        assert (rows.first[below_row] <= above_row).all()
        assert (above_row <= rows.last[below_row]).all()
        assert (columns.first[below_column] <= above_column).all()
        assert (above_column <= columns.last[below_column]).all()


def test_parts_of_channels_and_pixel_shuffles_keep_locations_local():
    """A location of a pixel shuffle hears its own block, one of a shuffle of channels itself."""
    found = chain("pixel shuffle", count=1)
    rows, _ = reaches(found.graph, "2", "1")["1"]
    assert rows.first.tolist() == [0, 2, 4, 6, 8, 10]
    assert rows.last.tolist() == [1, 3, 5, 7, 9, 11]
    shuffle = chain("channel shuffle of parts", count=1).graph
    rows, columns = reaches(shuffle, "view_1", "cat")["cat"]
    assert (rows.longest, columns.longest) == (1, 1)
