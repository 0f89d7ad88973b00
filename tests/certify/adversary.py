"""Every certificate of a network against exact arithmetic, with no slack: who contradicts one wins.

The adversary holds all columns, mixtures of them, and for image-free statements other images of the same
active units, against what was certified. `attack` gives for each kind of certificate how many were held, how
many were violated, and how near the best attempt came.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import mpmath
import numpy as np
import torch
from flint import arb, ctx, fmpq, fmpq_mat

from conetheory.certify.blocks import CONFIDENCE, block_chain_certificate, certify_block
from conetheory.certify.certifier import CscCertifier
from conetheory.certify.signed import signed_cone_certificate
from conetheory.chain.local import sample_positions
from conetheory.chain.relevance import RelevanceChain
from conetheory.networks.graph import INPUT, Graph
from conetheory.networks.ops import MaxPool2d, PassThrough
from conetheory.predict import below
from conetheory.rules.registry import get_method
from conetheory.theory.cosine import deficit_upper
from tests.certify.exact import exact_columns, rational
from tests.certify.networks import F64, cancelling_network, random_network, vanishing_network

METHODS: tuple[tuple[str, dict], ...] = (
    ("lrp-alpha1beta0", {}),
    ("lrp-alpha1beta0", {"bias": "bach"}),
    ("lrp-alpha1beta0", {"stabiliser": 1e-9}),
    ("lrp-alpha1beta0", {"empty_pool": "renormalise"}),
    ("excitation-bp", {}),
    ("w-square", {}),
    ("flat", {}),
    ("z-box", {}),
    ("deep-taylor", {}),
    ("deeplift-ablation", {}),
    ("lrp-alpha2beta1", {}),
    ("lrp-alpha1.5beta0.5", {"bias": "bach"}),
    ("lrp-alpha2beta1", {"empty_pool": "renormalise"}),
)
SIGNED = METHODS[-3:]
HARD = 10_000  # the number of the first network of zeros that are none
PARTS = ("maps", "blocks", "images")  # beside locations
Vector = list[fmpq]
ctx.prec = 200


@dataclass
class Tally:
    """Certificates held, violated, refused, and the nearest attempt, measured over certified."""

    held: int = 0
    violated: int = 0
    nearest: float = 0.0

    def add(self, holds: bool, ratio: float = 0.0) -> None:
        self.held += 1
        self.violated += not holds
        self.nearest = float(np.fmax(self.nearest, ratio))

    def join(self, other: Tally) -> None:
        self.held, self.violated = self.held + other.held, self.violated + other.violated
        self.nearest = float(np.fmax(self.nearest, other.nearest))

    def numbers(self) -> list[float]:
        return [self.held, self.violated, self.nearest]


@dataclass
class Attack:
    """What became of one network and one rule."""

    rule: str
    kinds: dict[str, Tally] = field(default_factory=dict)
    worst: list[str] = field(default_factory=list)

    def note(self, kind: str, where: str, holds: bool, ratio: float = 0.0) -> None:
        self.kinds.setdefault(kind, Tally()).add(holds, ratio)
        if not holds:
            self.worst.append(f"{self.rule}: {kind} at {where}: {ratio}")


# ---------------------------------------------------------------- exact comparisons


def squares(u: Vector) -> fmpq:
    return sum((x * x for x in u), fmpq(0))


def deficit_holds(u: Vector, v: Vector, bound: float) -> tuple[bool, float]:
    """Whether 1 - |cos(u, v)| <= bound, exactly; and the ratio of the two as a float."""
    dot = sum((a * b for a, b in zip(u, v, strict=True)), fmpq(0))
    squared = dot * dot / (squares(u) * squares(v))
    least = 1 - rational(bound)
    sine2 = float_of(1 - squared)
    deficit = sine2 / (1 + float_of(squared) ** 0.5)
    return least <= 0 or squared >= least * least, deficit / bound if bound > 0 else float(deficit > 0)


def float_of(x: fmpq) -> float:
    return float(arb(x).mid())


def distance(u: Vector, v: Vector) -> arb | None:
    """Hilbert's metric of two nonnegative vectors; None where their zeros differ."""
    if any((a == 0) != (b == 0) for a, b in zip(u, v, strict=True)):
        return None
    ratios = [a / b for a, b in zip(u, v, strict=True) if a != 0]
    return (arb(sorted(ratios)[-1]) / arb(sorted(ratios)[0])).log()


