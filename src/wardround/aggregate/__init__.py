"""Many updates become one."""

from __future__ import annotations

from wardround.aggregate.base import Aggregator
from wardround.aggregate.mean import Mean
from wardround.aggregate.order import Median, TrimmedMean

AGGREGATORS: dict[str, type[Aggregator]] = {"mean": Mean, "median": Median, "trimmed_mean": TrimmedMean}
"""Names a plan may use in ``[aggregator] name = …``."""

__all__ = ["AGGREGATORS", "Aggregator", "Mean", "Median", "TrimmedMean"]
