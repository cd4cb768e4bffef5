"""Many updates become one."""

from __future__ import annotations

from wardround.aggregate.base import Aggregator
from wardround.aggregate.geometric_median import GeometricMedian
from wardround.aggregate.krum import Krum, MultiKrum
from wardround.aggregate.mean import Mean
from wardround.aggregate.order import Median, TrimmedMean

AGGREGATORS: dict[str, type[Aggregator]] = {
    "mean": Mean,
    "median": Median,
    "trimmed_mean": TrimmedMean,
    "geometric_median": GeometricMedian,
    "krum": Krum,
    "multi_krum": MultiKrum,
}
"""Names a plan may use in ``[aggregator] name = …``."""

__all__ = ["AGGREGATORS", "Aggregator", "GeometricMedian", "Krum", "Mean", "Median", "MultiKrum", "TrimmedMean"]