def diameter_holds(u: Vector, v: Vector, bound: float) -> tuple[bool, float]:
    if bound == np.inf:
        return True, 0.0
    d = distance(u, v)
    return d is not None and not d > arb(bound), float(d.mid()) / bound if d is not None and bound else 0.0


def excess(columns: Sequence[Vector]) -> float | None:
    """S = sum_{i >= 2} (s_i / s_1)^2, rounded down; None where it is too small for the digits there are."""
    m = len(columns[0])
    gram = [[sum((c[i] * c[j] for c in columns), fmpq(0)) for j in range(m)] for i in range(m)]
    trace = sum((gram[i][i] for i in range(m)), fmpq(0))
    with mpmath.workdps(80):
        G = mpmath.matrix([[_mpf(x / trace) for x in row] for row in gram])
        top = sorted(mpmath.eigsy(G, eigvals_only=True))[-1]
        tail = 1 / top - 1
        return float(tail * (1 - mpmath.mpf(10) ** -15)) if tail > mpmath.mpf(10) ** -60 else None


def _mpf(x: fmpq) -> mpmath.mpf:
    return mpmath.mpf(int(x.p)) / int(x.q)


# ---------------------------------------------------------------- the attack


def attack(
    graph: Graph, image: torch.Tensor, method: str, options: dict, seed: int, parts: Sequence[str] = PARTS
) -> Attack:
    """Certify a network with a rule, and hold all that is certified against its exact chain; or parts of
    it."""
    rng = np.random.default_rng([seed, 1])
    found = Attack(f"{method} {options}".strip())
    chain = RelevanceChain(graph, image, get_method(method, **options), dtype=F64)
    if not torch.isfinite(chain.logits).all():
        return found
    thorough = bool({"maps", "images"} & {*parts}) or not chain.method.nonnegative
    certifier = CscCertifier("logits", thorough=thorough, block_positions=2, seed=seed)
    certifier.add(chain)
    if not certifier.certificates:
        return found
    columns = exact_columns(chain, "logits")
    for layer, held in certifier.certificates.items():
        at = locations(columns[layer], chain.shape(layer))
        _locations(found, layer, at, held, rng, signed=not chain.method.nonnegative)
        if held.tau_1_upper:
            _maps(found, layer, columns[layer], held)
    if chain.method.nonnegative and "blocks" in parts:
        _blocks(found, chain, columns, seed)
    if chain.method.nonnegative and "images" in parts:
        _other_images(found, chain, certifier, rng)
    if "maps" in parts and chain.method.sum_preserving and options.get("bias") != "signed":
        _cones(found, chain, columns[INPUT], rng)
    return found


def locations(C: fmpq_mat, shape: tuple[int, ...]) -> list[list[Vector]]:
    """The columns at each location: [location][column][channel]."""
    area = int(np.prod(shape[1:], dtype=int))
    return [[[C[c * area + p, k] for c in range(shape[0])] for k in range(C.ncols())] for p in range(area)]


def mixtures(columns: Sequence[Vector], rng: np.random.Generator) -> list[Vector]:
    """Images of some nonnegative starts beside the columns: of two of them, of all."""
    weights = [10.0 ** rng.uniform(-3, 3, len(columns)) for _ in range(2)]
    weights[0] *= rng.random(len(columns)) < 0.6
    return [combined(columns, w) for w in weights if w.any()]


def combined(columns: Sequence[Vector], w: np.ndarray) -> Vector:
    scales = [rational(x) for x in w]
    return [
        sum((s * c[i] for s, c in zip(scales, columns, strict=True)), fmpq(0)) for i in range(len(columns[0]))
    ]


