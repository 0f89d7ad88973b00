"""Other libraries' attribution under the same meter, and our chains in the form that others call.

Touch `ZennitChain` and `CaptumChain`, which put a composite or a rule of theirs under the meter, `VjpChain`
for any other vector-Jacobian product, `Attribution`, our methods with captum's call, and `CSC`, a metric
with that of Quantus.
"""

from typing import TYPE_CHECKING

from conetheory.lazy import attach

if TYPE_CHECKING:
    from conetheory.adapters.captum import Attribution, CaptumChain
    from conetheory.adapters.quantus import CSC
    from conetheory.adapters.vjp import VjpChain
    from conetheory.adapters.zennit import ZennitChain

__all__ = ["CSC", "Attribution", "CaptumChain", "VjpChain", "ZennitChain"]

# on first use: captum and zennit are optional
__getattr__, __dir__ = attach(
    __name__,
    {
        "CSC": "conetheory.adapters.quantus",
        "Attribution": "conetheory.adapters.captum",
        "CaptumChain": "conetheory.adapters.captum",
        "VjpChain": "conetheory.adapters.vjp",
        "ZennitChain": "conetheory.adapters.zennit",
    },
)
