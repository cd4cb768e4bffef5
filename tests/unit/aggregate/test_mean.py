"""The weighted mean against a slow one, and its promise to hold one update at a time."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.aggregate import AGGREGATORS, Mean
from wardround.core.update import Update
from wardround.errors import PlanError


def update(site: str, weight: int, seed: int) -> Update:
    rng = np.random.default_rng(seed)
    tensors = {"net/a": rng.normal(size=(3, 2)).astype(np.float32), "stat/s": np.array(rng.normal(), np.float32)}
    return Update(site, 0, tensors, weight)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=6), st.sampled_from(["examples", "uniform"]))
def test_the_mean_is_the_slow_one(weights: list[int], weighting: str) -> None:
    updates = [update(f"site-{i}", weight, i) for i, weight in enumerate(weights)]
    total = Mean(weighting).combine(updates)
    shares = weights if weighting == "examples" else [1] * len(weights)
    for name in ("net/a", "stat/s"):
        slow = sum(w * u.tensors[name].astype(np.float64) for w, u in zip(shares, updates, strict=True)) / sum(shares)
        np.testing.assert_allclose(total.mean()[name], slow.astype(np.float32), rtol=1e-6, atol=1e-8)
        assert total.tensors[name].dtype == np.float64
        assert total.tensors[name].shape == updates[0].tensors[name].shape
    assert total.weight == sum(shares)
    assert total.sites == tuple(u.site for u in updates)


def test_the_sum_is_formed_in_the_order_of_the_input() -> None:
    big, small, back = (Update(s, 0, {"x": np.array([v])}, 1) for s, v in (("a", 1e16), ("b", 1.0), ("c", -1e16)))
    assert Mean("uniform").combine([big, back, small]).tensors["x"][0] == 1.0
    assert Mean("uniform").combine([big, small, back]).tensors["x"][0] == 0.0


def test_the_mean_of_one_update_is_that_update_bit_for_bit() -> None:
    only = update("a", 697, 5)
    for name, value in Mean().combine([only]).mean().items():
        assert value.tobytes() == only.tensors[name].tobytes()


def test_at_most_one_update_is_alive() -> None:
    made_so_far: list[weakref.ref[Update]] = []
    most = 0

    def stream() -> Iterator[Update]:
        nonlocal most
        for index in range(6):
            gc.collect()
            most = max(most, sum(reference() is not None for reference in made_so_far))
            made = update(f"site-{index}", 1, index)
            made_so_far.append(weakref.ref(made))
            yield made
            del made

    assert len(Mean().combine(stream()).sites) == 6
    assert most == 1


def test_the_inputs_are_not_changed() -> None:
    first = update("a", 2, 1)
    kept = {name: value.copy() for name, value in first.tensors.items()}
    Mean().combine([first, update("b", 3, 2)])
    for name, value in kept.items():
        np.testing.assert_array_equal(first.tensors[name], value)


def test_without_updates_the_sum_is_empty() -> None:
    total = Mean().combine([])
    assert (dict(total.tensors), total.weight, total.sites) == ({}, 0.0, ())


def test_an_unknown_weighting_is_refused_by_name() -> None:
    with pytest.raises(PlanError, match="'exampels' is not one of examples, uniform"):
        Mean("exampels")
    assert AGGREGATORS["mean"] is Mean
