"""Views of labelled images share their pixels and refuse arrays that do not belong together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wardround.data.floor import mean_colour
from wardround.data.images import LabelledImages
from wardround.errors import DataError


def some_images(count: int = 6) -> LabelledImages:
    return LabelledImages(
        pixels=np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8),
        rows=np.arange(count),
        labels=np.arange(count) % 2,
        origins=np.array(["a", "b"] * (count // 2)),
        groups=np.array([f"p{index}" for index in range(count)]),
        classes=("benign", "bad"),
        malignant=("bad",),
        parts=np.full(count, ""),
        public=False,
    )


def test_take_shares_the_pixels_and_composes() -> None:
    images = some_images()
    view = images.take([4, 2, 0]).take(np.array([True, False, True]))
    assert view.pixels is images.pixels
    assert view.rows.tolist() == [4, 0]
    assert view.groups.tolist() == ["p4", "p0"]
    assert np.array_equal(view.batch([1, 0]), images.pixels[[0, 4]])


def test_an_empty_view_has_no_images_but_keeps_its_classes() -> None:
    empty = some_images().take([])
    assert len(empty) == 0
    assert empty.label_counts().tolist() == [0, 0]
    assert empty.batch(slice(None)).shape == (0, 8, 8, 3)


def test_a_batch_is_a_copy_that_may_be_written() -> None:
    images = some_images()
    batch = images.batch([0])
    batch[:] = 0
    assert images.pixels[0].any()


def test_label_counts_follow_the_classes() -> None:
    assert some_images().take([0, 2, 3]).label_counts().tolist() == [2, 1]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"pixels": np.zeros((6, 8, 8, 2), np.uint8)}, "one or three channels"),
        ({"pixels": np.zeros((6, 8, 8, 3), np.float32)}, "float32"),
        ({"labels": np.full(6, 2)}, "labels"),
        ({"labels": np.zeros(6)}, "integers"),
        ({"rows": np.arange(6) + 1}, "rows"),
        ({"groups": np.array(["x"])}, "groups"),
        ({"malignant": ("worse",)}, "'worse'"),
        ({"parts": np.full(6, "exam")}, "'exam'"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(change: dict[str, object], named: str) -> None:
    with pytest.raises(DataError, match=named):
        replace(some_images(), **change)  # type: ignore[arg-type]


def test_mean_colour_is_the_mean_of_each_channel() -> None:
    images = some_images(1200).take(range(1, 1200))
    slow = [[images.pixels[row, :, :, channel].mean() / 255 for channel in range(3)] for row in images.rows]
    assert np.allclose(mean_colour(images), slow)
