"""A conditional DCGAN: sizes, conditioning, and a discriminator that judges each image by itself."""

from __future__ import annotations

import pytest
import torch

from wardround.errors import PlanError
from wardround.tasks.models import DcGan


@pytest.mark.parametrize(
    ("size_px", "base", "doublings"), [(28, 7, 2), (32, 4, 3), (48, 6, 3), (64, 4, 4), (128, 4, 5)]
)
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 7)])
def test_it_makes_and_judges_images_of_its_size(
    size_px: int, base: int, doublings: int, channels: int, classes: int
) -> None:
    torch.manual_seed(1)
    pair = DcGan(size_px, width=4, latent=5).build(channels, classes)
    assert (pair.generator.base, pair.generator.doublings) == (base, doublings)
    made = pair(torch.randn(3, 5 + classes))
    assert made.shape == (3, channels, size_px, size_px)
    assert made.abs().max() <= 2
    assert pair.discriminator(made, torch.zeros(3, dtype=torch.int64)).shape == (3,)


@pytest.mark.parametrize("size_px", [8, 30, 36, 129, 256])
def test_other_sizes_are_refused(size_px: int) -> None:
    with pytest.raises(PlanError, match=f"size_px = {size_px} cannot be made by doubling"):
        DcGan(size_px)


@pytest.mark.parametrize("setting", [{"width": 2}, {"latent": 0}])
def test_a_network_without_channels_or_noise_is_refused(setting: dict[str, int]) -> None:
    with pytest.raises(PlanError, match="give at least 4 and 1"):
        DcGan(**setting)


def test_the_class_changes_what_is_made_and_what_is_judged() -> None:
    torch.manual_seed(1)
    pair = DcGan(16, width=4, latent=5).build(1, 2).eval()
    noise = torch.randn(1, 5)
    one, other = (pair(torch.cat([noise, row[None]], dim=1)) for row in torch.eye(2))
    assert not torch.allclose(one, other)
    logits = [pair.discriminator(one, torch.tensor([label])) for label in (0, 1)]
    assert not torch.allclose(*logits)


def test_the_discriminator_judges_each_image_by_itself() -> None:
    torch.manual_seed(1)
    pair = DcGan(16, width=4, latent=5).build(3, 2).eval()
    images, labels = torch.randn(6, 3, 16, 16), torch.tensor([0, 1, 0, 1, 0, 1])
    together = pair.discriminator(images, labels)
    alone = torch.cat([pair.discriminator(images[row : row + 1], labels[row : row + 1]) for row in range(6)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_spectral_normalisation_bounds_every_layer_of_the_discriminator() -> None:
    torch.manual_seed(1)
    discriminator = DcGan(16, width=4, latent=5).build(3, 2).discriminator
    for _ in range(50):  # each pass is one step of the power iteration
        discriminator(torch.randn(2, 3, 16, 16), torch.tensor([0, 1]))
    discriminator.eval()
    layers = [*(layer[0] for layer in discriminator.halved), discriminator.of_any_class]
    norms = [torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item() for layer in layers]
    assert norms == pytest.approx([1.0] * len(norms), abs=0.02)
