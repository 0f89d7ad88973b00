"""How fast, why, and with what guarantee modified-backprop attributions forget the network's decision."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "RelevanceChain": "conetheory.chain",
    "measure_csc": "conetheory.measure",
    "predict_csc": "conetheory.predict",
    "certify_csc": "conetheory.certify",
    "compare": "conetheory.results",
    "audit": "conetheory.runs",
    "Study": "conetheory.runs",
    "Settings": "conetheory.runs",
    "Result": "conetheory.results",
    "networks": "conetheory.networks",
}
__all__ = [
    "RelevanceChain",
    "Result",
    "Settings",
    "Study",
    "audit",
    "certify_csc",
    "compare",
    "measure_csc",
    "networks",
    "predict_csc",
]


def __getattr__(name: str) -> Any:
    """Import torch's side on first use, so that `conetheory.theory` works without torch."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'conetheory' has no attribute {name!r}")
    module = import_module(_PUBLIC[name])
    return module if name == "networks" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
