from __future__ import annotations

import numpy as np
import pytest
from victims import pictures

from wardround.attacks import leaks
from wardround.attacks.inversion.cleanup import CLEAN_UPS, cleaned
from wardround.metrics.image_quality import psnr_db


@pytest.mark.parametrize("channels", [1, 3])
def test_every_clean_up_takes_grey_and_colour(channels: int) -> None:
    image = pictures(1)[0][..., :channels]
    for name, result in cleaned(image).items():
        assert result.shape == image.shape, name
        assert result.dtype == np.float32
        assert 0 <= result.min() <= result.max() <= 1
    assert np.array_equal(cleaned(image)["none"], image)


@pytest.mark.parametrize("name", [name for name in CLEAN_UPS if name != "none"])
def test_every_clean_up_takes_noise_away(name: str) -> None:
    image = pictures(1)[0]
    noisy = np.clip(image + np.random.default_rng(0).normal(0, 0.1, image.shape), 0, 1).astype(np.float32)
    assert psnr_db(image, cleaned(noisy)[name]) > psnr_db(image, noisy)


def test_leaks_know_what_was_rebuilt_and_what_was_not() -> None:
    true, pool = pictures(3), pictures(12)
    found = np.stack([pictures(1, seed=5)[0], true[0], np.clip(true[1] + 0.2, 0, 1)])
    exact, bright, lost = leaks(found, true, pool.mean(0), pool, np.arange(3))
    assert exact.is_rebuilt
    assert exact.is_recognisable
    assert (exact.rank, exact.pool, exact.clean_up) == (1, 12, "none")
    assert not bright.is_rebuilt
    assert bright.of_raw.corrected_psnr_db > bright.of_raw.psnr_db + 5
    assert bright.rank == 1
    assert not lost.is_rebuilt
    assert not lost.is_recognisable
    assert not lost.shows_something


def test_an_image_for_which_nothing_was_found_scores_as_black() -> None:
    true = pictures(2)
    found, missing = leaks(true[:1], true, true.mean(0), true, np.arange(2))
    assert found.is_rebuilt
    assert not missing.raw.any()
    assert not missing.shows_something
