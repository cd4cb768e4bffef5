"""The denoising network: sizes, what it is told, and that each image is its own."""

from __future__ import annotations

import pytest
import torch

from wardround.errors import PlanError
from wardround.tasks.models import Diffusion
from wardround.tasks.models.noising import mixed, taken_apart

SPEC = Diffusion(16, width=12)


def network(seed: int = 1, channels: int = 1, spec: Diffusion = SPEC) -> torch.nn.Module:
    torch.manual_seed(seed)
    return spec.build(channels, 2).eval()


def asked(count: int = 4, channels: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    mixture = torch.randn(count, channels, 16, 16, generator=generator)
    return mixture, torch.rand(count, generator=generator), torch.arange(count) % 2


@pytest.mark.parametrize(("size_px", "patch_px"), [(8, 1), (16, 2), (28, 2), (28, 1), (32, 4), (64, 4)])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_says_a_velocity_for_every_pixel(size_px: int, patch_px: int, channels: int) -> None:
    net = network(1, channels, Diffusion(size_px, 48, patch_px))
    said = net(torch.randn(2, channels, size_px, size_px), torch.rand(2), torch.tensor([0, 1]))
    assert said.shape == (2, channels, size_px, size_px)
    assert said.dtype == torch.float32


def test_it_is_small() -> None:
    assert 200_000 < sum(value.numel() for value in Diffusion().build(1, 2).parameters()) < 300_000


@pytest.mark.parametrize(("size_px", "patch_px"), [(6, 1), (30, 2), (66, 1), (16, 3)])
def test_other_sizes_are_refused(size_px: int, patch_px: int) -> None:
    with pytest.raises(PlanError, match=f"size_px = {size_px} is not from 8 to 64"):
        Diffusion(size_px, patch_px=patch_px)


@pytest.mark.parametrize("setting", [{"width": 2}, {"patch_px": 0}, {"steps": 0}])
def test_a_network_that_cannot_be_is_refused(setting: dict[str, int]) -> None:
    with pytest.raises(PlanError, match="needs width >= 4, patch_px >= 1 and steps >= 1"):
        Diffusion(**setting)


def test_a_level_that_could_not_hold_the_noise_is_refused() -> None:
    assert Diffusion(16, width=16, patch_px=4).build(1, 2)
    with pytest.raises(PlanError, match="cannot hold the 48 numbers of 4 x 4 pixels: give a width of 48 or more"):
        Diffusion(16, width=16, patch_px=4).build(3, 2)


def test_time_and_class_change_what_it_says() -> None:
    net, (mixture, times, classes) = network(), asked()
    said = net(mixture, times, classes)
    assert not torch.allclose(said, net(mixture, 1 - times, classes), atol=1e-4)
    assert not torch.allclose(said, net(mixture, times, 1 - classes), atol=1e-4)


def test_each_image_is_judged_by_itself() -> None:
    net, given = network(channels=3), asked(channels=3)
    together = net(*given)
    alone = torch.cat([net(*(part[row : row + 1] for part in given)) for row in range(4)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_every_weight_learns() -> None:
    net, images = network().train(), torch.randn(8, 1, 16, 16)
    SPEC.loss(net, images, torch.arange(8) % 2).backward()
    silent = [name for name, value in net.named_parameters() if value.grad is None or not value.grad.any()]
    assert not silent


def test_who_knows_the_images_has_no_loss_and_who_says_nothing_has_their_power() -> None:
    images = torch.randn(64, 1, 16, 16)

    def knows(mixture: torch.Tensor, times: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        image_share, noise_share = (torch.cos(times * torch.pi / 2), torch.sin(times * torch.pi / 2))
        noise = (mixture - image_share[:, None, None, None] * images) / noise_share[:, None, None, None]
        found, velocity = mixed(images, noise, times)
        assert torch.allclose(found, mixture, atol=1e-5)
        assert torch.allclose(taken_apart(mixture, velocity, times)[0], images, atol=1e-4)
        return velocity

    torch.manual_seed(1)
    labels = torch.zeros(64, dtype=torch.int64)
    assert SPEC.loss(knows, images, labels).item() < 1e-4
    # Image and noise both have unit variance, so that every velocity has.
    assert SPEC.loss(lambda mixture, *_: torch.zeros_like(mixture), images, labels).item() == pytest.approx(1, abs=0.05)


def test_what_it_learns_of_each_class_is_what_it_makes() -> None:
    torch.manual_seed(1)
    spec = Diffusion(8, width=12, steps=5)
    net = spec.build(1, 2)
    ramp = torch.linspace(-1.5, 1.5, 8).expand(16, 1, 8, 8).clone()
    ramp[1::2] *= -1
    optimiser = torch.optim.AdamW(net.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        loss = spec.loss(net, ramp, torch.arange(16) % 2)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    told = torch.eye(2).repeat_interleave(4, dim=0)
    made = net.eval().make(torch.cat([torch.randn(8, 64), told], dim=1)).detach()
    leaning = (made * ramp[:1]).mean(dim=(1, 2, 3))
    assert (leaning[:4] > 0.4).all()
    assert (leaning[4:] < -0.4).all()
