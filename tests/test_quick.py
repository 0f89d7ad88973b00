"""What `make test` takes of all combinations of parameters."""

from __future__ import annotations

from itertools import product

import pytest

from tests.conftest import covered


@pytest.mark.parametrize("sizes", [(3,), (39, 4, 3), (8, 25), (4, 4, 4), (39, 1, 2, 2), (5, 4, 4, 2)])
def test_the_covering_cases_show_every_value_and_are_as_few_as_can_be(sizes):
    chosen = [indices for indices in product(*map(range, sizes)) if covered(indices, sizes)]
    assert len(chosen) == max(sizes)
    assert [len(set(values)) for values in zip(*chosen, strict=True)] == [*sizes]


def test_parameters_of_one_length_do_not_go_in_step():
    chosen = [(j, k) for i, j, k in product(range(39), range(4), range(4)) if covered((i, j, k), (39, 4, 4))]
    assert len(set(chosen)) == 16


@pytest.mark.covering
@pytest.mark.parametrize("a", range(4))
@pytest.mark.parametrize("b", range(2))
def test_a_covering_case_is_quick_and_any_other_is_not(request, a, b):
    assert ("exhaustive" in request.node.keywords) == (b != a % 2)
