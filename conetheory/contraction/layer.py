"""What one operation's matrix says by itself: size, zeros, columns that never meet, and the coefficients
of Birkhoff, Dobrushin and the singular values.

Everything is of the matrix at one image's activations. Where it does not fit, supports decide what they can:
a nonnegative matrix has a finite projective diameter if and only if no entry of its live rows and columns is
zero, and tau_1 = 1 as soon as two of its columns share no row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from conetheory.chain.operation import Operation
from conetheory.contraction.sided import Sided, absent
from conetheory.rules.base import Rule
from conetheory.theory import cone, ergodicity
from conetheory.theory.spectrum import leading_singular_values, perron_root

DENSE = 2**25  # entries of a matrix that is made whole
PAIRS = 2**33  # operations that the comparison of all pairs of columns may take
EVERY_COLUMN = 512  # columns up to which all are held against each other
PROBED, AT_ONCE = 24, 8  # units whose columns are held against all others in wider matrices
COUNTED = 4  # units whose entries are counted there
PROBES, STEPS, RTOL = 2, 4, 1e-3  # of the block Lanczos
PERRON, PERRON_STEPS = 1e-2, 4  # relative width at which the power iteration for sigma_1 stops
SUPPORTS = COUNTED + 2 * AT_ONCE + 4  # vectors through a wide operation that its supports and sums take
SIGMA = 2 * PROBES * STEPS + 2 * PERRON_STEPS + 3  # vectors through it that its singular values take
ALIKE = 1e-6  # how far counts of one entry may differ by rounding
SUMS = 1e-3  # how far a computed column sum may be off in float32


@dataclass(frozen=True)
class Size:
    """rows, columns; entries: those that are not zero by structure; live_rows, live_columns: with any.

    entries is NaN where the method's pattern does not count them.
    """

    rows: int
    columns: int
    entries: float
    live_rows: int
    live_columns: int

    @property
    def density(self) -> float:
        return self.entries / (self.rows * self.columns)

    @property
    def positive(self) -> bool:
        """Whether every entry of the live rows and columns is there."""
        return self.entries == self.live_rows * self.live_columns


@dataclass(frozen=True)
class Meeting:
    """Whether every two live columns share a row: True, False with two that don't, None where undecided."""

    holds: bool | None
    columns: tuple[int, int] | None = None
    tried: int = 0


@dataclass(frozen=True)
class Ratio:
    """sigma_2 / sigma_1, enclosed; `estimate` by Ritz values, with their residual."""

    lower: float
    upper: float
    estimate: float
    residual: float


def size(operation: Operation) -> Size:
    """Rows, columns and entries of a matrix, by its pattern."""
    pattern = operation.pattern
    live_rows = pattern.down(operation.ones(rows=False))[:, 0] > 0
    live_columns = operation.live
    entries = _entries(operation, live_columns)
    return Size(*operation.shape, entries, int(live_rows.sum()), int(live_columns.sum()))


def _entries(operation: Operation, live: Tensor) -> float:
    """Column by column where they are few; else by the pattern's map, which counts every entry alike."""
    if operation.shape[0] * operation.shape[1] <= DENSE:
        return float(sum(operation.pattern.columns(units).double().sum() for units in operation.blocks()))
    units = _spread(live, COUNTED)
    if len(units) == 0:
        return 0.0
    counts = operation.counted.up(operation.ones(rows=True))[:, 0].double()
    ratios = counts[units] / operation.pattern.columns(units).double().sum(0)
    total = float(counts.sum() / ratios[0])
    alike = bool((ratios - ratios[0]).abs().max() < ALIKE * ratios[0]) and abs(total - round(total)) < 0.01
    return float(round(total)) if alike else math.nan


def sum_error(operation: Operation) -> float:
    """The largest |column sum - 1| over live columns; 0 where there are none."""
    live = operation.live
    off = (operation.up(operation.ones(rows=True))[:, 0].double() - 1).abs()[live]
    return float(off.max()) if len(off) else 0.0


def meeting(operation: Operation) -> Meeting:
    """Do every two live columns share a row (is the matrix scrambling)?

    All columns are tried where there are at most 512, else a few spread ones against all others: columns of
    far locations of a convolution show it at once. Theorem: scrambling.
    """
    pattern = operation.pattern
    live = operation.live
    every = int(live.sum()) <= EVERY_COLUMN
    units = live.nonzero()[:, 0] if every else _spread(live, PROBED)
    for unit in units.split(AT_ONCE):
        met = pattern.up(pattern.columns(unit)) > 0
        apart = (live[:, None] & ~met).nonzero()
        if len(apart):
            other, which = apart[0].tolist()
            return Meeting(False, (int(unit[which]), other), len(units))
    return Meeting(True if every else None, None, len(units))


