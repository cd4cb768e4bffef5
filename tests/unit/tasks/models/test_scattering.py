"""Scattering features: what they measure, what they cannot see, and where their constants come from."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from wardround.errors import PlanError
from wardround.tasks.models.scattering import MEASUREMENTS, Scattering, ScatteringFeatures, measured
from wardround.tasks.models.wavelets import morlet_bank, thinned


def pictures(count: int, channels: int = 3, edge: int = 32, seed: int = 0) -> torch.Tensor:
    """Return smooth random images in [-2, 2]."""
    noise = torch.from_numpy(np.random.default_rng(seed).normal(size=(count, channels, edge, edge))).float()
    return torch.tanh(torch.nn.functional.avg_pool2d(noise, 3, 1, 1) * 2) * 2


def whole_image_by_hand(plane: np.ndarray) -> list[float]:
    """Return the measurements of one grey plane in [0, 1] under the whole window, from their definitions."""
    mean, deviation = plane.mean(), plane.std()
    third = ((plane - mean) ** 3).mean()
    bank = morlet_bank(*plane.shape, 4, 8)
    spectrum = np.fft.fft2(plane)
    first, shares = [], {}
    for j, multipliers in enumerate(bank):
        moduli = [np.abs(np.fft.ifft2(spectrum * m.numpy()))[:: 2**j, :: 2**j] for m in multipliers]
        first.append(float(np.mean(moduli)))
        for k in range(j + 1, 4):
            coarse = [thinned(m, 2**j).numpy() * 4**j for m in bank[k]]
            again = [np.abs(np.fft.ifft2(np.fft.fft2(u) * c)) for u in moduli for c in coarse]
            shares[j, k] = float(np.mean([a[:: 2 ** (k - j), :: 2 ** (k - j)] for a in again])) / (first[j] + 1e-3)
    return [
        mean,
        math.log(deviation + 1e-3),
        math.asinh(third / (deviation + 1e-3) ** 3),
        *(math.log(value + 1e-3) for value in first),
        *(math.log(shares[pair] + 0.01) for pair in sorted(shares)),
    ]


def test_measurements_are_those_of_the_definitions() -> None:
    image = pictures(1, 1)
    found = measured(image, 2)[0].numpy()
    np.testing.assert_allclose(found[:13], whole_image_by_hand(image[0, 0].double().numpy() / 4 + 0.5), atol=2e-4)


@pytest.mark.parametrize("order", [1, 2])
def test_contrast_is_the_last_number_of_a_channel(order: int) -> None:
    rows = measured(pictures(2), order).reshape(2, 3, MEASUREMENTS[order])
    second_window = MEASUREMENTS[order] // 2
    torch.testing.assert_close(rows[:, :, -1], rows[:, :, second_window] - rows[:, :, 0])


def test_a_dark_spot_in_the_middle_shows_in_the_contrast_and_the_skewness() -> None:
    spot = torch.full((1, 1, 32, 32), 1.0)
    spot[:, :, 12:20, 12:20] = -1.0
    row = measured(spot, 1)[0]
    assert row[-1] < -0.1
    assert row[2] < -0.5
    flat = measured(torch.ones(1, 1, 32, 32), 1)[0]
    assert abs(float(flat[-1])) < 1e-5
    assert float(flat[3]) == pytest.approx(math.log(1e-3), abs=1e-3)


@pytest.mark.parametrize("turned", ["mirror", "quarter turn"])
def test_mirrors_and_quarter_turns_hardly_change_the_features(turned: str) -> None:
    images = pictures(4)
    other = images.flip(3) if turned == "mirror" else images.rot90(1, (2, 3))
    body = ScatteringFeatures(3)
    same, moved = body(images), body(other)
    unlike = body(pictures(4, seed=1))
    assert float((same - moved).norm()) < 0.2 * float((same - unlike).norm())


@pytest.mark.parametrize(("channels", "order", "count"), [(1, 1, 15), (1, 2, 27), (3, 1, 45), (3, 2, 81)])
def test_features_are_finite_and_never_longer_than_one(channels: int, order: int, count: int) -> None:
    extremes = torch.stack([torch.full((channels, 17, 21), value) for value in (-2.0, 2.0)])
    body = ScatteringFeatures(channels, order)
    for images in (pictures(3, channels), extremes):
        features = body(images)
        assert features.shape == (len(images), count)
        assert torch.isfinite(features).all()
        assert float(features.norm(dim=1).max()) <= 1 + 1e-5


def test_the_body_has_nothing_that_learns_or_travels() -> None:
    body = ScatteringFeatures(3)
    assert not list(body.parameters())
    assert not body.state_dict()


def test_softmax_regression_starts_undecided() -> None:
    logits = Scattering(order=1).build(3, 5)(pictures(2))
    assert not logits.any()


@pytest.mark.parametrize("wrong", [{"order": 3}, {"order": 0}, {"hidden": -1}, {"scale": 0.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(PlanError, match=next(iter(wrong))):
        Scattering(**wrong)


def test_images_that_are_too_small_or_of_other_channels_are_refused() -> None:
    with pytest.raises(PlanError, match="size_px"):
        measured(torch.zeros(1, 3, 15, 32), 1)
    with pytest.raises(PlanError, match="not 4"):
        ScatteringFeatures(4)


def test_scale_multiplies_the_features() -> None:
    images = pictures(3)
    assert torch.equal(ScatteringFeatures(3, 1, 2.0)(images), 2 * ScatteringFeatures(3, 1)(images))
