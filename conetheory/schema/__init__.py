"""Every variable of a result, declared once: its name, label, dimensions, unit, and which side it is on.

Tables, figures, reports and verdicts take what they say of a number from here; files carry it with them
(`long_name`, `units`, `label`, `side`, and for predictions the theory), so that they can be read without the
code that made them. A theory declares its own variables when it is registered (`declare`).

Touch `variable` and `theories`; `kinds` says what a variable is, `declared` has those of this package.

Dimensions: `method`, `start` (start layer), `layer` (from the start layers down to the input), `quantile`,
`side` (lower, upper), `image`, `target`, `measure`, `mode`. A deficit is `1 - |cos|`.
"""

from conetheory.schema.declared import (
    APART,
    BASELINE,
    CUT,
    DISTANCE,
    GRADIENT,
    KINDS,
    MAP_UPPER,
    MEASURED,
    NOT_PREDICTED,
    ORIGIN,
    REASONS,
    TRANSIENT,
    TYPICAL,
    WHOLE_MAPS,
    WIDTH,
    WORST,
)
from conetheory.schema.kinds import (
    ABOVE,
    BANDED,
    COUNT,
    CROSSING,
    DECADES,
    DEFICIT,
    DIMS,
    INPUT,
    LABELS,
    NUMBER,
    PROJECTION,
    RESIDUAL,
    SHARE,
    SIDES,
    STRIDE,
    VERSION,
    WEIGHTS,
    Side,
    Theory,
    Variable,
)
from conetheory.schema.registry import annotated, declare, known, numbers, theories, variable, withdraw

__all__ = [
    "ABOVE",
    "APART",
    "BANDED",
    "BASELINE",
    "COUNT",
    "CROSSING",
    "CUT",
    "DECADES",
    "DEFICIT",
    "DIMS",
    "DISTANCE",
    "GRADIENT",
    "INPUT",
    "KINDS",
    "LABELS",
    "MAP_UPPER",
    "MEASURED",
    "NOT_PREDICTED",
    "NUMBER",
    "ORIGIN",
    "PROJECTION",
    "REASONS",
    "RESIDUAL",
    "SHARE",
    "SIDES",
    "STRIDE",
    "TRANSIENT",
    "TYPICAL",
    "VERSION",
    "WEIGHTS",
    "WHOLE_MAPS",
    "WIDTH",
    "WORST",
    "Side",
    "Theory",
    "Variable",
    "annotated",
    "declare",
    "known",
    "numbers",
    "theories",
    "variable",
    "withdraw",
]
