"""Methods x images: the study, its stages, the files it leaves and takes up again.

Touch `audit`, the one call, and `Study`, the class behind it and behind the commands; `Settings` says what a
study does. `stages` has what is done with each image, `store` the files, `series` the studies that give one
result a method.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conetheory.runs.audited import Audit, Verdicts, audit
    from conetheory.runs.method import run
    from conetheory.runs.settings import Settings
    from conetheory.runs.study import Study

_HOME = {
    "Audit": "audited",
    "Settings": "settings",
    "Study": "study",
    "Verdicts": "audited",
    "audit": "audited",
    "run": "method",
}
__all__ = ["Audit", "Settings", "Study", "Verdicts", "audit", "run"]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `store` and `progress` are there without torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
