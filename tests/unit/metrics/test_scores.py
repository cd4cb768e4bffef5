"""Scores of single images: their means, intervals by patient, and paired differences."""

from __future__ import annotations

import numpy as np
import pytest

from wardround.errors import DataError
from wardround.metrics.intervals import describe_scores, paired_difference
from wardround.metrics.scores import MeanOf, Scores


def scores(values: list[float], groups: str, name: str = "dice") -> Scores:
    return Scores({name: np.array(values)}, np.array(list(groups)))


def test_a_mean_leaves_out_what_is_not_defined() -> None:
    found = describe_scores(scores([0.5, np.nan, 1.0], "aab"), replicates=0)
    assert found.metrics["dice"].value == pytest.approx(0.75)
    assert (found.num_examples, found.num_groups) == (3, 2)
    assert describe_scores(scores([np.nan], "a"), 10).metrics["dice"].value is None
    assert describe_scores(Scores({"dice": np.empty(0)}, np.empty(0, str)), 10).metrics["dice"].value is None


def test_intervals_draw_whole_patients() -> None:
    rng = np.random.default_rng(3)
    level = rng.normal(0.5, 0.1, 20)
    alone = scores(level.tolist(), "abcdefghijklmnopqrst")
    repeated = Scores({"dice": np.repeat(level, 5)}, np.repeat(alone.groups, 5))
    once, often = (describe_scores(each, 400, 7).metrics["dice"] for each in (alone, repeated))
    assert (once.low, once.high) == pytest.approx((often.low, often.high))  # five copies of an image tell nothing new
    split = Scores({"dice": repeated.values["dice"]}, np.arange(100).astype(str))
    apart = describe_scores(split, 400, 7).metrics["dice"]
    assert once.low is not None
    assert apart.low is not None
    assert apart.low > once.low  # the control: as if they were a hundred patients


def test_a_difference_is_paired_image_by_image() -> None:
    base = np.linspace(0, 0.8, 30)
    names = np.arange(30).astype(str)
    better, worse = Scores({"dice": base + 0.1}, names), Scores({"dice": base}, names)
    found = paired_difference([better], [worse], MeanOf("dice"), 200)
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    with pytest.raises(DataError, match="not tested on the same rows"):
        paired_difference([better], [better.take(np.arange(29))], MeanOf("dice"))
    with pytest.raises(DataError, match="not tested on the same rows"):
        paired_difference([better], [Scores({"iou": base}, names)], MeanOf("dice"))


@pytest.mark.parametrize(
    ("column", "words"), [(np.ones(2), "one float64"), (np.ones(1, np.float32), "one float64"), ([np.inf], "infinite")]
)
def test_what_does_not_fit_is_refused(column: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        Scores({"dice": np.asarray(column)}, np.array(["a"]))
