"""Every method: its matrices, its registry, what results say of it.

Touch `get_method`, and for a method of one's own `register` and `Rule`: a rule is a class of some twenty
lines, made of the local maps in `maps`. `explainers/` has the methods that are not backpropagated layer by
layer, on `Explainer`.
"""

from typing import TYPE_CHECKING

from conetheory.lazy import attach

if TYPE_CHECKING:
    from conetheory.rules.base import Rule
    from conetheory.rules.composite import Composite
    from conetheory.rules.explainer import Explainer
    from conetheory.rules.fitted_patterns import fit_patterns
    from conetheory.rules.maps import LocalMap
    from conetheory.rules.registry import Method, get_method, methods, register

__all__ = [
    "Composite",
    "Explainer",
    "LocalMap",
    "Method",
    "Rule",
    "fit_patterns",
    "get_method",
    "methods",
    "register",
]

# on first use: `rules.names` works without torch
__getattr__, __dir__ = attach(
    __name__,
    {
        "Composite": "conetheory.rules.composite",
        "Explainer": "conetheory.rules.explainer",
        "LocalMap": "conetheory.rules.maps",
        "Method": "conetheory.rules.registry",
        "Rule": "conetheory.rules.base",
        "fit_patterns": "conetheory.rules.fitted_patterns",
        "get_method": "conetheory.rules.registry",
        "methods": "conetheory.rules.registry",
        "register": "conetheory.rules.registry",
    },
)
