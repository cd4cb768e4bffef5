"""The embedded slide: no pixel is shared between parts, no DAB is left, and colour alone does not tell the label."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from wardround.data.catalogue import Slide
from wardround.data.catalogue.slide import LOOKS, dab_of, embedded_slide, patch_places, stain_free, strips
from wardround.data.floor import mean_colour
from wardround.data.sites import Iid, Natural, Parts, partition
from wardround.errors import PlanError


@pytest.mark.parametrize("size_px", [16, 24, 32, 48])
def test_no_pixel_is_in_two_parts_or_blocks_and_no_patch_leaves_its_quadrant(size_px: int) -> None:
    places = patch_places(size_px, 5)
    owner = np.full((512, 512), -1)
    parts, blocks = (np.unique(values, return_inverse=True)[1] for values in (places.parts, places.blocks))
    for row, column, part, block in zip(places.rows, places.columns, parts, blocks, strict=True):
        home = np.s_[row : row + size_px, column : column + size_px]
        mark = part if places.parts[parts == part][0] == "train" else 10 + block
        assert np.isin(owner[home], (-1, mark)).all()
        owner[home] = mark
        assert row // 256 == (row + size_px - 1) // 256
        assert column // 256 == (column + size_px - 1) // 256


def test_the_strips_lie_further_apart_than_any_lens_blurs() -> None:
    for size_px in (16, 48):
        train, val, test = strips(size_px)
        assert min(val.top - train.end, test.top - val.end) >= 8 > 8 * max(look.blur_px for look in LOOKS)


def test_the_label_is_coverage_above_the_training_median() -> None:
    images, places = Slide().load(None), patch_places(16, 6)
    covered = dab_of(embedded_slide()) > Slide().dab_threshold
    coverage = np.array(
        [covered[r : r + 16, c : c + 16].mean() for r, c in zip(places.rows, places.columns, strict=True)]
    )
    train = images.parts == "train"
    assert np.array_equal(images.labels, coverage > np.median(coverage[train]))
    assert images.labels[train].mean() == pytest.approx(0.5, abs=0.02)


def test_the_dab_stain_is_gone() -> None:
    slide = embedded_slide()
    before, after = dab_of(slide), dab_of(stain_free(slide, 112))
    assert after.mean() < 0.05 * before.mean()
    assert abs(np.corrcoef(before.ravel(), after.ravel())[0, 1]) < 0.3


def test_it_loads_the_same_every_time_with_four_sites_that_look_different() -> None:
    first, second = Slide().load(None), Slide().load(None)
    assert np.array_equal(first.pixels, second.pixels)
    assert np.unique(first.origins).tolist() == ["north-east", "north-west", "south-east", "south-west"]
    raw = stain_free(embedded_slide(), 112)
    assert len({raw[r : r + 256, c : c + 256].std().round(1) for r in (0, 256) for c in (0, 256)}) == 4


def test_mean_colour_stays_below_the_floor_that_the_demo_promises() -> None:
    images = Slide().load(None)
    features, train, test = mean_colour(images), images.parts == "train", images.parts == "test"
    floor = make_pipeline(StandardScaler(), LogisticRegression()).fit(features[train], images.labels[train])
    assert 0.5 < roc_auc_score(images.labels[test], floor.decision_function(features[test])) <= 0.70


def test_it_can_be_dealt_by_quadrant_or_to_a_thousand_sites() -> None:
    images = Slide().load(None)
    quadrants = partition(images, Natural(), Parts(), 0)
    assert [len(data.test) for data in quadrants.values()] == [216] * 4
    assert all(np.all(data.test.label_counts() >= 20) for data in quadrants.values())
    assert len(partition(images, Iid(1000), Parts(), 0)) == 1000


@pytest.mark.parametrize(
    "wrong", [{"size_px": 15}, {"size_px": 49}, {"stride_px": 0}, {"stride_px": 17}, {"dab_threshold": 1.0}]
)
def test_settings_without_room_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(PlanError, match=next(iter(wrong))):
        Slide(**wrong)  # type: ignore[arg-type]
