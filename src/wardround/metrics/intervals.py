"""How sure a number is: percentile bootstraps, clustered by patient or lesion, and paired comparisons over seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from wardround.errors import DataError
from wardround.metrics.clinical import (
    FloatArray,
    Predictions,
    Statistic,
    auc_classes,
    balanced_accuracy,
    calibration_error,
    macro_auc,
    macro_f1,
    malignant_auc,
)
from wardround.metrics.scores import MeanOf, Scores

Tested = TypeVar("Tested", Predictions, Scores)
StatisticOf = Callable[[Tested, FloatArray], FloatArray]
"""``(outcome, weights (..., N)) -> (...)``."""

COVERAGE_PERCENT = (2.5, 97.5)
BLOCK_VALUES = 2**18
"""Weights made at a time (2 MiB): small enough to stay in a core's cache, whatever N."""


@dataclass(frozen=True)
class Estimate:
    """A number and its 95% interval.

    Attributes:
        value: the statistic on the sample itself; ``None`` if it is undefined there.
        low: lower end of the interval; ``None`` if no replicate defines it.
        high: upper end of the interval.
        undefined: replicates left out because the statistic is undefined in them (a class was not drawn).
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    undefined: int = 0

    @staticmethod
    def of(value: float, replicates: FloatArray) -> Estimate:
        """Make an estimate from the statistic on the sample and its replicates ``(R,)``; NaN means undefined."""
        defined = replicates[~np.isnan(replicates)]
        undefined = replicates.size - defined.size
        if np.isnan(value) or not defined.size:
            return Estimate(None if np.isnan(value) else float(value), undefined=undefined)
        low, high = np.percentile(defined, COVERAGE_PERCENT)
        return Estimate(float(value), float(low), float(high), undefined)


@dataclass(frozen=True)
class Description:
    """A network's metrics on one set of images.

    Attributes:
        metrics: of a classifier ``auc`` (macro, one versus rest), ``auc_malignant`` (only if malignant classes are
            named), ``balanced_accuracy``, ``f1``, ``calibration_error``; of others see `measures`.
        auc_classes: the classes that ``auc`` averages; none where there is no such metric.
        num_examples: number of images.
        num_groups: number of patients or lesions.
    """

    metrics: Mapping[str, Estimate]
    auc_classes: tuple[str, ...]
    num_examples: int
    num_groups: int


def describe(
    predictions: Predictions, replicates: int = 1000, seed: int = 0, min_positive_groups: int = 10
) -> Description:
    """Compute every metric with its interval, all from the same replicates.

    Args:
        predictions: may be empty; then every value is ``None``.
        replicates: bootstrap replicates; 0 gives values without intervals.
        seed: of the resampling.
        min_positive_groups: groups that a class needs to enter the macro AUC (see `auc_classes`).
    """
    statistics: dict[str, Statistic] = {"auc": partial(macro_auc, min_positive_groups=min_positive_groups)}
    if predictions.malignant:
        statistics["auc_malignant"] = malignant_auc
    statistics |= {"balanced_accuracy": balanced_accuracy, "f1": macro_f1, "calibration_error": calibration_error}
    drawn: dict[str, list[FloatArray]] = {name: [np.empty(0)] for name in statistics}
    for weights in cluster_weights(predictions.group_codes, replicates, np.random.default_rng(seed)):
        for name, statistic in statistics.items():
            drawn[name].append(statistic(predictions, weights))
    once = np.ones(len(predictions))
    return Description(
        metrics={
            name: Estimate.of(float(statistic(predictions, once)), np.concatenate(drawn[name]))
            for name, statistic in statistics.items()
        },
        auc_classes=auc_classes(predictions, min_positive_groups),
        num_examples=len(predictions),
        num_groups=predictions.num_groups,
    )


def describe_scores(scores: Scores, replicates: int = 1000, seed: int = 0) -> Description:
    """Compute the mean of every score with its interval, all from the same replicates.

    Args:
        scores: may be empty; then every value is ``None``.
        replicates: bootstrap replicates; 0 gives values without intervals.
        seed: of the resampling.
    """
    statistics = {name: MeanOf(name) for name in scores.values}
    drawn: dict[str, list[FloatArray]] = {name: [np.empty(0)] for name in statistics}
    for weights in cluster_weights(scores.group_codes, replicates, np.random.default_rng(seed)):
        for name, statistic in statistics.items():
            drawn[name].append(statistic(scores, weights))
    once = np.ones(len(scores))
    metrics = {
        name: Estimate.of(float(statistic(scores, once)), np.concatenate(drawn[name]))
        for name, statistic in statistics.items()
    }
    return Description(metrics, (), len(scores), scores.num_groups)


LESS_IS_BETTER = frozenset({"calibration_error", "hd95_px", "hd95_mm", "rmse", "frechet_random", "kernel_random"})


def worst_of(sites: Mapping[str, Mapping[str, float | None]]) -> dict[str, tuple[str, float]]:
    """Name the worst site in each metric, with its value; a metric that no site defines is left out.

    Args:
        sites: site -> metric -> value. Of equals the first counts.
    """
    worst: dict[str, tuple[str, float]] = {}
    for site, values in sites.items():
        for name, value in values.items():
            sign = 1.0 if name in LESS_IS_BETTER else -1.0
            if value is not None and (name not in worst or sign * value > sign * worst[name][1]):
                worst[name] = (site, value)
    return worst


def cluster_weights(group_codes: NDArray[np.int64], replicates: int, rng: np.random.Generator) -> Iterator[FloatArray]:
    """Yield how often each row occurs when whole groups are drawn with replacement, in blocks of replicates.

    One replicate draws G of the G groups: ``rng.integers(0, G, size=G)``, replicate after replicate, so the block size
    changes nothing.

    Args:
        group_codes: ``(N,)``, the group 0 … G-1 of each row.
        replicates: number of replicates.
        rng: the source of the draws.

    Yields:
        Weights ``(R, N)``; the R of all blocks sum to `replicates`.
    """
    groups = int(group_codes.max(initial=-1)) + 1
    block = max(1, BLOCK_VALUES // max(1, group_codes.size))
    for start in range(0, replicates, block):
        rows = min(block, replicates - start)
        draws = rng.integers(0, max(1, groups), size=(rows, groups)) + groups * np.arange(rows)[:, None]
        counts = np.bincount(draws.ravel(), minlength=rows * groups).reshape(rows, groups)
        yield counts.astype(np.float64)[:, group_codes]


def paired_difference(
    a: Sequence[Tested], b: Sequence[Tested], statistic: StatisticOf[Tested], replicates: int = 1000, seed: int = 0
) -> Estimate:
    """Estimate by how much `a` exceeds `b`, both trained once per seed and tested on the same rows.

    A replicate draws the groups of the test set and, independently, the pairs of seeds; all pairs see the same groups.
    With S seeds, the variance that the seeds cause is understated by a factor of about (S - 1) / S.

    Args:
        a: predictions (or scores of single images) by one setting, one element per training seed.
        b: predictions by the other; ``b[i]`` shares its seed with ``a[i]``.
        statistic: what is compared, for example `macro_auc`, `site_mean_auc` or `MeanOf`.
        replicates: bootstrap replicates.
        seed: of the resampling.

    Returns:
        The mean over seeds of ``statistic(a) - statistic(b)``, with its interval.

    Raises:
        DataError: there are no pairs, or they were not tested on the same rows.
    """
    _check_pairs(a, b)
    once = np.ones(len(a[0]))
    value = float(np.mean([statistic(left, once) - statistic(right, once) for left, right in zip(a, b, strict=True)]))
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, len(a), size=(replicates, len(a)))
    blocks: list[FloatArray] = [
        np.stack([statistic(left, weights) - statistic(right, weights) for left, right in zip(a, b, strict=True)])
        for weights in cluster_weights(a[0].group_codes, replicates, rng)
    ]
    gains = np.concatenate([np.empty((len(a), 0)), *blocks], axis=1)
    return Estimate.of(value, gains[pairs, np.arange(replicates)[:, None]].mean(axis=1))


def verdict(estimate: Estimate, aim: float, slack: float = 0.015) -> Literal["met", "missed", "undecided"]:
    """Say whether an estimate reaches `aim`.

    Args:
        estimate: with its interval; without one the verdict is "undecided".
        aim: what the value should be at least.
        slack: how far the interval may reach below the aim.

    Returns:
        "met": the value is at the aim or above and the interval ends no more than `slack` below it; "missed": the whole
        interval lies below the aim; "undecided" otherwise.
    """
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "undecided"
    if estimate.value >= aim and estimate.low >= aim - slack:
        return "met"
    return "missed" if estimate.high < aim else "undecided"


def site_mean_auc(origins: NDArray[Any], sites: Sequence[str], min_positive_groups: int = 10) -> Statistic:
    """Make the statistic "mean over `sites` of the macro AUC on each site's own rows".

    Which classes count at a site follows from all its rows (see `auc_classes`), not from the weights. The statistic is
    undefined where one of the sites' is.

    Args:
        origins: str ``(N,)``, the site of each row of the predictions it will be given.
        sites: the sites to average.
        min_positive_groups: groups that a class needs at a site.

    Raises:
        DataError: `sites` is empty, or one of them has no rows.
    """
    rows = {site: np.flatnonzero(origins == site) for site in sites}
    empty = [site for site, found in rows.items() if not found.size]
    if empty or not rows:
        raise DataError(f"sites {empty} have no rows among the predictions; name sites that do")

    def statistic(predictions: Predictions, weights: FloatArray) -> FloatArray:
        areas = [
            macro_auc(predictions.take(own), weights[..., own], min_positive_groups=min_positive_groups)
            for own in rows.values()
        ]
        return np.asarray(np.mean(areas, axis=0))

    return statistic


def _check_pairs(a: Sequence[Tested], b: Sequence[Tested]) -> None:
    if not a or len(a) != len(b):
        raise DataError(f"{len(a)} and {len(b)} runs cannot be paired; give both settings the same seeds")
    first = a[0]
    for other in (*a[1:], *b):
        if not np.array_equal(first.groups, other.groups) or not _agree(first, other):
            raise DataError("the compared runs were not tested on the same rows; use one split for all seeds")


def _agree(first: Predictions | Scores, other: Predictions | Scores) -> bool:
    if isinstance(first, Predictions) and isinstance(other, Predictions):
        return np.array_equal(first.labels, other.labels) and first.classes == other.classes
    return isinstance(first, Scores) and isinstance(other, Scores) and first.values.keys() == other.values.keys()
