"""Values become integers that every site counts in the same unit: never off by a step, and right on average."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wardround.errors import PlanError
from wardround.protect.quantise import MOST_BITS, Grid, Quantise, RealGrid, follow_from, integer_weights, real_grid

weights = hnp.arrays(np.float32, hnp.array_shapes(max_dims=2, max_side=5), elements=st.floats(-3, 3, width=32))
models = st.dictionaries(st.sampled_from(["net/a", "net/b", "stat/c", "variate/net/a"]), weights, min_size=1)
stages = st.builds(Quantise, bits=st.integers(2, MOST_BITS), floor=st.floats(1e-3, 10))
shares = st.floats(-1, 1)


@st.composite
def rounds(draw: st.DrawFn) -> tuple[Quantise, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A stage, what was broadcast, and a change within its ranges."""
    stage, model = draw(stages), draw(models)
    grid = stage.grid(model)
    change = {
        name: draw(hnp.arrays(np.float64, value.shape, elements=shares)) * grid.steps[name] * grid.largest
        for name, value in model.items()
    }
    return stage, model, change


@given(rounds(), st.integers(0, 2**32))
def test_no_value_is_off_by_a_step(
    one: tuple[Quantise, dict[str, np.ndarray], dict[str, np.ndarray]], seed: int
) -> None:
    stage, model, change = one
    grid = stage.grid(model)
    values, cut = grid.encode(change, np.random.default_rng(seed))
    assert values.dtype == np.int64
    assert np.abs(values).max(initial=0) <= stage.largest
    back = grid.decode(values)
    for name, value in change.items():
        assert back[name].shape == value.shape
        assert (np.abs(back[name] - value) < grid.steps[name] * (1 + 1e-9)).all()
    assert cut <= 1 / values.size * sum(
        np.isclose(np.abs(v), grid.steps[n] * grid.largest).sum() for n, v in change.items()
    )


@given(rounds())
def test_zero_and_whole_steps_stay_what_they_are(
    one: tuple[Quantise, dict[str, np.ndarray], dict[str, np.ndarray]],
) -> None:
    stage, model, change = one
    grid, rng = stage.grid(model), np.random.default_rng(0)
    zeros, cut = grid.encode({name: np.zeros_like(value) for name, value in change.items()}, rng)
    assert not zeros.any()
    assert cut == 0
    values, _ = grid.encode(change, rng)
    again, _ = grid.encode(grid.decode(values), rng)
    # A product with the step may end a hair below the whole number, and then be rounded down.
    assert np.abs(again - values).max(initial=0) <= 1
    assert (grid.encode(grid.decode(np.zeros_like(values)), rng)[0] == 0).all()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.73, -0.25, -0.999])
def test_rounding_is_right_on_average(share: float) -> None:
    grid = Quantise(bits=8).grid({"net/a": np.zeros(200_000, np.float32)})
    step = grid.steps["net/a"]
    values, _ = grid.encode({"net/a": np.full(200_000, (3 + share) * step)}, np.random.default_rng(5))
    floor = 3 + math.floor(share)
    assert set(values.tolist()) == {floor, floor + 1}
    # Five standard errors of a coin that falls `share` of the time.
    tolerance = 5 * math.sqrt((share % 1) * (1 - share % 1) / values.size)
    assert abs(values.mean() - (3 + share)) < tolerance


def test_a_value_beyond_its_range_is_cut_and_counted() -> None:
    grid = Quantise(bits=8, floor=1.0).grid({"net/a": np.zeros(8, np.float32)})
    change = {"net/a": np.array([0.5, 1.0, 1.5, -1.0, -2.0, 0.0, 100.0, -0.1])}
    values, cut = grid.encode(change, np.random.default_rng(0))
    assert cut == 3 / 8
    assert values[[2, 4, 6]].tolist() == [127, -127, 127]
    assert values[[1, 3]].tolist() == [127, -127]


def test_ranges_are_public_and_the_same_at_every_site() -> None:
    """They follow from the broadcast alone; statistics and variates have at least 1."""
    model = {
        "net/a": np.array([0.01, -0.02], np.float32),
        "net/b": np.array([-4.0, 0.5], np.float32),
        "stat/c": np.array([0.2], np.float32),
        "variate/net/a": np.array([7.0], np.float32),
        "net/empty": np.zeros((0, 3), np.float32),
    }
    stage = Quantise(bits=16, floor=0.1)
    grid = stage.grid(model)
    assert {name: step * stage.largest for name, step in grid.steps.items()} == pytest.approx(
        {"net/a": 0.1, "net/b": 4.0, "net/empty": 0.1, "stat/c": 1.0, "variate/net/a": 7.0}
    )
    assert stage.grid(dict(reversed(model.items()))) == grid
    assert list(grid.steps) == sorted(model)  # tensors lie in one order
    assert grid.num_values == 6


@given(rounds(), st.floats(1e-3, 1e3))
def test_no_update_is_longer_than_the_norm_bound(
    one: tuple[Quantise, dict[str, np.ndarray], dict[str, np.ndarray]], clip: float
) -> None:
    from wardround.protect.clip import clip_to_norm, norm_of

    stage, model, change = one
    grid = stage.grid(model)
    whole = grid.decode(grid.encode(change, np.random.default_rng(0))[0])
    assert norm_of(whole) <= grid.norm_bound(None) * (1 + 1e-9)
    clipped = grid.decode(grid.encode(clip_to_norm(change, clip)[0], np.random.default_rng(0))[0])
    assert norm_of(clipped) <= grid.norm_bound(clip) * (1 + 1e-9)
    assert grid.norm_bound(clip) <= grid.norm_bound(None)


