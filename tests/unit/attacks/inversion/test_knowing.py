"""The attacker who knows the defence: what its filters take out, and what they cannot."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contracts.defence_contract import TASK, DefenceContract, context, images

from wardround.algorithms.defences import GaussianImages, MatchedNoise, Shadow
from wardround.attacks.inversion.knowing import Denoiser, Pairs, Wiener, knowing, pairs_behind

SITE = DefenceContract()


def smooth(count: int, seed: int) -> np.ndarray:
    """Return smooth images in the middle of the range, float32 ``(count, 16, 16, 1)``."""
    coarse = torch.rand((count, 1, 3, 3), generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, 16, mode="bicubic") / 3 + 1 / 3
    return fine.permute(0, 2, 3, 1).contiguous().numpy()


def noisy(clean: np.ndarray, seed: int, spread: float = 0.1) -> np.ndarray:
    return (clean + spread * np.random.default_rng(seed).standard_normal(clean.shape)).astype(np.float32)


def error(found: list[np.ndarray], true: np.ndarray) -> float:
    return float(np.mean((np.stack(found) - true) ** 2))


PUBLIC = smooth(200, 1)
PAIRS = Pairs(PUBLIC, noisy(PUBLIC, 2))
TRUE = smooth(30, 3)
SEEN = noisy(TRUE, 4)


def test_white_noise_on_smooth_images_is_filtered_out() -> None:
    wiener = Wiener(PAIRS)
    assert error([wiener(one) for one in SEEN], TRUE) < error(list(SEEN), TRUE) / 4


def test_noise_that_looks_like_images_is_not() -> None:
    other = Pairs(PUBLIC, (PUBLIC + smooth(200, 5) - 0.5).astype(np.float32))
    seen = (TRUE + smooth(30, 6) - 0.5).astype(np.float32)
    wiener = Wiener(other)
    assert error([wiener(one) for one in seen], TRUE) > error(list(seen), TRUE) / 3


def test_a_steady_offset_is_known_and_taken_off() -> None:
    shifted = Pairs(PUBLIC, (PUBLIC + 0.2).astype(np.float32))
    assert error([Wiener(shifted)(one + 0.2) for one in TRUE], TRUE) < 1e-4


def test_ten_looks_are_trusted_more_than_one() -> None:
    looks = np.mean([noisy(TRUE, seed) for seed in range(10)], 0)
    once, often = Wiener(PAIRS), Wiener(PAIRS, looks=10)
    assert error([often(one) for one in looks], TRUE) < error([once(one) for one in looks], TRUE)


def test_the_network_is_no_worse_than_the_filter_it_starts_from_and_repeats_itself() -> None:
    wiener = Wiener(PAIRS)
    nets = [Denoiser(PAIRS, wiener, seed=1, steps=60) for _ in range(2)]
    ends = [[net(one) for one in SEEN] for net in nets]
    assert np.array_equal(*ends)
    assert error(ends[0], TRUE) < 1.1 * error([wiener(one) for one in SEEN], TRUE)
    assert set(knowing(PAIRS, 1, looks=10)) == {"wiener"}


@pytest.mark.parametrize("defence", [GaussianImages(), MatchedNoise(), Shadow(form="released", rms=0.1)])
def test_the_attacker_s_copy_of_a_defence_has_its_energy_and_another_draw(
    defence: GaussianImages | MatchedNoise | Shadow,
) -> None:
    own = [pairs_behind(defence, TASK, TASK.build(0), images(), context(seed=seed)) for seed in (5, 5, 6)]
    assert own[0].disguised.dtype == np.float32
    assert own[0].disguised.tobytes() == own[1].disguised.tobytes() != own[2].disguised.tobytes()
    changes = np.sqrt(((own[0].disguised - own[0].clean) ** 2).mean((1, 2, 3)))
    assert changes == pytest.approx(np.full(len(images()), 0.1), rel=0.01)
    site = defence.begin(SITE.scene()).disguise(SITE.batch((0,)))
    assert not np.allclose(site[0].permute(1, 2, 0).numpy() / 4 + 0.5, own[0].disguised[0], atol=1e-3)
