"""The laws of the noise schedule, of velocities, and of DDIM."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wardround.tasks.models.noising import denoised, mixed, shares, taken_apart

TIMES = st.floats(0, 1, width=32)


def batch(seed: int, count: int = 3) -> torch.Tensor:
    return torch.randn(count, 2, 4, 4, generator=torch.Generator().manual_seed(seed))


@given(st.lists(TIMES, min_size=2, max_size=20))
def test_the_image_sinks_and_the_noise_rises_and_both_keep_unit_variance(times: list[float]) -> None:
    image_share, noise_share = shares(torch.tensor(sorted(times)).double())
    assert torch.allclose(image_share.square() + noise_share.square(), torch.ones(len(times)).double())
    assert (image_share.square().diff() <= 0).all()
    assert (noise_share.square().diff() >= 0).all()


def test_the_schedule_begins_with_the_image_and_ends_in_noise() -> None:
    image_share, noise_share = shares(torch.tensor([0.0, 0.5, 1.0]))
    assert image_share.tolist() == pytest.approx([1, math.sqrt(0.5), 0], abs=1e-6)
    assert noise_share.tolist() == pytest.approx([0, math.sqrt(0.5), 1], abs=1e-6)


@given(st.integers(0, 99), st.lists(TIMES, min_size=3, max_size=3))
def test_a_mixture_with_its_velocity_gives_image_and_noise_back(seed: int, drawn: list[float]) -> None:
    images, noise, times = batch(seed), batch(seed + 100), torch.tensor(drawn)
    back = taken_apart(*mixed(images, noise, times), times)
    assert torch.allclose(back[0], images, atol=1e-5)
    assert torch.allclose(back[1], noise, atol=1e-5)


@given(st.integers(0, 99), st.floats(0, 0.99))
def test_the_velocity_is_the_derivative_of_the_mixture(seed: int, time: float) -> None:
    images, noise, step = batch(seed).double(), batch(seed + 100).double(), 1e-5
    at = [torch.full((3,), time + part * step, dtype=torch.float64) for part in (0, 0.5, 1)]
    before, after = (mixed(images, noise, times)[0] for times in (at[0], at[2]))
    velocity = mixed(images, noise, at[1])[1]
    assert torch.allclose((after - before) / (step * math.pi / 2), velocity, atol=1e-5)


@given(st.integers(0, 99), st.integers(1, 30))
def test_a_perfect_denoiser_of_one_image_makes_it_of_any_noise(seed: int, steps: int) -> None:
    image = batch(seed, 1).clamp(-2, 2)

    def perfect(mixture: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        image_share, noise_share = shares(times[:, None, None, None])
        noise = (mixture - image_share * image) / noise_share
        return image_share * noise - noise_share * image

    made = denoised(perfect, batch(seed + 1), steps)
    assert torch.allclose(made, image.expand_as(made), atol=1e-4)


def test_it_turns_normal_noise_into_normal_images_of_another_spread() -> None:
    """The best denoiser of images that are normal with deviation d is known, and DDIM is its flow in the limit."""
    deviation = 0.5

    def best(mixture: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        image_share, noise_share = shares(times[:, None, None, None])
        total = image_share.square() * deviation**2 + noise_share.square()
        return mixture * image_share * noise_share * (1 - deviation**2) / total

    noise = batch(3).double()
    assert torch.allclose(denoised(best, noise, 400), noise * deviation, atol=0.01)
    coarse, fine = (float((denoised(best, noise, steps) - noise * deviation).abs().max()) for steps in (5, 50))
    assert fine < coarse / 4


def test_images_are_held_between_black_and_white() -> None:
    made = denoised(lambda mixture, _: -9 * torch.ones_like(mixture), batch(1), 4)
    assert np.abs(made.numpy()).max() <= 2


def test_no_noise_makes_no_image() -> None:
    assert denoised(lambda mixture, _: mixture, torch.zeros(0, 1, 4, 4), 3).shape == (0, 1, 4, 4)
