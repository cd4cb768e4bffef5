"""Every aggregator keeps the contract."""

from __future__ import annotations

from contracts.aggregator_contract import AggregatorContract

from wardround.aggregate import AGGREGATORS, GeometricMedian, Krum, Mean, Median, MultiKrum, TrimmedMean


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


class TestGeometricMedian(AggregatorContract):
    aggregator = GeometricMedian()


class TestCountedGeometricMedian(AggregatorContract):
    aggregator = GeometricMedian("examples")


class TestKrum(AggregatorContract):
    aggregator = Krum()


class TestMultiKrum(AggregatorContract):
    aggregator = MultiKrum(2)


def test_no_registered_aggregator_is_left_out() -> None:
    cases = (TestMean, TestMedian, TestTrimmedMean, TestGeometricMedian, TestKrum, TestMultiKrum)
    joined = {type(case.aggregator) for case in cases}
    assert joined == set(AGGREGATORS.values())


def test_an_aggregator_s_name_is_its_registered_one() -> None:
    for name, kind in AGGREGATORS.items():
        assert kind().combiner.name == name
