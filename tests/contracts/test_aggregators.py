"""Every aggregator keeps the contract."""

from __future__ import annotations

from contracts.aggregator_contract import AggregatorContract

from wardround.aggregate import AGGREGATORS, Mean, Median, TrimmedMean


class TestMean(AggregatorContract):
    aggregator = Mean()


class TestUniformMean(AggregatorContract):
    aggregator = Mean("uniform")


class TestMedian(AggregatorContract):
    aggregator = Median()


class TestTrimmedMean(AggregatorContract):
    aggregator = TrimmedMean()


class TestTrimmedByTwo(AggregatorContract):
    aggregator = TrimmedMean(2)


def test_no_registered_aggregator_is_left_out() -> None:
    joined = {type(case.aggregator) for case in (TestMean, TestMedian, TestTrimmedMean)}
    assert joined == set(AGGREGATORS.values())


def test_an_aggregator_s_name_is_its_registered_one() -> None:
    for name, kind in AGGREGATORS.items():
        assert kind().combiner.name == name
