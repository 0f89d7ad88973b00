"""What every theory of CSC is: one file with a class, registered as methods are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from conetheory.chain.cost import Cost
from conetheory.chain.local import checked_positions
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import Supply
from conetheory.chain.watch import Watch
from conetheory.counts import VECTORS, checked_seed, checked_whole
from conetheory.errors import InputError
from conetheory.progress import Progress, silent
from conetheory.rules.registry import Method
from conetheory.schema import Variable
from conetheory.theory.records import NotApplicable


class Theory(ABC):
    """A theory at one start layer: it sees chains, and predicts the median of `1 - |cos|` at layers below.

    A class says of itself: `name`, what a user types (the variable is `predicted_NAME`); `label`, in tables
    and figures; `needs`, what it wants of `chain.supply`, each computed once for all theories that ask;
    `of_drawn_vectors`, whether it predicts for the very vectors that are measured, so that it sees every
    measured image; `of_weights`, whether it says the same of every image, so that it sees the first alone;
    `by_default`, whether it is run where no theory is named; `squares`, whether it squares relevance in the
    chain's own dtype; `only_down`, whether sending vectors down is enough for it, so that chains of other
    libraries can be predicted; `details`, variables of its own beside the prediction, by layer (`detail`), or
    texts by method and start (`note`).

    Parameters
    ----------
    start
        the layer where relevance starts.
    layers
        to predict (None: all below the start).
    vectors, seed
        those of the measurement.
    positions
        locations per layer and image (None: what is affordable).
    """

    name: ClassVar[str]
    label: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    of_drawn_vectors: ClassVar[bool] = False
    of_weights: ClassVar[bool] = False
    by_default: ClassVar[bool] = True
    squares: ClassVar[bool] = False
    only_down: ClassVar[bool] = False
    details: ClassVar[tuple[Variable, ...]] = ()

    def __init__(
        self,
        start: str,
        *,
        layers: Sequence[str] | None = None,
        vectors: int = 5,
        seed: int = 0,
        positions: int | None = None,
    ) -> None:
        self.start, self.layers = start, layers
        self.vectors, self.seed = checked_whole(vectors, "vectors", 2, VECTORS), checked_seed(seed)
        self.positions = checked_positions(positions)
        self.images = self.first_image = 0

    @classmethod
    def applies(cls, method: Method) -> NotApplicable | None:
        """Why it says nothing of a method; None where it does.

        Not asked of methods without layers. A theory with `needs` is not run where a method is not linear,
        whatever is said here.
        """
        return None

    @classmethod
    def speaks(cls, chain: RelevanceChain, start: str) -> NotApplicable | None:
        """Why it says nothing of this network from a start layer, though of its method; None where it does.

        Parameters
        ----------
        chain
            any of those that it would see.
        start
            the name of a layer.

        Returns
        -------
        NotApplicable or None
            the reason.
        """
        return None

    def supply(self, chain: RelevanceChain, progress: Progress = silent) -> Supply:
        """What it needs of a chain that nobody shares.

        Parameters
        ----------
        chain
            whose images these are.
        progress
            is told of each part that is done.

        Returns
        -------
        Supply
            of its `needs`.
        """
        options = {"positions": self.positions, "seed": self.seed, "first_image": self.images}
        return Supply(chain, self.start, self.layers, **options, progress=progress)

    def add(self, chain: RelevanceChain, supply: Supply | None = None, progress: Progress = silent) -> None:
        """See every image of a chain, in any order.

        Parameters
        ----------
        chain
            of the same method and network as those before.
        supply
            what others know of the images (None: nothing).
        progress
            is told of each part that is done.

        Raises
        ------
        InputError
            where relevance leaves the range of the dtype.
        """
        supply = supply or self.supply(chain, progress)
        self.first_image = supply.first_image
        self.images = max(self.images, supply.first_image + len(chain))
        if self.speaks(chain, self.start) is not None:
            return
        with supply.watch, Watch("image", squares=self.squares) as watch:
            self.observe(chain.watched(watch), supply, progress)

    @abstractmethod
    def observe(self, chain: RelevanceChain, supply: Supply, progress: Progress) -> None:
        """See the images of a chain, which are numbers `first_image` and on.

        Parameters
        ----------
        chain
            one or more images.
        supply
            what its `needs` gave.
        progress
            is to be told of each part that is done.
        """

    @abstractmethod
    def median(self, layer: str) -> float:
        """The predicted median deficit, NaN where there is no prediction."""

    def band(self, layer: str) -> tuple[float, float]:
        """A 95% band of the median; NaN where the theory has none."""
        return np.nan, np.nan

    def detail(self, name: str, layer: str) -> float:
        """The value of one of its `details` at a layer; NaN where there is none.

        Parameters
        ----------
        name
            of the variable.
        layer
            its name.

        Returns
        -------
        float
            in the variable's unit.
        """
        return np.nan

    def note(self, name: str) -> str:
        """The text of one of its `details`."""
        return ""

    def record(self) -> dict[str, Any]:
        """What it has found, from which another of the same options goes on (`take`): for a study in parts.

        Returns
        -------
        dict
            of text, of numbers, texts, arrays, lists and dicts of these.

        Raises
        ------
        InputError
            where a class doesn't say it.
        """
        raise InputError(
            f"theory {self.name} has no `record`: it can't be run in parts, by --shard or --block"
        )

    def take(self, record: Mapping[str, Any]) -> None:
        """Add what was found of other images. What it says then must not depend on the order of the parts.

        Parameters
        ----------
        record
            of a theory with the same options.

        Raises
        ------
        InputError
            where a class doesn't say how.
        """
        raise InputError(f"theory {self.name} has no `take`: it can't be run in parts, by --shard or --block")

    def cost(self, chain: RelevanceChain) -> Cost:
        """What `add` costs for one image of the chain, `needs` included (`chain.cost`)."""
        return Cost()
