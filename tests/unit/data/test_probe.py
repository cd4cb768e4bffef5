"""Images for the coordinator are taken patient by patient, some of each class, and only from what is published."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from wardround.data.probe import ProbeShare
from wardround.errors import DataError, PlanError


def test_no_patient_is_on_both_sides_and_every_class_is_there() -> None:
    images = tiny.images(80)
    rest, aside = ProbeShare(0.2).set_aside(images, 3)
    assert len(rest) + len(aside) == 80
    assert not set(rest.groups) & set(aside.groups)
    assert set(aside.labels) == {0, 1}
    assert 0.1 < len(aside) / 80 < 0.3


def test_the_seed_and_nothing_else_chooses() -> None:
    images = tiny.images(80)
    shuffled = images.take(np.random.default_rng(0).permutation(80))
    first, again, other = (
        ProbeShare(0.2).set_aside(some, seed)[1] for some, seed in ((images, 3), (shuffled, 3), (images, 4))
    )
    assert set(first.groups) == set(again.groups) != set(other.groups)


def test_what_a_source_keeps_for_the_test_is_not_touched() -> None:
    images = tiny.images(80)
    parts = np.where(np.arange(80) // 2 % 2, "test", "train")
    fixed = type(images)(**{**vars(images), "parts": parts})
    assert set(ProbeShare(0.5).set_aside(fixed, 3)[1].parts) == {"train"}


def test_images_of_hospitals_are_refused() -> None:
    with pytest.raises(DataError, match="sets published images aside"):
        ProbeShare().set_aside(tiny.images(public=False), 1)


@pytest.mark.parametrize("share", [0.0, 0.6, float("nan")])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(PlanError, match="probe share"):
        ProbeShare(share)
