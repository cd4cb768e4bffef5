"""Statistics of several sites are those of their pooled images, and what is no tally is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.data.harmonise import Plane
from wardround.data.tally import LEAST_IMAGES, SCALE, Tally, added, tally_of
from wardround.data.volume import VolumeSource
from wardround.errors import DataError

PERCENTILES = (1.0, 25.0, 50.0, 75.0, 99.0)
SOURCE = VolumeSource("DICOM")


def images(count: int, seed: int) -> tuple[list[Plane], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    values = [rng.gamma(1 + rng.random(), 200, (9, 7, 1)).astype(np.int32) for _ in range(count)]
    pixels = [rng.integers(0, 256, (4, 4, 1)).astype(np.uint8) for _ in range(count)]
    return [Plane(each, None, SOURCE) for each in values], pixels


@settings(max_examples=12)
@given(st.lists(st.integers(LEAST_IMAGES, LEAST_IMAGES + 9), min_size=1, max_size=4), st.integers(0, 5))
def test_sites_add_up_to_their_pool_whatever_they_hold(sizes: list[int], seed: int) -> None:
    planes, pixels = images(sum(sizes), seed)
    starts = np.cumsum([0, *sizes])
    sites = [tally_of("p", PERCENTILES, planes[start:end], pixels[start:end]) for start, end in pairwise(starts)]
    pooled = tally_of("p", PERCENTILES, planes, pixels)
    assert added(sites) == pooled
    assert added(sites[::-1]) == pooled
    own = np.array([np.percentile(plane.values, PERCENTILES) for plane in planes])
    expected = ((own - own[:, :1]) / (own[:, -1:] - own[:, :1])).mean(axis=0)
    np.testing.assert_allclose(pooled.standard, expected, atol=1e-6)
    assert pooled.mean == pytest.approx(np.mean(pixels), abs=1e-6)
    assert pooled.standard_deviation == pytest.approx(np.std(pixels), abs=1e-6)


def test_images_of_one_value_count_as_evenly_spread() -> None:
    flat = [Plane(np.full((4, 4, 1), 7), None, SOURCE)] * LEAST_IMAGES
    found = tally_of("p", PERCENTILES, flat, [np.zeros((2, 2, 1), np.uint8)] * LEAST_IMAGES)
    assert found.standard == pytest.approx((0, 0.25, 0.5, 0.75, 1))


def test_few_images_are_not_counted() -> None:
    with pytest.raises(DataError, match="say too much of each"):
        tally_of("p", PERCENTILES, *images(LEAST_IMAGES - 1, 0))


def test_counts_for_other_plans_are_not_added() -> None:
    one = tally_of("p", PERCENTILES, *images(LEAST_IMAGES, 0))
    with pytest.raises(DataError, match="made for the plans p and q"):
        added([one, replace(one, plan="q")])
    with pytest.raises(DataError, match="no counts"):
        added([])


def test_text_and_back() -> None:
    one = tally_of("p", PERCENTILES, *images(LEAST_IMAGES, 0))
    assert Tally.from_json(one.to_json(), "x") == one


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"images": -1}, "holds no counts"),
        ({"images": True}, "holds no counts"),
        ({"images": 2**70}, "holds no counts"),
        ({"images": 3, "landmarks": [0] * 5}, "fewer than 20"),
        ({"levels": [1, 2]}, "cannot be"),
        ({"landmarks": [SCALE * 999] * 5}, "cannot be"),
        ({"landmarks": [0]}, "cannot be"),
        ({"landmarks": [0.5] * 5}, "holds no counts"),
        ({"percentiles": "x"}, "holds no counts"),
    ],
)
def test_what_is_no_tally_is_refused_by_name(changes: dict[str, object], named: str) -> None:
    whole = json.loads(tally_of("p", PERCENTILES, *images(LEAST_IMAGES, 0)).to_json())
    with pytest.raises(DataError, match=f"north.json .*{named}"):
        Tally.from_json(json.dumps(whole | changes), "north.json")


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "[" * 50_000, "9" * 200_000])
def test_other_text_is_refused_by_name(text: str) -> None:
    with pytest.raises(DataError, match=r"north\.json holds no counts"):
        Tally.from_json(text, "north.json")
