"""The CNN made for private training: few weights, blind to symmetries, standardised filters, moments by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from wardround.errors import PlanError
from wardround.tasks.models.moments_cnn import FAINT, GAIN, MomentsCnn, RingConvolution, moments
from wardround.tasks.models.scattering import windows_of


def pictures(count: int, channels: int = 3, edge: int = 32) -> torch.Tensor:
    return torch.rand(count, channels, edge, edge, generator=torch.Generator().manual_seed(3)) * 4 - 2


def ring(edge: int = 5, stride: int = 1, inertia: float = 1.0) -> RingConvolution:
    torch.manual_seed(1)
    return RingConvolution(2, 3, edge, stride, inertia)


def kernels(layer: RingConvolution) -> torch.Tensor:
    """Return the filters ``(fan_out, fan_in, edge, edge)`` that a layer amounts to: its answers to single pixels."""
    edge = layer.edge
    pixels = torch.zeros(layer.fan_in, layer.fan_in, 2 * edge - 1, 2 * edge - 1)
    for channel in range(layer.fan_in):
        pixels[channel, channel, edge - 1, edge - 1] = 1
    half = edge // 2
    seen = layer(pixels)[:, :, edge - 1 - half : edge + half, edge - 1 - half : edge + half]
    return seen.transpose(0, 1).flip(2, 3)


def test_it_is_as_small_as_it_says() -> None:
    assert sum(value.numel() for value in MomentsCnn().build(3, 7).parameters()) == 875


@pytest.mark.parametrize("turned", [lambda x: x.flip(2), lambda x: x.flip(3), lambda x: x.transpose(2, 3)])
def test_filters_are_blind_to_mirrors_and_turns(turned: Any) -> None:
    layer, maps = ring(), pictures(2, 2)
    torch.testing.assert_close(layer(turned(maps)), turned(layer(maps)))


def test_an_unconstrained_convolution_is_not_blind() -> None:
    """The control of the test above."""
    layer, maps = nn.Conv2d(2, 3, 5, padding=2), pictures(2, 2)
    assert not torch.allclose(layer(maps.flip(2)), layer(maps).flip(2), atol=1e-2)


@pytest.mark.parametrize(("edge", "stride"), [(3, 1), (5, 1), (5, 2)])
def test_a_layer_is_the_convolution_with_its_filters(edge: int, stride: int) -> None:
    layer, maps = ring(edge, stride), pictures(2, 2, 17)
    expected = nn.functional.conv2d(maps, kernels(ring(edge)), stride=stride, padding=edge // 2)
    torch.testing.assert_close(layer(maps), expected)


def test_filters_have_mean_zero_and_one_length_whatever_the_weights() -> None:
    for inertia in (0.1, 30.0):
        found = kernels(ring(inertia=inertia)).flatten(1)
        torch.testing.assert_close(found.norm(dim=1), torch.full((3,), GAIN))
        assert found.sum(dim=1).abs().max() < 1e-5


def test_inertia_shortens_gradients_and_changes_no_answer() -> None:
    light, heavy = ring(inertia=1.0), ring(inertia=10.0)
    maps = pictures(2, 2)
    torch.testing.assert_close(light(maps), heavy(maps))
    for layer in (light, heavy):
        layer(maps)[:, 0, 4, 4].sum().backward()  # type: ignore[no-untyped-call]
    assert light.weight.grad is not None
    assert heavy.weight.grad is not None
    torch.testing.assert_close(light.weight.grad, heavy.weight.grad * 10)


def test_moments_are_those_of_numpy() -> None:
    maps = pictures(1, 2, 12)
    whole, centre = windows_of(12, 12).numpy().astype(float)
    expected: list[float] = []
    for plane in maps[0].numpy().astype(float):
        means = [np.average(plane, weights=window) for window in (whole, centre)]
        spreads = [
            np.average((plane - mean) ** 2, weights=window) for mean, window in zip(means, (whole, centre), strict=True)
        ]
        expected += [means[0], means[1] - means[0], *(math.log(v + FAINT**2) / 4 + 1 for v in spreads)]
    np.testing.assert_allclose(moments(maps)[0].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_flat_image_has_finite_gradients() -> None:
    network = MomentsCnn().build(3, 7)
    network(torch.zeros(1, 3, 32, 32))[0, 0].backward()
    assert all(v.grad is not None and torch.isfinite(v.grad).all() for v in network.parameters())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"widths": ()}, "widths"),
        ({"widths": (8, 0)}, "widths"),
        ({"widths": (8,) * 5}, "widths"),
        ({"inertia": 0.0}, "inertia"),
        ({"scale": float("inf")}, "scale"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(PlanError, match=f"model {named}"):
        MomentsCnn(**arguments)