def diameter(operation: Operation, own: Size, nonnegative: bool) -> Sided:
    """The projective diameter of a nonnegative matrix on its live rows and columns. Theorem:
    birkhoff-hopf.
    """
    if not nonnegative:
        return absent("the matrix has entries of both signs")
    if math.isnan(own.entries):
        return absent("the pattern does not count its entries")
    if not own.positive:
        return Sided(math.inf, "exact")
    if own.rows * own.columns > DENSE or own.rows * own.columns**2 > PAIRS:
        return absent(f"finite; {own.rows} x {own.columns} is too large to be made whole")
    return Sided(float(cone.projective_diameter(operation.dense().double().cpu().numpy())), "exact")


def tau_1(operation: Operation, rule: Rule, met: Meeting, sums: float) -> Sided:
    """Dobrushin's coefficient: half the largest l1 distance of two live columns. Theorem: tau1."""
    if sums > SUMS:
        return absent(f"columns don't have sum one: off by {sums:.1e}")
    rows, columns = operation.shape
    if rows * columns <= DENSE and rows * columns**2 <= PAIRS:
        M = operation.dense().double().cpu().numpy()
        return Sided(float(ergodicity.tau_1(M[:, M.any(axis=0)])), "exact")
    if rule.is_nonnegative and met.holds is False:
        return Sided(1.0, "exact", "two columns share no row")
    if rule.mass is not None:
        return Sided(rule.mass, "upper", "by the mass of its pools")
    return absent(f"{rows} x {columns} is too large to be made whole")


def settled(met: Meeting, tau: Sided, rule: Rule) -> Meeting:
    """What tau_1 says of columns that were not all tried: below 1 all pairs share a row. Theorem: scrambling.

    Of a nonnegative matrix whose columns sum to one.
    """
    if met.holds is None and rule.is_nonnegative and tau.side == "exact" and tau.value < 1:
        return replace(met, holds=True)
    return met


def sigma_ratio(operation: Operation, nonnegative: bool, seed: int = 0) -> Ratio | str:
    """sigma_2 / sigma_1 by block Lanczos, enclosed; or why there is none.

    Ritz values are lower bounds; from above sigma_1 is held by Collatz and Wielandt's quotients of M^T M
    where M is nonnegative, and both by the Frobenius norm. In exact arithmetic. Theorem: collatz-wielandt.
    """
    rows, columns = operation.shape
    count = min(PROBES, columns, rows)
    if count < 2:
        return "the matrix has one row or column"
    rng = torch.Generator().manual_seed(seed)
    start = torch.randn((columns, count), generator=rng, dtype=torch.float64).to(operation.like)
    frobenius = operation.squared.down(operation.ones(rows=False)).double().sum().sqrt().to(operation.like)
    found = leading_singular_values(
        operation.down, operation.up, start, count=2, rtol=RTOL, max_steps=STEPS, frobenius=frobenius
    )
    (first, second), (high, above) = found.lower.double().tolist(), found.upper.double().tolist()
    if first == 0:
        return "the matrix is zero"
    top = min(high, _perron(operation)) if nonnegative else high
    return Ratio(second / top, min(1.0, above / first), second / first, float(found.residual[1]) / first)


def _perron(operation: Operation) -> float:
    """An upper bound of sigma_1 of a nonnegative matrix."""
    terms = int(operation.counted.up(operation.ones(rows=True)).max())
    terms += int(operation.counted.down(operation.ones(rows=False)).max())
    found = perron_root(
        lambda x: operation.up(operation.down(x[:, None]))[:, 0],
        start=operation.ones(rows=False)[:, 0],
        terms=terms,
        rtol=max(PERRON, 3 * terms * torch.finfo(operation.like.dtype).eps),
        max_steps=PERRON_STEPS,
    )
    return math.sqrt(float(found.bound.upper))


def _spread(live: Tensor, count: int) -> Tensor:
    """Up to so many live units from the first to the last: in a feature map, from corner to corner."""
    units = live.nonzero()[:, 0]
    if len(units) <= count:
        return units
    return units[torch.linspace(0, len(units) - 1, count, device=units.device).round().long()]
