"""Every variable of a result, declared once: its name, label, dimensions, unit, and which side it is on.

Tables, figures, reports and verdicts take what they say of a number from here; files carry it with them
(`long_name`, `units`, `label`, `side`, and for predictions the theory), so that they can be read without the
code that made them. A theory declares its own variables when it is registered (`declare`).

Dimensions: `method`, `start` (start layer), `layer` (from the start layers down to the input), `quantile`,
`side` (lower, upper), `image`, `target`, `measure`, `mode`. A deficit is `1 - |cos|`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import xarray as xr

VERSION = 2  # of what files say; 1 are those without attributes
INPUT = "input"  # the layer that is the image
DIMS = ("method", "start", "layer")
SIDES = ("lower", "upper")
BANDED = (*DIMS, "side")
ABOVE, CROSSING = "above", "crossing"  # of a layer: the one whose relevance it gets, and what lies between
# coordinates that describe others, and number nothing
LABELS = ("label", "depth", "rule", "family", ABOVE, CROSSING)
RESIDUAL, PROJECTION, STRIDE = "residual block", "projection block", ", stride "  # in crossings
WEIGHTS = "network_weights_sha256"  # the attribute that tells networks apart
DEFICIT, DECADES, COUNT, SHARE, NUMBER = "1 - |cos|", "decades", "count", "share", "1"

Side = Literal["measured", "estimate", "upper", "exact", "text"]


@dataclass(frozen=True)
class Variable:
    """label: at the head of a column. meaning: in a sentence. dims: beside what its dataset always has.

    side: `measured` from a sample, `estimate` without a guarantee, `upper` a bound that is certain or holds
    with the stated probability, `exact` a count or what was asked for, `text` a reason.
    part: of `KINDS`, for what a comparison is made of. theory, rank: of a prediction, the theory's name and
    its place among theories.
    """

    name: str
    label: str
    meaning: str
    dims: tuple[str, ...] = DIMS
    unit: str = DEFICIT
    side: Side = "measured"
    part: str = ""
    theory: str = ""
    rank: int = -1

    @property
    def attributes(self) -> dict[str, Any]:
        """As files carry it."""
        said = {"long_name": self.meaning, "units": self.unit, "label": self.label, "side": self.side}
        said |= {"part": self.part} if self.part else {}
        return said | ({"theory": self.theory, "rank": self.rank} if self.theory else {})


@dataclass(frozen=True)
class Theory:
    """What results say of a theory: its name as a user types it, its label, its place among theories."""

    name: str
    label: str
    rank: int

    @property
    def key(self) -> str:
        return self.name.replace("-", "_")

    @property
    def predicted(self) -> str:
        return f"predicted_{self.key}"

    @property
    def error(self) -> str:
        return f"error_decades_{self.key}"

    @property
    def variables(self) -> tuple[Variable, ...]:
        common = {"side": "estimate", "part": "predicted", "theory": self.name, "rank": self.rank}
        median = f"median deficit by {self.label}"
        return (
            Variable(self.predicted, self.label, median, **common),
            Variable(f"{self.predicted}_band", self.label, f"95% band of the {median}", BANDED, **common),
            Variable(self.error, self.label, "log10(predicted / measured)", unit=DECADES, **common),
        )


# What evidence can be of, and what it is called where it is missing.
KINDS = {
    "measured": "measured CSC",
    "predicted": "a prediction",
    "certified": "a certificate",
    "classes": "class sensitivity",
    "randomised": "randomisation",
}

MEASURED = "measured_deficit_median"
WHOLE_MAPS = "measured_flattened_deficit_median"
BASELINE = "baseline_deficit"
WORST = "certified_deficit_upper"
TYPICAL = "certified_deficit_upper_median"
MAP_UPPER = "certified_map_deficit_upper"
DISTANCE = "class_distance_median"

_MEASURED = (
    Variable(MEASURED, "measured", "median deficit over pairs, locations and images"),
    Variable("measured_deficit_mean", "mean", "mean deficit over pairs, locations and images"),
    Variable("measured_deficit_quantile", "quantiles", "quantiles of the deficit", (*DIMS, "quantile")),
    Variable("measured_band", "95% band", "95% bootstrap band of the median deficit", BANDED),
    Variable(WHOLE_MAPS, "whole map", "median deficit of whole maps of two starts"),
    Variable("dead_fraction", "dead", "pairs at locations where no relevance arrives", unit=SHARE),
    Variable("pairs_pooled", "pairs", "pairs at live locations", unit=COUNT, side="exact"),
    Variable(BASELINE, "random", "median deficit of random vectors", ("layer",), side="exact"),
)

# What holds for any two nonnegative starts, unless said otherwise.
_CERTIFIED = (
    Variable(WORST, "worst", "deficit at the worst certified location", side="upper"),
    Variable(f"{WORST}_p95", "95%", "95th percentile over certified locations", side="upper"),
    Variable(TYPICAL, "median", "deficit at the median certified location", side="upper"),
    Variable(
        "certified_gaussian_deficit_upper_median",
        "Gaussian",
        "deficit of two Gaussian starts at the median certified location, with probability 0.95",
        side="upper",
    ),
    Variable(
        "certified_half_angle_deficit_upper", "half-angle", "deficit by the projective diameter", side="upper"
    ),
    Variable(
        "certified_diameter_upper", "diameter", "projective diameter, worst location", DIMS, "nat", "upper"
    ),
    Variable(
        "certified_diameter_upper_median",
        "diameter",
        "projective diameter, median location",
        DIMS,
        "nat",
        "upper",
    ),
    Variable(
        "certified_share",
        "acute",
        "locations with acute angles between all columns; the others are not certified",
        unit=SHARE,
        side="exact",
    ),
    Variable(MAP_UPPER, "whole map", "deficit of whole maps of two starts", side="upper"),
    Variable(
        "certified_tau_1_upper",
        "tau_1",
        "what is left of the l1 distance of two starts of the same sum",
        unit=NUMBER,
        side="upper",
    ),
    Variable(
        "certified_every_image_deficit_upper",
        "every image",
        "deficit for every image with the same active units, at some locations",
        side="upper",
    ),
    Variable("certified_positions", "certified", "certified locations", unit=COUNT, side="exact"),
    Variable("locations", "locations", "locations that there are", unit=COUNT, side="exact"),
    Variable(
        "certified_worse_share_upper",
        "worse",
        "locations that may be worse than the worst of the sample, with confidence 0.95",
        unit=SHARE,
        side="upper",
    ),
    Variable(
        "certified_arriving_share",
        "arriving",
        "starts that arrive at a certified location, on average",
        unit=SHARE,
        side="exact",
    ),
    Variable(
        "certified_partial_locations",
        "partial",
        "certified locations where only some starts arrive",
        unit=COUNT,
        side="exact",
    ),
    Variable("violations", "violations", "starts beyond their bound", unit=COUNT, side="exact"),
    Variable("checked", "checked", "starts held against a bound", unit=COUNT, side="exact"),
    Variable(
        "nearest_ratio",
        "nearest",
        "measured over certified deficit of the nearest pair of starts",
        unit=NUMBER,
    ),
)

# Why there is none of a kind of certificate or prediction; the label says what there is none of.
_STARTS = ("method", "start")
REASONS = (
    Variable("not_applicable", "not certified", "why nothing is certified", _STARTS, "", "text"),
    Variable(
        "no_norm_cone",
        "no certificate of whole maps",
        "why whole maps are not certified",
        _STARTS,
        "",
        "text",
    ),
    Variable(
        "no_every_image",
        "none for every image with the same active units",
        "why nothing is certified for every image",
        _STARTS,
        "",
        "text",
    ),
)
NOT_PREDICTED = Variable("not_predicted", "no theory here", "why no theory applies", ("method",), "", "text")

# What the theory `origin` says of each layer beside its prediction; pixels are locations of its cut.
TRANSIENT, GRADIENT = "origin_transient_share", "origin_gradient_share"
WIDTH, APART, CUT = "origin_width", "origin_apart", "origin_cut"
_ORIGIN = (
    (TRANSIENT, "T", "tail that the start's own channels add, at the median location", SHARE, "measured"),
    (GRADIENT, "in G", "tail in the span of G, at the median location", SHARE, "measured"),
    (WIDTH, "width", "standard deviation of the origin, median", "pixel", "estimate"),
    (APART, "apart", "distance of channels' mean origins from the mean, rms, median", "pixel", "estimate"),
    ("origin_narrow_share", "narrow", "locations with an origin narrower than three pixels", SHARE, "exact"),
    ("origin_border_share", "border", "locations whose origin the map's border cuts", SHARE, "exact"),
    ("origin_columns_share", "columns", "locations where columns replace the Gaussian", SHARE, "exact"),
    ("origin_repaired_share", "repaired", "locations whose Sigma was raised to 0.05 pixel^2", SHARE, "exact"),
)
ORIGIN = (
    *(Variable(name, label, said, unit=unit, side=side) for name, label, said, unit, side in _ORIGIN),
    Variable(CUT, "origins on", "the map on whose locations origins are counted", _STARTS, "", "text"),
)

_IMAGES = ("method", "image")
_CLASSES = (
    Variable(DISTANCE, "top classes", "median distance of top classes' maps", _IMAGES),
    Variable("class_distance_sampled", "random classes", "median distance of random classes' maps", _IMAGES),
    Variable(
        "predicted_class_distance",
        "predicted",
        "median distance of random classes' maps, by the spectrum",
        _IMAGES,
        side="estimate",
    ),
    Variable("class_distance_worst", "worst pair", "largest distance of two classes' maps", _IMAGES),
    Variable("movable_share", "movable share", "variance of a map that the class moves", _IMAGES, SHARE),
    Variable("effective_rank", "effective rank", "dimensions that maps of classes fill", _IMAGES, NUMBER),
    Variable("directions", "directions", "in which the class moves the map", (*_IMAGES, "rank"), NUMBER),
    Variable("worst_pair", "worst pair", "the classes of the largest distance", _IMAGES, NUMBER, "exact"),
    Variable("pair_distance", "pair", "distance of two named classes' maps", (*_IMAGES, "pair")),
    Variable("top_classes", "top", "classes of largest logit", (*_IMAGES, "top"), NUMBER, "exact"),
    Variable(
        "worst_bounds_mixtures",
        "bounds mixtures",
        "whether the worst pair bounds all mixtures of classes",
        ("method",),
        NUMBER,
        "exact",
    ),
)
_SIMILARITIES = (
    ("similarity", "similarity", "similarity to the untouched network's map", ("mode", "layer", "measure")),
    ("smooth_similarity", "smooth", "similarity of maps of noisy copies", ("layer", "measure")),
    ("random_logit", "random logit", "similarity to the map of another class", ("measure",)),
    ("efficient_mprt", "eMPRT", "rise of the map's complexity under randomisation", ()),
)
_STATISTICS = (("", ""), ("_median", ", median over images"), ("_band", ", 95% band of the median"))
_SANITY = (
    *(
        Variable(name + suffix, label, meaning + more, dims, NUMBER)
        for name, label, meaning, dims in _SIMILARITIES
        for suffix, more in _STATISTICS
    ),
    Variable(
        "rank_one_bound",
        "any relevance",
        "similarity that the chain below leaves to any relevance",
        ("layer", "measure"),
        NUMBER,
        "estimate",
    ),
    Variable("target", "class", "the output that is explained", ("image",), NUMBER, "exact"),
    Variable("other_class", "other", "the output of the random-logit check", ("image",), NUMBER, "exact"),
    Variable("live_images", "live images", "images that have a map", ("mode", "layer"), COUNT, "exact"),
)
_MAPS = (
    Variable("map", "map", "relevance at the input, channels reduced", (), "relevance", "exact"),
    Variable("picture", "picture", "the picture that is explained", (), NUMBER, "exact"),
    Variable("class_index", "class", "the output that is explained", (), NUMBER, "exact"),
    Variable(
        "origin_density",
        "origin",
        "where a channel's relevance at a location comes from",
        (),
        NUMBER,
        "exact",
    ),
    Variable("origin_channel", "channel", "whose origin it is", (), NUMBER, "exact"),
    Variable(
        "origin_place", "location", "whose channels they are, in shares of the map", (), NUMBER, "exact"
    ),
    Variable("origin_layer", "layer", "the layer whose relevance it is", ("method",), "", "text"),
    Variable("location_field", "s", "location weights of a target over their mean", (), NUMBER, "exact"),
)

# Theories of files that were written before files said what they hold.
_BEFORE = (
    Theory("local-spectrum", "local spectrum", 0),
    Theory("two-scale", "two-scale", 1),
    Theory("mean-field", "mean-field", 2),
)

_PARTS = {"measured": _MEASURED, "certified": _CERTIFIED}
_DECLARED: dict[str, Variable] = {
    v.name: v
    for v in (
        *(replace(v, part=part) for part, group in _PARTS.items() for v in group),
        *(*REASONS, NOT_PREDICTED, *ORIGIN, *_CLASSES, *_SANITY, *_MAPS),
        *(v for theory in _BEFORE for v in theory.variables),
    )
}


def declare(variables: Sequence[Variable]) -> None:
    """Add what a theory, or another room, writes into results."""
    _DECLARED.update({v.name: v for v in variables})


def withdraw(variables: Sequence[Variable]) -> None:
    """Take back what was declared."""
    for v in variables:
        _DECLARED.pop(v.name, None)


def variable(name: str, attributes: Mapping[str, Any] | None = None) -> Variable | None:
    """What is known of a variable: as declared, else by its attributes in a file; None where nothing is."""
    said = attributes or {}
    if "side" in said and name not in _DECLARED:
        texts = {k: str(said[k]) for k in ("label", "side", "part") if k in said}
        place = {"theory": str(said["theory"]), "rank": int(said["rank"])} if "theory" in said else {}
        return Variable(name, meaning=str(said["long_name"]), unit=str(said["units"]), **texts, **place)
    return _DECLARED.get(name)


def annotated(data: xr.Dataset) -> xr.Dataset:
    """The dataset with what is declared of its variables in their attributes; others keep their own."""
    found = data.copy()
    for name in found.data_vars:
        if name in _DECLARED:
            found[name].attrs = found[name].attrs | _DECLARED[name].attributes
    return found.assign_attrs(schema=VERSION)


def known(data: xr.Dataset) -> dict[str, Variable]:
    """The variables of a dataset of which anything is known."""
    found = {str(name): variable(str(name), values.attrs) for name, values in data.data_vars.items()}
    return {name: said for name, said in found.items() if said is not None}


def theories(data: xr.Dataset) -> list[Theory]:
    """The theories that a dataset holds predictions of, the first in rank first."""
    said = [Theory(v.theory, v.label, v.rank) for v in known(data).values() if v.theory]
    found = {theory.name: theory for theory in said if theory.predicted in data}
    return sorted(found.values(), key=lambda theory: (theory.rank, theory.name))


def numbers(data: xr.Dataset) -> dict[str, Variable]:
    """The variables that are numbers along method, start and layer, or some of them."""
    return {
        name: said
        for name, said in known(data).items()
        if set(data[name].dims) <= set(DIMS) and data[name].dtype.kind == "f"
    }
