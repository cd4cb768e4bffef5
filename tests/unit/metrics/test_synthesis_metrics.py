"""Distances between clouds of features, against slow oracles and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from wardround.errors import DataError
from wardround.metrics import synthesis
from wardround.metrics.synthesis import Overlap, frechet_distance, kernel_distance, overlap


def cloud(seed: int, count: int = 60, features: int = 5, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1, (count, features)) @ rng.normal(0, 1, (features, features))


def test_the_frechet_distance_is_that_of_scipy() -> None:
    real, made = cloud(1), cloud(2, shift=0.5)
    one, other = np.cov(real, rowvar=False), np.cov(made, rowvar=False)
    shift = real.mean(axis=0) - made.mean(axis=0)
    expected = shift @ shift + np.trace(one + other - 2 * sqrtm(one @ other).real)
    assert frechet_distance(real, made) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(-2, 2))
def test_laws_of_the_frechet_distance(one: int, other: int, shift: float) -> None:
    real, made = cloud(one), cloud(other)
    distance = frechet_distance(real, made)
    assert distance >= 0
    assert frechet_distance(made, real) == pytest.approx(distance, rel=1e-6, abs=1e-6)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(real, real + shift) == pytest.approx(5 * shift**2, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("count", [4, 12, 13, 60])
def test_a_cloud_in_more_directions_than_it_has_points_is_as_far(count: int) -> None:
    real, made = cloud(1, count), cloud(2, count, shift=0.5)
    turned, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(12, 5)))  # five directions, laid into twelve
    found = frechet_distance(real @ turned.T, made @ turned.T)
    assert found == pytest.approx(frechet_distance(real, made), rel=1e-9)


@pytest.mark.parametrize("rows", [1024, 5])
def test_the_kernel_distance_is_that_of_a_loop(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesis, "ROWS_AT_A_TIME", rows)
    real, made = cloud(1, 12), cloud(2, 9)

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 5 + 1) ** 3)

    within = [np.mean([k(x, y) for i, x in enumerate(c) for j, y in enumerate(c) if i != j]) for c in (real, made)]
    expected = sum(within) - 2 * np.mean([k(x, y) for x in real for y in made])
    assert kernel_distance(real, made) == pytest.approx(expected, rel=1e-9)


def test_the_kernel_distance_is_unbiased_where_the_frechet_distance_is_not() -> None:
    rng = np.random.default_rng(3)
    pairs = [(rng.normal(size=(30, 5)), rng.normal(size=(30, 5))) for _ in range(200)]
    kernels = [kernel_distance(*pair) for pair in pairs]
    assert abs(np.mean(kernels)) < 3 * np.std(kernels) / np.sqrt(len(kernels))
    assert np.mean([frechet_distance(*pair) for pair in pairs]) > 0.1


def test_overlap_is_that_of_a_loop() -> None:
    real, made = cloud(1, 20, 2), cloud(2, 25, 2)

    def far(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.linalg.norm(x - y))

    def radius(points: np.ndarray, place: int, k: int) -> float:
        return sorted(far(points[place], y) for y in points)[k]

    inside = [[far(x, y) <= radius(real, i, 5) for y in made] for i, x in enumerate(real)]
    expected = Overlap(
        np.mean([any(far(x, y) <= radius(real, i, 3) for i, x in enumerate(real)) for y in made]),
        np.mean([any(far(x, y) <= radius(made, j, 3) for j, y in enumerate(made)) for x in real]),
        np.sum(inside) / (5 * len(made)),
        np.mean([any(row) for row in inside]),
    )
    assert vars(overlap(real, made)) == pytest.approx(vars(expected))


def test_a_generator_that_makes_one_image_is_precise_and_covers_nothing() -> None:
    real = cloud(1, 200)
    collapsed = np.repeat(real[:1], 200, axis=0) + np.random.default_rng(0).normal(0, 1e-3, (200, 5))
    found = overlap(real, collapsed)
    assert found.precision == 1
    assert found.recall < 0.05
    assert found.coverage < 0.1
    agreeing = overlap(real, cloud(1, 400)[200:] * 0 + real + 1e-6)
    assert min(agreeing.recall, agreeing.coverage) == 1


@pytest.mark.parametrize(
    ("real", "made", "words"),
    [
        (np.zeros((5, 3)), np.zeros((5, 4)), "cannot be compared"),
        (np.zeros(5), np.zeros(5), "cannot be compared"),
        (np.zeros((1, 3)), np.zeros((5, 3)), "too few"),
        (np.full((5, 3), np.nan), np.zeros((5, 3)), "NaN"),
    ],
)
def test_clouds_that_do_not_fit_are_refused(real: np.ndarray, made: np.ndarray, words: str) -> None:
    for distance in (frechet_distance, kernel_distance, overlap):
        with pytest.raises(DataError, match=words if distance is not overlap or words != "NaN" else "too few"):
            distance(real, made)
