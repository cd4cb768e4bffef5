from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from wardround.attacks.cut.inversion import (
    DecoderAttack,
    OptimisationAttack,
    from_nothing,
    likeness,
    mean_image,
    thumbnails,
)
from wardround.attacks.cut.observation import CutObservation
from wardround.core.codec import Message, encode
from wardround.errors import WireError
from wardround.rounds.split.asks import Ask, Wire
from wardround.rounds.split.forms import FORMS


def blobs(count: int, seed: int) -> torch.Tensor:
    """Return smooth random images in [-2, 2], ``(count, 1, 16, 16)``."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 1, 4, 4, generator=generator) * 4 - 2
    return nn.functional.interpolate(small, size=(16, 16), mode="bilinear", align_corners=False)


def head() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)).requires_grad_(False)


IMAGES, PUBLIC, HEAD = blobs(6, 1), blobs(60, 2), head()
FLOOR = likeness(IMAGES, mean_image(IMAGES, PUBLIC)).ssim


def test_a_decoder_beats_the_mean_image_and_noise_takes_that_away() -> None:
    attack = DecoderAttack(steps=150, batch_size=8, width=16)
    found, losses = attack.run(CutObservation(HEAD(IMAGES)), HEAD, PUBLIC)
    clear = likeness(IMAGES, found).ssim
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])

    def noisy(images: torch.Tensor) -> torch.Tensor:
        sent = HEAD(images)
        return sent + 8 * sent.std() * torch.randn_like(sent)

    torch.manual_seed(4)
    found, _ = attack.run(CutObservation(noisy(IMAGES)), noisy, PUBLIC)
    assert clear > FLOOR + 0.3
    assert likeness(IMAGES, found).ssim < clear - 0.3


def test_optimisation_finds_images_without_any_other() -> None:
    start = from_nothing(len(IMAGES), (1, 16, 16))
    found = OptimisationAttack(steps=200).run(CutObservation(HEAD(IMAGES)), HEAD, start)
    assert likeness(IMAGES, found).ssim > FLOOR + 0.2


def test_optimisation_refines_what_it_begins_with() -> None:
    start = thumbnails(IMAGES)
    found = OptimisationAttack(steps=100, learning_rate=0.02).run(CutObservation(HEAD(IMAGES)), HEAD, start)
    assert likeness(IMAGES, found).ssim > likeness(IMAGES, start).ssim + 0.05


def test_attacks_are_repeatable_and_leave_torch_s_generator_alone() -> None:
    attack, seen = DecoderAttack(steps=3, width=8), CutObservation(HEAD(IMAGES))
    torch.manual_seed(9)
    state = torch.random.get_rng_state()
    first, _ = attack.run(seen, HEAD, PUBLIC)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first, attack.run(seen, HEAD, PUBLIC)[0])


def test_a_perfect_copy_and_floors_are_scored_as_such() -> None:
    assert likeness(IMAGES, IMAGES).ssim == pytest.approx(1)
    assert likeness(IMAGES, IMAGES).psnr_db == 100
    assert likeness(IMAGES, thumbnails(IMAGES)).ssim > FLOOR


def test_an_observation_is_what_the_bytes_say_and_holds_activations_alone() -> None:
    wire = Wire(FORMS["int8"], 8, 8)
    sent = HEAD(IMAGES)
    frames = [
        encode(wire.ask(Ask.FORWARD, sent[:4])),
        encode(wire.ask(Ask.BACKWARD, sent[:4])),
        encode(Message({"loss": 1.0})),
        encode(wire.ask(Ask.LOOK, sent[4:])),
    ]
    seen = CutObservation.of_frames(frames, wire)
    assert seen.activations.shape == sent.shape
    assert 0 < float((seen.activations - sent).abs().max()) < 0.05
    with pytest.raises(WireError, match="nothing that crossed the cut is an activation"):
        CutObservation.of_frames(frames[1:3], wire)
    with pytest.raises(WireError):
        CutObservation.of_frames([b"garbage"], wire)
