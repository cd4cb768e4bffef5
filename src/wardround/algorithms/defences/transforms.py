"""A fixed library of changes to images, and what takes each back as far as it goes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from wardround.tasks.inputs import HIGHEST, LOWEST

Change = Callable[[torch.Tensor], torch.Tensor]
"""Float ``(B, C, H, W)`` in ``[LOWEST, HIGHEST]`` in, the same out; no randomness."""
Matrix = tuple[tuple[float, float], tuple[float, float]]
BANDS = 8
_STILL: Matrix = ((1, 0), (0, 1))


@dataclass(frozen=True)
class Transform:
    """One entry of the library.

    Attributes:
        name: says what it does.
        apply: does it.
        undo: takes it back; what went over the border or was rounded away stays lost.
    """

    name: str
    apply: Change
    undo: Change


def warped(images: torch.Tensor, matrix: Matrix, right: float = 0.0) -> torch.Tensor:
    """Sample images at ``matrix @ place + (right, 0)``, places from -1 to 1; beyond the border it is repeated."""
    rows = torch.tensor([[*matrix[0], right], [*matrix[1], 0.0]], dtype=images.dtype, device=images.device)
    grid = nn.functional.affine_grid(rows.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _moved(name: str, matrix: Matrix) -> Transform:
    (a, b), (c, d) = matrix
    scale = a * d - b * c
    back = ((d / scale, -b / scale), (-c / scale, a / scale))
    return Transform(name, lambda x: warped(x, matrix), lambda x: warped(x, back))


def _shifted(name: str, by: float) -> Transform:
    return Transform(name, lambda x: warped(x, _STILL, -by), lambda x: warped(x, _STILL, by))


def _turned(degrees: float) -> Transform:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return _moved(f"turn {degrees:g} degrees", ((cos, -sin), (sin, cos)))


def _across(transform: Transform, name: str) -> Transform:
    """Return a transform along the other axis."""

    def flipped(change: Change) -> Change:
        return lambda x: change(x.transpose(2, 3)).transpose(2, 3)

    return Transform(name, flipped(transform.apply), flipped(transform.undo))


def _gained(name: str, gain: float, offset: float = 0.0) -> Transform:
    return Transform(name, lambda x: _cut(gain * x + offset), lambda x: _cut((x - offset) / gain))


def _coloured(name: str, gain: float) -> Transform:
    def change(images: torch.Tensor, by: float) -> torch.Tensor:
        grey = images.mean(1, keepdim=True)
        return _cut(grey + by * (images - grey))

    return Transform(name, lambda x: change(x, gain), lambda x: change(x, 1 / gain))


def _solarised(images: torch.Tensor) -> torch.Tensor:
    return torch.where(images > 0, -images, images)


def _posterised(images: torch.Tensor) -> torch.Tensor:
    step = (HIGHEST - LOWEST) / BANDS
    return LOWEST + step * (((images - LOWEST) / step).floor().clamp_max(BANDS - 1) + 0.5)


def _stretched(images: torch.Tensor) -> torch.Tensor:
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return LOWEST + (HIGHEST - LOWEST) * (images - low) / (high - low).clamp_min(torch.finfo(images.dtype).eps)


def _smooth(images: torch.Tensor) -> torch.Tensor:
    return nn.functional.avg_pool2d(nn.functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)


def _as_it_is(images: torch.Tensor) -> torch.Tensor:
    return images


def _cut(images: torch.Tensor) -> torch.Tensor:
    return images.clamp(LOWEST, HIGHEST)


_SIDE = (_shifted("shift right", 0.5), _shifted("shift left", -0.5))
_SLANT = (_moved("shear right", ((1, 0.4), (0, 1))), _moved("shear left", ((1, -0.4), (0, 1))))

TRANSFORMS: tuple[Transform, ...] = (
    *_SIDE,
    _across(_SIDE[0], "shift down"),
    _across(_SIDE[1], "shift up"),
    *_SLANT,
    _across(_SLANT[0], "shear down"),
    _across(_SLANT[1], "shear up"),
    *(_turned(degrees) for degrees in (-45, -20, 20, 45)),
    _moved("zoom in", ((0.7, 0), (0, 0.7))),
    _gained("invert", -1),
    _gained("brighten", 1, 0.8),
    _gained("darken", 1, -0.8),
    _gained("more contrast", 1.8),
    _gained("less contrast", 0.4),
    _coloured("more colour", 1.8),
    _coloured("less colour", 0.3),
    Transform("solarise", _solarised, _as_it_is),
    Transform("posterise", _posterised, _as_it_is),
    Transform("stretch", _stretched, _as_it_is),
    Transform("smooth", _smooth, lambda x: _cut(x + (x - _smooth(x)))),
    Transform("sharpen", lambda x: _cut(x + 1.5 * (x - _smooth(x))), _smooth),
)
"""A policy names them by their places here."""