def _locations(
    found: Attack, layer: str, at: list[list[Vector]], held, rng: np.random.Generator, signed: bool
) -> None:
    certified = (held.deficit_upper, held.diameter_upper, held.gaussian_deficit_upper, held.arriving)
    for p, worst, diameter, gaussian, share in zip(
        held.positions[0], *(each[0] for each in certified), strict=True
    ):
        where = f"{layer}[{p}]"
        live = [c for c in at[p] if any(c)]
        paths = 0.0 if np.isnan(share) else share * len(at[p])
        # Of a signed chain paths may cancel, exactly: then nothing may be certified of such columns.
        cancelled = signed and len(live) < round(paths) and not worst < np.inf
        found.note("arriving", where, round(paths) == len(live) or cancelled, share)
        found.note("dead", where, bool(np.isnan(worst)) == (paths == 0))
        if np.isnan(worst) or not live:
            continue
        vectors = live + [m for m in mixtures(live, rng) if any(m)]
        if worst < np.inf:
            found.note("deficit", where, *_all(deficit_holds, vectors, worst))
        if not np.isnan(diameter) and diameter < np.inf:
            found.note("diameter", where, *_all(diameter_holds, vectors, diameter))
        if gaussian < 1 and rng.random() < 0.3 and (S := excess(live)) is not None:
            least = float(deficit_upper(S, 1 - CONFIDENCE))
            found.note("gaussian", where, least <= gaussian, least / gaussian)


def _all(holds, vectors: Sequence[Vector], bound: float) -> tuple[bool, float]:
    results = [holds(u, v, bound) for u, v in combinations(vectors, 2)]
    return all(ok for ok, _ in results), float(np.fmax.reduce([r for _, r in results], initial=0.0))


def _maps(found: Attack, layer: str, C: fmpq_mat, held) -> None:
    """Whole maps: what is left of the l1 distance of two starts, and the worst pair."""
    maps = [[C[i, k] for i in range(C.nrows())] for k in range(C.ncols())]
    tau, worst = held.tau_1_upper[0], held.map_deficit_upper[0]
    if np.isfinite(tau):
        left = [
            sum((abs(a - b) for a, b in zip(u, v, strict=True)), fmpq(0)) / 2
            for u, v in combinations(maps, 2)
        ]
        most = sorted(left)[-1] if left else fmpq(0)
        found.note("tau_1", layer, most <= rational(tau), float_of(most) / tau)
    live = [m for m in maps if any(m)]
    if np.isfinite(worst) and live:
        found.note("map", layer, *_all(deficit_holds, live, worst))


def _blocks(found: Attack, chain: RelevanceChain, columns: dict[str, fmpq_mat], seed: int) -> None:
    """Rows sent up at one layer; two blocks composed at every cut."""
    layers = [c for c in below(chain, "logits")]
    layer = layers[seed % len(layers)]
    at = locations(columns[layer], chain.shape(layer))
    (block,) = certify_block(chain, "logits", layer, positions=2, seed=seed)
    for p, worst, diameter, count in zip(
        block.positions, block.deficit_upper, block.diameter_upper, block.columns, strict=True
    ):
        live, where = [c for c in at[p] if any(c)], f"{layer}[{p}]"
        found.note("block columns", where, count == len(live))
        if live and worst < np.inf:
            found.note("block deficit", where, *_all(deficit_holds, live, worst))
        if live and diameter < np.inf:
            found.note("block diameter", where, *_all(diameter_holds, live, diameter))
    cuts = [c for c in chain.graph.cuts if c not in (INPUT, chain.graph.output)]
    if not cuts or not chain.method.fixed_pattern:
        return
    p = seed % int(np.prod(chain.shape(INPUT)[1:]))
    composed = block_chain_certificate(chain, "logits", cuts[seed % len(cuts)], INPUT, p)
    live = [c for c in locations(columns[INPUT], chain.shape(INPUT))[p] if any(c)]
    if composed and live:
        found.note("composed deficit", f"{INPUT}[{p}]", *_all(deficit_holds, live, composed.deficit_upper))
        found.note("composed diameter", f"{INPUT}[{p}]", *_all(diameter_holds, live, composed.diameter_upper))


