"""Relevance as a linear map between any two layers: chains, their local matrices, their layers and cuts.

Touch `RelevanceChain`; `open_chain` gives the chain of any registered method. `local` makes the rows P_p of a
chain at a location, `layers` says which layers lie below a start, `checks` what a chain may be given, and
`protocol` what the other rooms ask of a chain, whoever made it.
"""

from conetheory.chain.checks import (
    Start,
    checked_device,
    checked_dtype,
    checked_images,
    checked_vectors,
    device_of,
)
from conetheory.chain.explained import ExplainerChain, open_chain
from conetheory.chain.matrices import MAX_ENTRIES
from conetheory.chain.protocol import Chain
from conetheory.chain.relevance import RelevanceChain

__all__ = [
    "MAX_ENTRIES",
    "Chain",
    "ExplainerChain",
    "RelevanceChain",
    "Start",
    "checked_device",
    "checked_dtype",
    "checked_images",
    "checked_vectors",
    "device_of",
    "open_chain",
]
