"""Every variable that the rooms of this package write into results, but for those of theories."""

from __future__ import annotations

from conetheory.schema.kinds import BANDED, COUNT, DIMS, NUMBER, SHARE, STAGE, Side, Theory, Variable

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
LIVE = "live_baseline_deficit"
WORST = "certified_deficit_upper"
TYPICAL = "certified_deficit_upper_median"
MAP_UPPER = "certified_map_deficit_upper"
DISTANCE = "class_distance_median"

MEASURED_VARIABLES = (
    Variable(MEASURED, "measured", "median deficit over pairs, locations and images"),
    Variable("measured_deficit_mean", "mean", "mean deficit over pairs, locations and images"),
    Variable("measured_deficit_quantile", "quantiles", "quantiles of the deficit", (*DIMS, "quantile")),
    Variable("measured_band", "95% band", "95% bootstrap band of the median deficit", BANDED),
    Variable(WHOLE_MAPS, "whole map", "median deficit of whole maps of two starts"),
    Variable("measured_flattened_band", "95% band", "95% bootstrap band of the whole maps' median", BANDED),
    Variable("dead_fraction", "dead", "pairs at locations where no relevance arrives", unit=SHARE),
    Variable("pairs_pooled", "pairs", "pairs at live locations", unit=COUNT, side="exact"),
    Variable(BASELINE, "random", "median deficit of random vectors", ("layer",), side="exact"),
    Variable(LIVE, "random, live", "median deficit of random vectors in the live channels"),
)

# What holds for any two nonnegative starts, unless said otherwise.
CERTIFIED = (
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

# What is run, each stage with its cost as it was counted before; the labels are the fields of a step.
_STAGES = ("method", STAGE)
PLAN = (
    Variable("plan_passes", "passes", "cost for an image, in vectors sent down", _STAGES, COUNT, "estimate"),
    Variable("plan_bytes", "bytes", "memory at the peak, beside network and chain", _STAGES, "B", "estimate"),
    Variable("plan_runs", "runs", "whether the stage is run", _STAGES, NUMBER, "exact"),
)

# What the theory `origin` says of each layer beside its prediction; pixels are locations of its cut.
TRANSIENT, GRADIENT = "origin_transient_share", "origin_gradient_share"
WIDTH, APART, CUT = "origin_width", "origin_apart", "origin_cut"
_ORIGIN: tuple[tuple[str, str, str, str, Side], ...] = (
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

# Gammas of LRP-gamma that were tried, between which a layer forgets its start (`predict.critical`).
CRITICAL = (
    Variable(
        "critical_gamma_remembered",
        "remembers at",
        "largest gamma tried below all at which the layer forgets; 0 where it forgets at all",
        unit=NUMBER,
        side="estimate",
        theorem="gaussian-law",
    ),
    Variable(
        "critical_gamma_forgotten",
        "forgets at",
        "smallest gamma tried at which the layer forgets; inf where it remembers at all",
        unit=NUMBER,
        side="estimate",
        theorem="gaussian-law",
    ),
)

_IMAGES = ("method", "image")
CLASSES = (
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
    Variable(
        "ssm",
        "SSM",
        "sqrt(1 + S) of the maps of the top classes, S the sum of (sigma_i / sigma_1)^2 beyond the first",
        _IMAGES,
        NUMBER,
    ),
    Variable(
        "top_overlap",
        "top overlap",
        "share of the 5% of locations of largest relevance that the maps of two top classes have in common",
        _IMAGES,
        SHARE,
    ),
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
SANITY = (
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
MAPS = (
    Variable("map", "map", "relevance at the input, channels reduced", (), "relevance", "exact"),
    Variable("picture", "picture", "the picture that is explained", (), NUMBER, "exact"),
    Variable("class_index", "class", "the output that is explained", (), NUMBER, "exact"),
    Variable("probability", "probability", "of the class that is explained, by softmax", (), SHARE, "exact"),
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
BEFORE = (
    Theory("local-spectrum", "local spectrum", 0),
    Theory("two-scale", "two-scale", 1),
    Theory("mean-field", "mean-field", 2),
)
