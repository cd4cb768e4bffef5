"""Noise on images: its energy, its spectrum, its draw, and what a filter that knows it leaves of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts.defence_contract import DefenceContract, context, images
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.algorithms.defences import Batch, Defence, GaussianImages, MatchedNoise, Scene
from wardround.algorithms.defences.energy import disguised, rms_of
from wardround.algorithms.defences.pixels import shuffled
from wardround.algorithms.defences.secret import KEY, KEY_BYTES, Secret
from wardround.algorithms.defences.spectrum import Spectrum, covariances
from wardround.core.update import Tensors
from wardround.errors import PlanError
from wardround.tasks.inputs import HIGHEST, LOWEST

AT = DefenceContract()


def fed(
    defence: Defence, row: int = 3, index: int = 0, memory: Tensors | None = None, seed: int | None = 1
) -> np.ndarray:
    """Return what the network is fed for one image of the site in one round."""
    return defence.begin(AT.scene(memory, index, seed)).disguise(AT.batch((row,))).numpy()


def noise(defence: Defence, row: int) -> np.ndarray:
    """Return what is added to one image."""
    return fed(defence, row) - AT.batch((row,)).inputs.numpy()


@settings(max_examples=30, deadline=None)
@given(rms=st.floats(0.01, 0.3), seed=st.integers(0, 99))
def test_the_change_has_the_energy_that_was_asked_for_after_the_cut(rms: float, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    true = (torch.rand((2, 3, 8, 8), generator=rng) * 6 - 3).clamp(
        LOWEST, HIGHEST
    )  # a third of the pixels are at an end
    noise = torch.randn((2, 3, 8, 8), generator=rng)
    found = disguised(true, noise, rms)
    assert LOWEST <= found.min() <= found.max() <= HIGHEST
    assert rms_of(found - true).flatten().tolist() == pytest.approx([rms, rms], rel=1e-4)


def test_what_cannot_be_changed_that_much_is_changed_as_much_as_it_can_be() -> None:
    black, darker = torch.full((1, 1, 4, 4), LOWEST), -torch.ones((1, 1, 4, 4))
    assert torch.equal(disguised(black, darker, 0.1), black)
    assert torch.equal(disguised(black, torch.zeros_like(black), 0.1), black)


def test_an_image_meets_the_same_noise_in_every_round_or_another_one() -> None:
    once, anew = (GaussianImages(draw=draw, randomness="seed") for draw in ("once", "each_round"))
    assert np.array_equal(fed(once), fed(once, index=1))
    assert not np.array_equal(fed(anew), fed(anew, index=1))
    assert not np.allclose(noise(once, 3), noise(once, 4), atol=0.1)


def test_noise_of_the_operating_system_cannot_be_computed_from_the_plan_and_is_remembered() -> None:
    secret = GaussianImages()
    assert not np.array_equal(fed(secret), fed(secret))
    kept = secret.begin(AT.scene()).keep()
    assert {name: value.dtype for name, value in kept.items()} == {KEY: np.dtype(np.uint8)}
    assert kept[KEY].shape == (KEY_BYTES,)
    assert np.array_equal(fed(secret, memory=kept), fed(secret, memory=kept, index=2))


def test_a_context_without_a_seed_takes_the_operating_system_s_word() -> None:
    seeded = GaussianImages(randomness="seed")
    assert not np.array_equal(fed(seeded, seed=None), fed(seeded, seed=None))
    assert KEY in Secret(context(seed=None), {}, "seed", "once").keep()


def test_the_spectrum_is_that_of_the_images_but_for_their_mean() -> None:
    changes = np.random.default_rng(0).normal(size=(400, 3, 8, 8)) @ np.diag(np.linspace(2, 0.1, 8))
    spectrum = Spectrum.of_changes(changes)
    np.testing.assert_allclose(spectrum.covariances, covariances(changes), atol=1e-9)
    rng = np.random.default_rng(1)
    drawn = covariances(np.stack([spectrum.to_the(1.0).draw(rng) for _ in range(3000)]))
    assert np.abs(drawn[0, 0]).max() < 1e-20
    far = np.abs(drawn - spectrum.covariances)[1:, 1:].max()
    assert far < 0.15 * np.abs(spectrum.covariances).max()


def test_white_is_the_power_zero_and_the_reverse_gives_the_strongest_the_least() -> None:
    spectrum = Spectrum.of(images())
    white = spectrum.to_the(0.0)
    assert np.array_equal(np.unique(white.powers), [0, 1])
    assert white.powers[0, 0].max() == 0
    turned = spectrum.to_the(1.0).reversed()
    assert sorted(turned.powers.ravel()) == pytest.approx(sorted(spectrum.to_the(1.0).powers.ravel()))
    order = spectrum.powers.reshape(-1)[3:].argsort(kind="stable")
    assert (np.diff(turned.powers.reshape(-1)[3:][order]) <= 0).all()


def test_shuffled_noise_is_the_same_noise_elsewhere() -> None:
    noise = np.random.default_rng(0).normal(size=(3, 6, 6))
    moved = shuffled(noise, np.random.default_rng(1))
    assert not np.array_equal(moved, noise)
    pixels = [sorted(map(tuple, one.reshape(3, -1).T)) for one in (noise, moved)]
    assert pixels[0] == pixels[1]


def test_of_one_energy_noise_like_the_images_is_what_the_best_linear_filter_leaves_most_of() -> None:
    fall = np.exp(-0.9 * np.add.outer(np.arange(8), np.arange(8)))
    left = {}
    for exponent in (0.0, 0.5, 1.0, 2.0):
        hum = fall**exponent
        hum *= 2.56 / hum.sum()
        left[exponent] = float((fall * hum / (fall + hum)).sum())  # the Wiener filter's error
    assert max(left, key=lambda one: left[one]) == 1.0
    assert left[1.0] > 2 * left[0.0]


def test_images_that_show_no_spectrum_are_refused_instead_of_left_bare() -> None:
    scene, alike = AT.scene(), replace(images(), pixels=np.full_like(images().pixels, 7))
    for held in (images().take(np.arange(7)), alike):
        with pytest.raises(PlanError, match="choose gaussian_images"):
            MatchedNoise().begin(replace(scene, images=held))


def test_rows_and_shapes_are_those_of_the_batch() -> None:
    scene = Scene(AT.scene().task, AT.scene().network, images(), {}, context())
    running = MatchedNoise(randomness="seed").begin(scene)
    both = running.disguise(AT.batch((2, 5)))
    alone = running.disguise(AT.batch((5,)))
    assert torch.allclose(both[1], alone[0], atol=1e-6)
    grey = replace(images(), pixels=images().pixels[..., :1])
    batch = Batch((0,), torch.zeros((1, 1, 16, 16)), torch.zeros(1, dtype=torch.int64))
    assert MatchedNoise(randomness="seed").begin(replace(scene, images=grey)).disguise(batch).shape == (1, 1, 16, 16)
