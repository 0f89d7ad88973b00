"""The plan before the work: what every stage costs, and which of them a budget affords.

It follows from the network, the method, the starts and the options, never from a clock: it is the same on
every machine, for every image, and for all parts of a study.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import comb, prod

import torch

from conetheory.certify.cost import certificate_cost
from conetheory.chain.cost import Cost, swept, work
from conetheory.chain.explained import ExplainerChain
from conetheory.chain.layers import below
from conetheory.chain.relevance import RelevanceChain
from conetheory.measure.histogram import BINS
from conetheory.networks.graph import INPUT
from conetheory.predict.registry import find, speaks, theories, usual
from conetheory.results.plan import CERTIFY, MEASURE, Plan, Step
from conetheory.runs.settings import PLANNED, Settings

TIMES = 12  # of what measuring costs: the budget where none is given, second moments of ResNet-50 in it
COMPARED = 1e4  # multiplications that it takes to compare two vectors at a location
FIRST_SWEEP = 6e9  # what the first sweep of a process takes beside that: a tenth of a second
SECONDS, MINUTE = 1.15e12, 3e12  # multiplications (`chain.cost.work`) of some 20 s, of a minute
ANY = 1.5e7  # bytes that any stage takes
FIRST = ("sampled-spectrum", "second-moment", "mean-field", "origin", "location-columns")
LAST = ("local-spectrum",)  # after certificates, which have its columns
Costs = Callable[[str], Cost]  # by start layer, in its own passes


def planned(chain: RelevanceChain | ExplainerChain, settings: Settings, *, certifiable: bool) -> Plan:
    """The stages of one method in their order; what was asked for by name is run whatever it costs.

    The budget are `settings.budget` vectors through the chain for each image; None: twelve times what
    measuring costs, and of small networks as many as take some 20 seconds. Certificates are kept as well
    where they take about a minute. certifiable: whether anything can be certified of the chain; where not,
    its stage says why, which costs nothing.
    """
    if isinstance(chain, ExplainerChain):
        return Plan(tuple(Step(stage, 0.0, 0.0, True) for stage, _ in _stages(chain, settings)))
    costs = _Costs(chain, settings, certifiable)
    budget = settings.budget
    if budget is None:
        budget = max(TIMES * costs.of(MEASURE).passes, SECONDS / costs.unit)
    steps, spent = [], 0.0
    for stage, asked in _stages(chain, settings):
        cost = costs.of(stage)
        short = stage == CERTIFY and cost.passes * costs.unit <= MINUTE
        runs = asked or short or spent + cost.passes <= budget
        spent += cost.passes if runs else 0.0
        steps.append(Step(stage, cost.passes, cost.bytes + ANY, runs))
    return Plan(tuple(steps))


def _stages(chain: RelevanceChain | ExplainerChain, settings: Settings) -> Iterator[tuple[str, bool]]:
    """Each stage that says something of the method, and whether it was asked for by name."""
    asked = settings.theories is not None
    names = usual() if settings.theories is None else settings.theories
    others = (name for name in theories() if name not in FIRST + LAST)
    found = [n for n in (*FIRST, *others, *LAST) if n in names and speaks(n, chain, settings.starts) is None]
    if settings.measure:
        yield MEASURE, True
    yield from ((name, asked) for name in found if name not in LAST)
    if settings.certify != 0:
        yield CERTIFY, settings.certify != PLANNED
    yield from ((name, asked) for name in found if name in LAST)


class _Costs:
    """What stages cost for one image, over all start layers, in vectors from the highest of them.

    unit: multiplications of one of these.
    """

    def __init__(self, chain: RelevanceChain, settings: Settings, certifiable: bool) -> None:
        self.chain, self.settings, self.certifiable = chain, settings, certifiable
        self.works = {start: work(chain.graph, start, INPUT) for start in settings.starts}
        self.unit = max(self.works.values())

    def of(self, stage: str) -> Cost:
        kinds: dict[str, Costs] = {MEASURE: self._measured, CERTIFY: self._certified}
        cost = kinds.get(stage, lambda start: self._predicted(stage, start))
        found = Cost()
        for start, own in self.works.items():
            found += cost(start).times(own / self.unit)
        return found

    def _measured(self, start: str) -> Cost:
        """The vectors' sweep, the comparison of all that arrives, and a histogram for each replicate."""
        chain, count = self.chain, self.settings.vectors
        layers = below(chain, start, self.settings.layers)
        locations = sum(prod(chain.shape(layer)[1:]) for layer in layers)
        kept = len(layers) * (1 + self.settings.bootstrap) * BINS * torch.float64.itemsize
        compared = comb(count, 2) * locations * COMPARED / self.works[start]
        sweep = swept(chain, start, count)
        passes = sweep.passes + compared + FIRST_SWEEP / self.works[start]
        return Cost(passes, sweep.bytes + kept)

    def _predicted(self, name: str, start: str) -> Cost:
        s = self.settings
        options = {"vectors": s.vectors, "seed": s.seed, "layers": s.layers, "positions": s.positions}
        return find(name)(start, **options).cost(self.chain)

    def _certified(self, start: str) -> Cost:
        if not self.certifiable:
            return Cost()
        s = self.settings
        return certificate_cost(self.chain, start, s.layers, positions=s.positions, vectors=s.vectors)
