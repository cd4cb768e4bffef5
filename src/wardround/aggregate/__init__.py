"""Many updates become one."""

from __future__ import annotations

from wardround.aggregate.mean import Mean

AGGREGATORS = {"mean": Mean}
"""Names a plan may use in ``[aggregator] name = …``."""

__all__ = ["AGGREGATORS", "Mean"]
