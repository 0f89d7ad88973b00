"""How fast, why, and with what guarantee modified-backprop attributions forget the network's decision."""

import os
from typing import TYPE_CHECKING

from conetheory.lazy import attach
from conetheory.version import __version__ as __version__

if TYPE_CHECKING:
    from conetheory import networks
    from conetheory.certify import certify_csc
    from conetheory.chain import RelevanceChain
    from conetheory.contraction import rates
    from conetheory.measure import measure_csc
    from conetheory.predict import predict_csc
    from conetheory.results import Result, compare
    from conetheory.runs import Settings, Study, audit, audit_chain

__all__ = [
    "RelevanceChain",
    "Result",
    "Settings",
    "Study",
    "audit",
    "audit_chain",
    "certify_csc",
    "compare",
    "measure_csc",
    "networks",
    "predict_csc",
    "rates",
]

# torch asks for large pages, where the system has them on request: ResNet-50's compare takes 8% less time,
# and less of what is free is kept (docs, Costs). Read at torch's first tensor; who has set it is left alone.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

# torch's side is imported on first use: `conetheory.theory` works without torch
__getattr__, __dir__ = attach(
    __name__,
    {
        "RelevanceChain": "conetheory.chain",
        "Result": "conetheory.results",
        "Settings": "conetheory.runs",
        "Study": "conetheory.runs",
        "audit": "conetheory.runs",
        "audit_chain": "conetheory.runs",
        "certify_csc": "conetheory.certify",
        "compare": "conetheory.results",
        "measure_csc": "conetheory.measure",
        "networks": "conetheory.networks",
        "predict_csc": "conetheory.predict",
        "rates": "conetheory.contraction",
    },
)
