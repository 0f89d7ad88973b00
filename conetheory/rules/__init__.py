"""Every method: its matrices, its registry, what results say of it.

Touch `get_method`, and for a method of one's own `register` and `Rule`: a rule is a class of some twenty
lines, made of the local maps in `maps`. `explainers/` has the methods that are not backpropagated layer by
layer, on `Explainer`.
"""

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
