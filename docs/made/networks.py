"""The networks that the tests run."""

from __future__ import annotations

from conetheory.cli.listings import TESTED
from docs.made.markdown import plain, table


def tested() -> str:
    """The table of tested networks."""
    return table(
        ("network", "weights and names"), [(f"`{name}`", plain(text)) for name, text in TESTED.items()]
    )
