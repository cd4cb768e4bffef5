"""What an aggregator is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from wardround.checker import Combiner
from wardround.core.update import Aggregate, Update


class Aggregator(Protocol):
    """Makes one update of many. A choice a plan makes in ``[aggregator]``."""

    @property
    def weighting(self) -> str:
        """How updates are weighed: ``examples`` or ``uniform``."""
        ...

    @property
    def combiner(self) -> Combiner:
        """What it must see, and where its weights come from."""
        ...

    def share(self, num_examples: int) -> float:
        """Return the weight of the update of a site with that many training examples."""
        ...

    def combine(self, updates: Iterable[Update]) -> Aggregate:
        """Return a sum that `Aggregate.mean` divides once; without updates, an empty one of weight 0."""
        ...
