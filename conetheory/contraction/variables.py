"""What a result of rates holds: of each operation, and of the chain down to what it hands relevance to."""

from __future__ import annotations

from conetheory.schema import COUNT, DECADES, DIMS, NUMBER, SHARE, Variable, declare

RATES = (
    Variable("rate_rows", "rows", "units below the operation", unit=COUNT, side="exact"),
    Variable("rate_columns", "columns", "units above the operation", unit=COUNT, side="exact"),
    Variable("rate_density", "density", "entries of its matrix that are not zero", unit=SHARE, side="exact"),
    Variable("rate_sum_error", "sums", "largest |column sum - 1| of its live columns", unit=NUMBER),
    Variable("rate_scrambling", "meet", "whether every two columns share a row", unit=NUMBER, side="exact"),
    Variable("rate_birkhoff", "tau_B", "Birkhoff's coefficient of the operation", unit=NUMBER, side="exact"),
    Variable(
        "rate_block_operations",
        "block",
        "cuts up to the lowest one from which the diameter at a location is finite",
        unit=COUNT,
        side="exact",
    ),
    Variable("rate_block_diameter", "diameter", "diameter of that block", unit="nat", side="exact"),
    Variable(
        "rate_block_birkhoff", "tau_B", "Birkhoff's coefficient of that block", unit=NUMBER, side="exact"
    ),
    Variable(
        "rate_tau_1_upper", "tau_1", "Dobrushin's coefficient of the operation", unit=NUMBER, side="upper"
    ),
    Variable(
        "rate_sigma",
        "s2/s1",
        "second over first singular value",
        unit=NUMBER,
        side="estimate",
    ),
    Variable("rate_sigma_upper", "s2/s1 <=", "an upper bound of that ratio", unit=NUMBER, side="upper"),
    Variable(
        "rate_sigma_location",
        "at a location",
        "the same of the chain so far at one location",
        unit=NUMBER,
        side="estimate",
    ),
    Variable(
        "rate_sigma_whole", "whole", "the same of the chain so far as a whole", unit=NUMBER, side="estimate"
    ),
    Variable(
        "rate_lyapunov",
        "Lyapunov",
        "what the operation adds to the gap of the two leading exponents",
        unit="nat",
        side="estimate",
    ),
    Variable(
        "rate_mixing", "mixing", "second singular value of its location chain", unit=NUMBER, side="estimate"
    ),
    Variable(
        "rate_mixing_walk",
        "by a walk",
        "the same of a reflected walk of the variance that it adds",
        unit=NUMBER,
        side="estimate",
    ),
    Variable("rate_variance", "+Sigma", "variance that it adds to the origin", unit="pixel^2"),
    Variable("rate_between", "+G", "variance that it adds between channels' mean origins", unit="pixel^2"),
    Variable("rate_left_out", "left out", "what was left out for its cost", ("method",), "", "text"),
    Variable("rate_passes", "passes", "vectors through the chain spent", ("method",), COUNT, "exact"),
    Variable("rate_record", "record", "everything that is known of the operation, as JSON", DIMS, "", "text"),
)

LOST = "decades of the median deficit that the operation takes away"


def lost(source: str) -> str:
    """The variable of the decades that are lost, `measured` or by a theory; it is declared."""
    name = f"rate_lost_{source.replace('-', '_')}"
    measured = source == "measured"
    label, meaning = ("lost", f"{LOST}, measured") if measured else (source, f"{LOST}, by {source}")
    declare([Variable(name, label, meaning, unit=DECADES, side="measured" if measured else "estimate")])
    return name


declare(RATES)
