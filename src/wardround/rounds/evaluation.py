"""When the model is looked at, and what leaves a site then."""

from __future__ import annotations

from dataclasses import dataclass

from wardround.errors import PlanError

SHARES = ("auto", "predictions", "metrics")


@dataclass(frozen=True)
class Evaluation:
    """The ``[evaluation]`` table.

    Attributes:
        every: rounds between two looks at the validation part; 0 never looks.
        share: what leaves a site: ``predictions`` (probabilities, labels and opaque group numbers; gives pooled AUC
            and intervals), ``metrics`` (numbers and a confusion matrix only), or ``auto``: predictions where the
            source is published data, metrics elsewhere.
        bootstrap: replicates of the interval.
        min_positives: a class counts in a one-vs-rest AUC when that many patients or lesions show it.
    """

    every: int = 10
    share: str = "auto"
    bootstrap: int = 1000
    min_positives: int = 10

    def __post_init__(self) -> None:
        if self.share not in SHARES:
            raise PlanError(f"evaluation share = {self.share!r} is not one of {', '.join(SHARES)}")
        if self.every < 0 or self.bootstrap < 0 or self.min_positives < 1:
            raise PlanError("evaluation needs every >= 0, bootstrap >= 0 and min_positives >= 1")

    def shares_predictions(self, public: bool) -> bool:
        """Whether predictions leave a site whose images are published, or are not."""
        return self.share == "predictions" or (self.share == "auto" and public)
