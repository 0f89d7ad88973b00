"""What the rooms find out, as datasets on disk: joined, compared, read as evidence and judged. No torch.

Touch `Result` and its kinds, `join_methods`, `compare` and `verdicts`.
"""

from conetheory.results.comparison import Comparison, compare
from conetheory.results.dataset import Certificate, Maps, Measurement, Prediction, Result, Sanity
from conetheory.results.joining import join_methods
from conetheory.results.verdict import Outcome, Verdict, verdicts

__all__ = [
    "Certificate",
    "Comparison",
    "Maps",
    "Measurement",
    "Outcome",
    "Prediction",
    "Result",
    "Sanity",
    "Verdict",
    "compare",
    "join_methods",
    "verdicts",
]
