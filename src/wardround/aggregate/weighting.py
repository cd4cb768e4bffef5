"""How aggregators weigh sites: as their plan says, or each once."""

from __future__ import annotations

from wardround.errors import PlanError

WEIGHTINGS = ("examples", "uniform")


class Weighed:
    """An aggregator with a field ``weighting``, one of `WEIGHTINGS`."""

    weighting: str

    def __post_init__(self) -> None:
        if self.weighting not in WEIGHTINGS:
            raise PlanError(f"aggregator weighting = {self.weighting!r} is not one of {', '.join(WEIGHTINGS)}")

    def share(self, num_examples: int) -> float:
        """Return the weight of the update of a site with that many training examples."""
        return float(num_examples) if self.weighting == "examples" else 1.0


class Uniform:
    """An aggregator in which every site counts once, or not at all."""

    @property
    def weighting(self) -> str:
        """Every site counts once."""
        return "uniform"

    def share(self, num_examples: int) -> float:
        """Return 1."""
        return 1.0
