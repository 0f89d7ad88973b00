"""Methods x images: the study, its stages, the files it leaves and takes up again.

Touch `audit`, the one call (`audit_chain` for a chain of another library), and `Study`, the class behind it
and behind the commands; `Settings` says what a study does. `stages` has what is done with each image, `store`
the files, `series` the studies that give one result a method.
"""

from typing import TYPE_CHECKING

from conetheory.lazy import attach

if TYPE_CHECKING:
    from conetheory.runs.audited import Audit, Verdicts, audit
    from conetheory.runs.chains import audit_chain
    from conetheory.runs.method import run
    from conetheory.runs.settings import Settings
    from conetheory.runs.study import Study

__all__ = ["Audit", "Settings", "Study", "Verdicts", "audit", "audit_chain", "run"]

# on first use: `store` and `progress` are there without torch
__getattr__, __dir__ = attach(
    __name__,
    {
        "Audit": "conetheory.runs.audited",
        "Settings": "conetheory.runs.settings",
        "Study": "conetheory.runs.study",
        "Verdicts": "conetheory.runs.audited",
        "audit": "conetheory.runs.audited",
        "audit_chain": "conetheory.runs.chains",
        "run": "conetheory.runs.method",
    },
)
