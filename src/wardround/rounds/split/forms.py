"""How activations and gradients are written: float32, bf16, or one byte a number with a scale for each channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from wardround.core.update import Tensors
from wardround.errors import WireError

VALUES, SCALES = "values", "scales"
LEVELS = 127
Shape = tuple[int, int, int, int]


class Form(Protocol):
    """Writes ``(B, C, H, W)`` floats as arrays that a message carries, and reads them."""

    def write(self, tensor: torch.Tensor) -> dict[str, np.ndarray]:
        """Return arrays for a message; the values lie in the order ``(B, H, W, C)``."""
        ...

    def read(self, tensors: Tensors, channels: int) -> torch.Tensor:
        """Return float32 ``(B, C, H, W)`` in ``channels_last``.

        Raises:
            WireError: the arrays are not those of this form, do not have `channels`, or hold a NaN or an infinity.
        """
        ...


@dataclass(frozen=True)
class Float32:
    """Four bytes a number; nothing is lost."""

    def write(self, tensor: torch.Tensor) -> dict[str, np.ndarray]:
        """See `Form.write`."""
        return {VALUES: np.ascontiguousarray(_rows(tensor))}

    def read(self, tensors: Tensors, channels: int) -> torch.Tensor:
        """See `Form.read`."""
        return _tensor(_values(tensors, (VALUES,), np.dtype(np.float32), channels))


@dataclass(frozen=True)
class BFloat16:
    """Two bytes a number, the upper half of a float32, rounded to even; the relative error is at most 2^-9."""

    def write(self, tensor: torch.Tensor) -> dict[str, np.ndarray]:
        """See `Form.write`."""
        rows = _rows(tensor)
        octets = torch.from_numpy(rows.reshape(-1)).to(torch.bfloat16).view(torch.uint8).numpy()
        return {VALUES: octets.reshape(*rows.shape[:3], -1)}

    def read(self, tensors: Tensors, channels: int) -> torch.Tensor:
        """See `Form.read`."""
        octets = _values(tensors, (VALUES,), np.dtype(np.uint8), 2 * channels)
        numbers = torch.from_numpy(np.array(octets).reshape(-1)).view(torch.bfloat16).float().numpy()
        return _tensor(numbers.reshape(*octets.shape[:3], channels))


@dataclass(frozen=True)
class Int8:
    """One byte a number: a whole number from -127 to 127, times a scale for each channel of the message.

    The error is at most half a scale, which is the channel's largest magnitude over 127.
    """

    def write(self, tensor: torch.Tensor) -> dict[str, np.ndarray]:
        """See `Form.write`."""
        rows = _rows(tensor)
        scales = np.abs(rows).max(axis=(0, 1, 2), initial=0.0).astype(np.float32) / np.float32(LEVELS)
        divisors = np.where(scales > 0, scales, np.float32(1))
        codes = np.clip(np.rint(rows / divisors), -LEVELS, LEVELS) + (LEVELS + 1)
        return {VALUES: np.ascontiguousarray(codes.astype(np.uint8)), SCALES: scales}

    def read(self, tensors: Tensors, channels: int) -> torch.Tensor:
        """See `Form.read`."""
        codes = _values(tensors, (SCALES, VALUES), np.dtype(np.uint8), channels)
        scales = tensors[SCALES]
        if scales.dtype != np.float32 or scales.shape != (channels,) or not np.isfinite(scales).all():
            raise WireError(f"the scales are {scales.dtype} {scales.shape}, not one finite float32 for each channel")
        if (scales < 0).any() or (codes == 0).any():
            raise WireError("a scale is negative, or a number lies outside -127 to 127")
        return _tensor((codes.astype(np.float32) - np.float32(LEVELS + 1)) * scales)


FORMS: dict[str, Form] = {"float32": Float32(), "bf16": BFloat16(), "int8": Int8()}
"""Names a plan may use in ``[split] wire = …``."""


def _rows(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().permute(0, 2, 3, 1).numpy()


def _values(tensors: Tensors, names: tuple[str, ...], dtype: np.dtype, last: int) -> np.ndarray:
    if tuple(sorted(tensors)) != names:
        raise WireError(f"the message holds {', '.join(sorted(tensors)[:3]) or 'nothing'}, not {' and '.join(names)}")
    values = tensors[VALUES]
    if values.dtype != dtype or values.ndim != 4 or values.shape[3] != last or not values.size:
        raise WireError(f"the values are {values.dtype} {values.shape}, not {dtype} (images, height, width, {last})")
    return values


def _tensor(rows: np.ndarray) -> torch.Tensor:
    if not np.isfinite(rows).all():
        raise WireError("the values hold a NaN or an infinity")
    return torch.from_numpy(np.array(rows, np.float32)).permute(0, 3, 1, 2)
