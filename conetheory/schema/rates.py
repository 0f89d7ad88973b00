"""What a result of rates holds: of each operation, and of the chain down to what it hands relevance to.

M is the matrix of one operation at one image, (units below) x (units above); C the chain from the start down
to a tensor below it, P_p its rows at one location. Where an operation hands relevance to several tensors,
what is said of C is the mean over them for gaps and decades, and of the first for singular values.
"""

from __future__ import annotations

from conetheory.schema.kinds import COUNT, DECADES, DIMS, NUMBER, SHARE, Variable

_PIXELS, _NAT, _METHOD = "pixel^2", "nat", ("method",)
_WALK = "in pixels^2 of the first map below the start, the mean of both axes and of live locations"
_STEP = f"{_WALK}, weights c_i^2"

RATES = (
    Variable("rate_rows", "rows", "units below the operation", unit=COUNT, side="exact"),
    Variable("rate_columns", "columns", "units above the operation", unit=COUNT, side="exact"),
    Variable(
        "rate_density",
        "filled",
        "share of M's entries that are not zero by structure, whatever they are in floating point",
        unit=SHARE,
        side="exact",
    ),
    Variable(
        "rate_sum_error",
        "sums",
        "largest |column sum - 1| of M over its live columns",
        unit=NUMBER,
        theorem="tau1",
    ),
    Variable(
        "rate_scrambling",
        "meet",
        "whether every two live columns of M share a row; blank where no two were found apart but not all "
        "were tried",
        unit=NUMBER,
        side="exact",
        theorem="scrambling",
    ),
    Variable(
        "rate_diameter",
        "diameter",
        "M's projective diameter: the largest |log cross ratio| of its live rows and columns, inf where one "
        "of their entries is zero",
        unit=_NAT,
        side="exact",
        theorem="birkhoff-hopf",
    ),
    Variable(
        "rate_birkhoff",
        "tau_B",
        "M's Birkhoff coefficient tanh(diameter/4): what it leaves of Hilbert's distance of two positive "
        "vectors, 1 where the diameter is inf",
        unit=NUMBER,
        side="exact",
        theorem="birkhoff-hopf",
    ),
    Variable(
        "rate_block_operations_lower",
        "bounded from",
        "the lowest cut from which P_p at one location below has a finite diameter, as cuts up to it; ? "
        "where a few channels allow it and not all were tried",
        unit=COUNT,
        side="lower",
        theorem="birkhoff-hopf",
    ),
    Variable(
        "rate_block_diameter",
        "diameter there",
        "projective diameter of P_p from that cut, on what is alive",
        unit=_NAT,
        side="exact",
        theorem="birkhoff-hopf",
    ),
    Variable(
        "rate_block_birkhoff",
        "tau_B there",
        "Birkhoff coefficient of P_p from that cut, on what is alive",
        unit=NUMBER,
        side="exact",
        theorem="birkhoff-hopf",
    ),
    Variable(
        "rate_tau_1_upper",
        "tau_1",
        "M's Dobrushin coefficient, half the largest l1 distance of two live columns: what it leaves of the "
        "l1 distance of two starts of one sum; exact but where <= is said",
        unit=NUMBER,
        side="upper",
        theorem="tau1",
    ),
    Variable(
        "rate_sigma",
        "s2/s1",
        "M's second over first singular value, by power iteration on M^T M (block Lanczos)",
        unit=NUMBER,
        side="estimate",
        theorem="collatz-wielandt",
    ),
    Variable(
        "rate_sigma_lower",
        "s2/s1 >=",
        "the Ritz value of sigma_2 over an upper bound of sigma_1",
        unit=NUMBER,
        side="lower",
        theorem="collatz-wielandt",
    ),
    Variable(
        "rate_sigma_upper",
        "s2/s1 <=",
        "an upper bound of sigma_2, by the Frobenius norm, over the Ritz value of sigma_1",
        unit=NUMBER,
        side="upper",
        theorem="collatz-wielandt",
    ),
    Variable(
        "rate_sigma_location",
        "s2/s1 at a location",
        "of P_p from the start, at one location below: a ratio of Ritz values",
        unit=NUMBER,
        side="estimate",
        theorem="gaussian-law",
    ),
    Variable(
        "rate_sigma_whole",
        "s2/s1 whole",
        "of C, as whole maps: a ratio of Ritz values",
        unit=NUMBER,
        side="estimate",
        theorem="gaussian-law",
    ),
    Variable(
        "rate_lyapunov",
        "+gap",
        "what the operation adds to the gap log(s1/s2) of the two leading finite-time Lyapunov exponents of "
        "the map from the start (to any tensor, inside a block too), on three probes",
        unit=_NAT,
        side="estimate",
        theorem="gaussian-law",
    ),
    Variable(
        "rate_lyapunov_gap",
        "gap",
        "the gap log(s1/s2) of the map from the start to the tensors below the operation, on three probes",
        unit=_NAT,
        side="estimate",
        theorem="gaussian-law",
    ),
    Variable(
        "rate_mixing_lower",
        "mixing",
        "second singular value of the chain of M's locations (1: they don't mix): what is left of the "
        "deviations of location weights from their mean; by power iteration",
        unit=NUMBER,
        side="lower",
        theorem="second-moment",
    ),
    Variable(
        "rate_mixing_walk",
        "by a walk",
        "the same of a reflected walk whose step has the variance of M's: exp(-pi^2 s^2 / (2 side^2))",
        unit=NUMBER,
        side="estimate",
        theorem="origin-walk",
    ),
    Variable(
        "rate_variance",
        "+Sigma",
        f"variance of a channel's step, which M adds to the origin of relevance, {_STEP}",
        unit=_PIXELS,
        side="exact",
        theorem="origin-walk",
    ),
    Variable(
        "rate_injected",
        "+G",
        f"variance of the mean step between channels, which M injects into G, {_STEP}",
        unit=_PIXELS,
        side="exact",
        theorem="origin-law",
    ),
    Variable(
        "rate_walk_variance",
        "+Sigma flat",
        "the same as +Sigma of flat activations: of the weights alone, for every image",
        unit=_PIXELS,
        side="estimate",
        theorem="origin-walk",
    ),
    Variable(
        "rate_walk_injected",
        "+G flat",
        "the same as +G of flat activations: of the weights alone, for every image",
        unit=_PIXELS,
        side="estimate",
        theorem="origin-walk",
    ),
    Variable("rate_left_out", "left out", "what was left out for its cost", _METHOD, "", "text"),
    Variable("rate_passes", "passes", "vectors through the chain spent", _METHOD, COUNT, "exact"),
    Variable("rate_absent", "absent", "why there is no number, by variable, as JSON", DIMS, "", "text"),
    Variable("rate_record", "record", "everything that is known of the operation, as JSON", DIMS, "", "text"),
)

LOST = "decades of the median deficit that the operation takes away (below zero: gives back)"
THEOREMS = {
    "second-moment": "second-moment",
    "origin": "origin-law",
    "walk": "origin-walk",
    "location-columns": "origin-overlap",
}


def lost(source: str) -> Variable:
    """Of the decades that are lost, `measured` or by a theory."""
    name = f"rate_lost_{source.replace('-', '_')}"
    if source == "measured":
        return Variable(name, "measured", f"{LOST}, measured", unit=DECADES, theorem="gaussian-law")
    label, meaning = source.replace("-", " "), f"{LOST}, by the theory {source}"
    theorem = THEOREMS.get(source, "gaussian-law")
    return Variable(name, label, meaning, unit=DECADES, side="estimate", theorem=theorem)
