"""Generators and their discriminator: sizes, conditioning, and that each image is judged by itself."""

from __future__ import annotations

import pytest
import torch

from wardround.errors import PlanError
from wardround.tasks.models import DcGan, StyleGan
from wardround.tasks.models.style_gan import _Modulated

KINDS = (DcGan, StyleGan)
Kind = type[DcGan] | type[StyleGan]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("size_px", "base", "doublings"), [(28, 7, 2), (32, 4, 3), (48, 6, 3), (64, 4, 4), (128, 4, 5)]
)
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 7)])
def test_it_makes_and_judges_images_of_its_size(
    kind: Kind, size_px: int, base: int, doublings: int, channels: int, classes: int
) -> None:
    torch.manual_seed(1)
    spec = kind(size_px, width=4, latent=5)
    pair = spec.build(channels, classes)
    assert (size_px / 2**spec.doublings, spec.doublings) == (base, doublings)
    made = pair(torch.randn(3, 5 + classes))
    assert made.shape == (3, channels, size_px, size_px)
    assert made.abs().max() <= 2
    assert pair.discriminator(made, torch.zeros(3, dtype=torch.int64)).shape == (3,)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size_px", [8, 30, 36, 129, 256])
def test_other_sizes_are_refused(kind: Kind, size_px: int) -> None:
    with pytest.raises(PlanError, match=f"size_px = {size_px} cannot be made by doubling"):
        kind(size_px)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("setting", [{"width": 2}, {"latent": 0}])
def test_a_network_without_channels_or_noise_is_refused(kind: Kind, setting: dict[str, int]) -> None:
    with pytest.raises(PlanError, match="give at least 4 and 1"):
        kind(**setting)


@pytest.mark.parametrize("kind", KINDS)
def test_the_class_changes_what_is_made_and_what_is_judged(kind: Kind) -> None:
    torch.manual_seed(1)
    pair = kind(16, width=4, latent=5).build(1, 2).eval()
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


def test_a_style_bends_weights_as_the_paper_has_it() -> None:
    torch.manual_seed(1)
    layer = _Modulated(3, 5, 3, latent=4)
    seen, style = torch.randn(2, 3, 6, 6), torch.randn(2, 4)
    found = layer(seen, style)
    for image, scales, made in zip(seen, layer.style(style), found, strict=True):
        bent = layer.weight * layer.scale * scales[None, :, None, None]
        unit = bent * torch.rsqrt(bent.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8)
        expected = torch.nn.functional.conv2d(image[None], unit, layer.bias, padding=1)
        assert torch.allclose(made[None], expected, atol=1e-5)


def test_a_style_based_generator_has_no_statistics_of_a_batch() -> None:
    torch.manual_seed(1)
    generator = StyleGan(16, width=4, latent=5).build(3, 2).generator
    assert dict(generator.named_buffers()) == {}
    inputs = torch.cat([torch.randn(6, 5), torch.eye(2).repeat(3, 1)], dim=1)
    alone = torch.cat([generator(row[None]) for row in inputs])
    assert torch.allclose(generator(inputs), alone, atol=1e-5)


def test_a_style_based_generator_starts_with_levels_that_it_can_leave() -> None:
    torch.manual_seed(1)
    generator = StyleGan(32, width=16).build(1, 2).generator
    made = generator(torch.cat([torch.randn(32, 64), torch.eye(2).repeat(16, 1)], dim=1))
    assert 0.3 < made.std() < 1.7
    assert (made.abs() > 1.99).float().mean() < 0.2