def _other_images(
    found: Attack, chain: RelevanceChain, certifier: CscCertifier, rng: np.random.Generator
) -> None:
    """What is said of every image with the same active units, against some of them."""
    bounds = {k: held.every_image_deficit_upper[0] for k, held in certifier.certificates.items()}
    bounds = {k: bound for k, bound in bounds.items() if bound < 1}  # NaN where nothing is said
    if not bounds:
        return
    others = [exact_columns(other, "logits") for other in alike(chain, rng)]
    for layer, bound in bounds.items():
        for columns in others:
            at = locations(columns[layer], chain.shape(layer))
            for p in sample_positions(chain, layer, certifier.block_positions, 1, [certifier.seed, 0]):
                live = [c for c in at[p] if any(c)]
                if live:
                    found.note("every image", f"{layer}[{p}]", *_all(deficit_holds, live, bound))


def alike(chain: RelevanceChain, rng: np.random.Generator) -> Iterator[RelevanceChain]:
    """The chain itself and a few of other images with the same signs, active units and winners."""
    yield chain
    pattern = active(chain)
    for spread in (0.02, 0.3, 1.0, 4.0):
        scale = torch.from_numpy(np.exp(spread * rng.normal(size=chain.images.shape)))
        other = RelevanceChain(chain.graph, chain.images * scale, chain.method, dtype=F64)
        if torch.isfinite(other.logits).all() and active(other) == pattern:
            yield other


def active(chain: RelevanceChain) -> list[list[float]]:
    found = [chain.images.sign().flatten().tolist()]
    for node, xs, y in chain.graph.run(chain.images):
        if isinstance(node.op, PassThrough | MaxPool2d) or len(xs) > 1:
            found += [x.sign().flatten().tolist() for x in (*xs, y)]
        else:
            found += [x.sign().flatten().tolist() for x in xs]
        if isinstance(node.op, MaxPool2d):
            found.append(node.op.with_indices(xs[0])[1].flatten().tolist())
    return found


def _cones(found: Attack, chain: RelevanceChain, C: fmpq_mat, rng: np.random.Generator) -> None:
    """The norm cone, through a cut where there is one: nonnegative starts, and signed ones inside it."""
    cuts = [c for c in chain.graph.cuts if c not in (INPUT, chain.graph.output)]
    through = cuts[len(cuts) // 2 :][:1]
    certificate = signed_cone_certificate(chain, "logits", INPUT, through=through)
    if not certificate or not isinstance(certificate.deficit_upper, float):
        return
    maps = [[C[i, k] for i in range(C.nrows())] for k in range(C.ncols())]
    found.note(
        "norm cone", INPUT, *_all(deficit_holds, maps + mixtures(maps, rng), certificate.deficit_upper)
    )


def attacks(seed: int, rules: int = 1, parts: Sequence[str] = PARTS) -> Iterator[Attack]:
    """A random network, by its number, and some rules; from `HARD` on one whose zeros may be none."""
    rng, fitting = np.random.default_rng(seed), [*METHODS]
    if seed < HARD:
        graph, image = random_network(rng)
    elif seed % 2:
        graph, image = vanishing_network(rng)
        fitting = [m for m in METHODS if m not in SIGNED]
    else:
        graph, image = cancelling_network(rng)
        fitting = [*SIGNED]
    for k in rng.permutation(len(fitting))[:rules]:
        method, options = fitting[k]
        yield attack(graph, image, method, options, seed, parts)


__all__ = [
    "HARD",
    "METHODS",
    "Attack",
    "Tally",
    "attack",
    "attacks",
    "combined",
    "deficit_holds",
    "locations",
]
