"""What every `Aggregator` must do."""

from __future__ import annotations

import numpy as np

from wardround.aggregate import Aggregator
from wardround.checker import View
from wardround.core.update import Update

FAR = 1e6


def update(site: str, num_examples: int, seed: int, size: float = 1.0) -> Update:
    rng = np.random.default_rng(seed)
    tensors = {
        "net/a": np.asarray(size * rng.normal(size=(3, 2)), np.float32),
        "stat/s": np.array(size * rng.normal(), np.float32),
    }
    return Update(site, 0, tensors, num_examples)


class AggregatorContract:
    """Join with one line: ``class TestMine(AggregatorContract): aggregator = Mine()``."""

    aggregator: Aggregator

    def updates(self, count: int = 7) -> list[Update]:
        return [update(f"site-{index}", 10 + index, index) for index in range(count)]

    def test_names_and_shapes_stay_and_sums_are_float64(self) -> None:
        updates = self.updates()
        total = self.aggregator.combine(updates)
        assert total.sites == tuple(each.site for each in updates)
        for name, value in updates[0].tensors.items():
            assert (total.tensors[name].shape, total.tensors[name].dtype) == (value.shape, np.float64)
            assert total.mean()[name].dtype == np.float32

    def test_of_equal_updates_it_makes_that_update(self) -> None:
        equal = [update(f"site-{index}", 5, 0) for index in range(7)]
        for name, value in self.aggregator.combine(equal).mean().items():
            np.testing.assert_allclose(value, equal[0].tensors[name], rtol=1e-6)

    def test_the_mean_lies_between_the_least_and_the_largest(self) -> None:
        updates = self.updates()
        for name, value in self.aggregator.combine(updates).mean().items():
            every = np.stack([each.tensors[name] for each in updates])
            assert (every.min(axis=0) - 1e-6 <= value).all()
            assert (value <= every.max(axis=0) + 1e-6).all()

    def test_it_follows_a_shift_of_all_updates(self) -> None:
        updates = self.updates()
        shifted = [
            Update(each.site, 0, {name: np.asarray(value + 3, np.float32) for name, value in each.tensors.items()}, 1)
            for each in updates
        ]
        plain = [Update(each.site, 0, each.tensors, 1) for each in updates]
        before, after = self.aggregator.combine(plain).mean(), self.aggregator.combine(shifted).mean()
        for name, value in before.items():
            np.testing.assert_allclose(after[name], value + 3, rtol=1e-5)

    def test_one_far_update_moves_it_only_where_it_needs_no_more_than_the_sum(self) -> None:
        """What sees each update withstands one; what sees a sum cannot: the reason for the difference."""
        honest = self.updates()
        spoiled = [*honest[:-1], update("site-6", 16, 6, FAR)]
        moved = max(
            float(np.abs(value - self.aggregator.combine(honest).mean()[name]).max())
            for name, value in self.aggregator.combine(spoiled).mean().items()
        )
        assert (moved > FAR / 100) == (self.aggregator.combiner.needs is View.SUM)

    def test_the_inputs_are_not_changed(self) -> None:
        updates = self.updates()
        kept = [{name: value.copy() for name, value in each.tensors.items()} for each in updates]
        self.aggregator.combine(updates)
        for each, before in zip(updates, kept, strict=True):
            for name, value in before.items():
                np.testing.assert_array_equal(each.tensors[name], value)

    def test_too_few_updates_are_an_empty_sum(self) -> None:
        total = self.aggregator.combine(self.updates(self.aggregator.combiner.least_updates - 1))
        assert (dict(total.tensors), total.weight, total.sites) == ({}, 0.0, ())

    def test_as_few_as_it_says_are_enough(self) -> None:
        assert self.aggregator.combine(self.updates(self.aggregator.combiner.least_updates)).weight > 0