def test_sums_of_integers_decode_to_sums() -> None:
    grid = Grid({"net/a": 0.5, "net/b": 2.0}, {"net/a": (2, 2), "net/b": (1,)}, 127)
    sums = grid.decode(np.array([1, 2, 3, -4, 5]) * 3)
    assert sums["net/a"].tolist() == [[1.5, 3.0], [4.5, -6.0]]
    assert sums["net/b"].tolist() == [30.0]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"bits": 1}, "quantise bits = 1 is outside 2 to 32"),
        ({"bits": 33}, "quantise bits = 33 is outside 2 to 32"),
        ({"weight_total": 0}, "quantise weight_total = 0 is outside 1 to 1048576"),
        ({"weight_total": 2**20 + 1}, "quantise weight_total = 1048577 is outside"),
        ({"floor": 0.0}, "quantise floor = 0.0 is not a positive number"),
        ({"floor": math.inf}, "quantise floor = inf is not a positive number"),
    ],
)
def test_settings_that_make_no_grid_are_refused(settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(PlanError, match=sentence):
        Quantise(**settings)  # type: ignore[arg-type]


@given(models, st.integers(0, 2**32))
def test_real_numbers_pass_as_they_are(model: dict[str, np.ndarray], seed: int) -> None:
    grid = real_grid(model)
    assert isinstance(grid, RealGrid)
    values, cut = grid.encode(model, np.random.default_rng(seed))
    assert cut == 0
    assert values.size == grid.num_values
    back = grid.decode(values)
    assert all((back[name] == value).all() for name, value in model.items())
    assert grid.norm_bound(None) == math.inf
    assert 2.0 < grid.norm_bound(2.0) < 2.01


counts = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 10**9), min_size=1)
totals = st.integers(1, 2**20)


@given(counts, totals)
def test_weights_share_the_total(examples: dict[str, int], total: int) -> None:
    assume(len(examples) <= total)
    found = integer_weights(examples, total)
    assert sum(found.values()) == total
    assert found.keys() == examples.keys()
    assert min(found.values()) >= 1
    shares_of = fair_shares(examples, total)
    for site, weight in found.items():
        assert abs(weight - shares_of[site]) < 1 + 1e-6


def fair_shares(examples: dict[str, int], total: int) -> dict[str, Fraction]:
    """Shares in proportion, none below one unit; in exact fractions, by raising whoever is lowest."""
    floored: set[str] = set()
    while True:
        rest = {site: count for site, count in examples.items() if site not in floored}
        units = Fraction(total - len(floored), max(1, sum(rest.values())))
        lowest = min(rest, key=lambda site: rest[site], default=None)
        if lowest is None or rest[lowest] * units >= 1:
            return {site: rest[site] * units if site in rest else Fraction(1) for site in examples}
        floored.add(lowest)


@given(counts, totals, st.randoms())
def test_weights_do_not_depend_on_the_order(examples: dict[str, int], total: int, rng: object) -> None:
    assume(len(examples) <= total)
    names = list(examples)
    rng.shuffle(names)  # type: ignore[attr-defined]
    assert integer_weights({name: examples[name] for name in names}, total) == integer_weights(examples, total)


@given(counts, totals)
def test_who_has_more_examples_weighs_no_less(examples: dict[str, int], total: int) -> None:
    assume(len(examples) <= total)
    found = integer_weights(examples, total)
    for one, other in itertools.permutations(examples, 2):
        if examples[one] > examples[other]:
            assert found[one] >= found[other]


def test_known_weights() -> None:
    assert integer_weights({"a": 8, "b": 12, "c": 16}, 64) == {"a": 14, "b": 21, "c": 29}
    assert integer_weights({"b": 1, "a": 1, "c": 1}, 64) == {"a": 22, "b": 21, "c": 21}  # ties in the order of names
    assert integer_weights({"a": 1, "b": 10**9}, 64) == {"a": 1, "b": 63}
    assert integer_weights({"a": 5}, 64) == {"a": 64}


def test_more_sites_than_units_are_refused() -> None:
    with pytest.raises(PlanError, match="3 sites cannot share weight_total = 2: raise it in the quantise stage"):
        integer_weights({"a": 1, "b": 1, "c": 1}, 2)


@given(counts, totals, st.data())
def test_weights_follow_from_the_examples_of_any_of_the_sites(
    examples: dict[str, int], total: int, data: st.DataObject
) -> None:
    assume(len(examples) <= total)
    found = integer_weights(examples, total)
    some = data.draw(st.sets(st.sampled_from(sorted(examples)), min_size=1))
    assert follow_from({site: found[site] for site in some}, {site: examples[site] for site in some})


@pytest.mark.parametrize(
    "weights_of",
    [{"a": 1, "b": 1, "c": 62}, {"a": 62, "b": 1, "c": 1}, {"a": 21, "b": 14, "c": 29}, {"a": 1, "b": 1, "c": 5}],
    ids=str,
)
def test_weights_that_leave_a_site_nearly_alone_follow_from_nothing(weights_of: dict[str, int]) -> None:
    assert not follow_from(weights_of, {"a": 8, "b": 12, "c": 16})
    assert not follow_from(weights_of, {"a": 0, "b": 12, "c": 16})
