"""Augmentations keep what they should and reach all they promise."""

from __future__ import annotations

import pytest
import torch

from wardround.algorithms.augment import AUGMENTATIONS


def symmetries(image: torch.Tensor) -> list[torch.Tensor]:
    """Return the eight images of the square's symmetry group; `image` is ``(C, H, W)``."""
    turned = [torch.rot90(image, quarter, (1, 2)) for quarter in range(4)]
    return turned + [each.flip(2) for each in turned]


IMAGE = torch.arange(27.0).reshape(3, 3, 3)
BATCH = IMAGE.repeat(4000, 1, 1, 1)


def shares(name: str) -> list[float]:
    """Return how often each symmetry comes out; they must add up to one."""
    torch.manual_seed(3)
    out = AUGMENTATIONS[name](BATCH)
    assert out.shape == BATCH.shape
    return [(out == each).flatten(1).all(dim=1).float().mean().item() for each in symmetries(IMAGE)]


def test_dihedral_reaches_all_eight_symmetries_equally_often() -> None:
    found = shares("dihedral")
    assert sum(found) == pytest.approx(1)
    assert all(abs(share - 1 / 8) < 0.03 for share in found)


def test_flip_is_the_image_or_its_mirror_image() -> None:
    found = shares("flip")
    assert sum(found) == pytest.approx(1)
    assert abs(found[0] - 0.5) < 0.05
    assert abs(found[4] - 0.5) < 0.05


def test_none_changes_nothing() -> None:
    assert AUGMENTATIONS["none"](BATCH) is BATCH


def test_colour_is_a_gain_and_an_offset_of_each_channel() -> None:
    torch.manual_seed(0)
    batch = torch.linspace(-2, 2, 16).reshape(1, 1, 4, 4).repeat(50, 3, 1, 1)
    out = AUGMENTATIONS["dihedral+colour"](batch)
    low, high = out.amin(dim=(2, 3)), out.amax(dim=(2, 3))
    gain, offset = (high - low) / 4, (high + low) / 2
    assert ((gain > 0.9 - 1e-5) & (gain < 1.1 + 1e-5)).all()
    assert (offset.abs() < 0.1 + 1e-5).all()
    assert gain.std() > 0.03
    assert (gain[:, 0] != gain[:, 1]).any()


def test_appearance_changes_colour_contrast_and_saturation_within_its_bounds() -> None:
    torch.manual_seed(0)
    flat = torch.tensor([1.0, 0.0, -1.0]).reshape(1, 3, 1, 1).expand(400, 3, 4, 4)
    out = AUGMENTATIONS["dihedral+appearance"](flat)
    assert (out.amax(dim=(2, 3)) - out.amin(dim=(2, 3))).abs().max() < 1e-5
    colours = out[:, :, 0, 0]
    spread = colours.amax(dim=1) - colours.amin(dim=1)
    assert spread.min() < 0.2  # nearly grey
    assert spread.max() > 2.5
    assert colours.mean(dim=1).std() > 0.1
    step = torch.linspace(-1, 1, 16).reshape(1, 1, 4, 4).expand(400, 3, 4, 4)
    contrast = AUGMENTATIONS["dihedral+appearance"](step).mean(dim=1).std(dim=(1, 2)) / step[0, 0].std()
    assert 0.4 < contrast.min() < 0.75
    assert 1.25 < contrast.max() < 1.7


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentations_are_seeded_by_torch_and_leave_their_input_alone(name: str) -> None:
    batch = torch.rand(8, 3, 6, 6)
    kept = batch.clone()
    torch.manual_seed(5)
    first = AUGMENTATIONS[name](batch)
    torch.manual_seed(5)
    assert torch.equal(first, AUGMENTATIONS[name](batch))
    assert torch.equal(batch, kept)


def test_a_shift_moves_each_image_by_an_eighth_at_most_and_lets_gradients_through() -> None:
    torch.manual_seed(0)
    images = torch.zeros(64, 1, 16, 16)
    images[:, :, 8, 8] = 1
    images.requires_grad_()
    moved = AUGMENTATIONS["shift"](images)
    places = moved.detach()[:, 0].flatten(1).argmax(dim=1)
    rows, columns = places // 16 - 8, places % 16 - 8
    assert {int(step) for step in rows} == {int(step) for step in columns} == {-2, -1, 0, 1, 2}
    assert torch.equal(moved.detach().flatten(1).sum(dim=1), torch.ones(64))
    torch.autograd.backward(moved.sum())
    assert images.grad is not None
    assert torch.equal(images.grad[:, :, 8, 8], torch.ones(64, 1))
