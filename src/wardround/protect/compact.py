"""How an update is written where few of its coordinates or few of its bits travel in the clear.

```text
version: u8 | kind of places: u8 | number of values: u32 little-endian | places | steps: f32 each | values: i8 or f32
```

Places are there where sites choose coordinates of their own, steps where values are int8 codes. Both ends know from the
plan what there is. Whatever is wrong with the bytes, reading raises `WireError` and nothing else.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from wardround.core.update import Tensors
from wardround.errors import WireError
from wardround.protect import places as places_of
from wardround.protect.int8 import LARGEST, from_codes, to_codes
from wardround.protect.row import Row

VERSION = 1
UNSAID = 255
"""The kind of places that the reader knows: all of them, or those of the round."""
_HEAD = struct.Struct("<BBI")


@dataclass(frozen=True)
class Compact:
    """The compact form of one round's updates.

    Attributes:
        row: how tensors lie end to end, and which of their numbers travel where that is the same at every site.
        own_places: whether each site says which numbers it sends.
        int8: whether values are int8 codes, instead of float32.
    """

    row: Row
    own_places: bool
    int8: bool

    def write(self, change: Tensors, rng: np.random.Generator) -> np.ndarray:
        """Write an update.

        Args:
            change: finite floats with the row's names and shapes; of zeros nothing travels where sites choose.
            rng: decides which way values are rounded to codes.

        Returns:
            uint8 ``(n,)``.
        """
        row, kind, written = self.row, UNSAID, b""
        if self.own_places:
            places = np.flatnonzero(row.values(change, np.float32)).astype(np.int64)
            row = Row(row.shapes, places)
            kind, written = places_of.to_bytes(places, row.length)
        pieces = [values for _, values in row.chosen(change, np.float32)]
        if self.int8:
            codes, steps = to_codes(pieces, rng)
            values = steps.astype("<f4").tobytes() + codes.tobytes()
        else:
            values = np.concatenate(pieces or [np.empty(0, np.float32)]).astype("<f4").tobytes()
        head = _HEAD.pack(VERSION, kind, row.num_values)
        return np.frombuffer(head + written + values, np.uint8)

    def read(self, data: np.ndarray) -> dict[str, np.ndarray]:
        """Read an update: float32 tensors with the row's names and shapes; what did not travel is zero.

        Args:
            data: uint8 ``(n,)`` from another party; nothing about it is trusted.

        Raises:
            WireError: it is no update of this form.
        """
        row, rest = self._row(data)
        if not self.int8:
            values = _floats(rest, row.num_values)
        else:
            sizes = list(row.sizes.values())
            steps = _floats(rest[: 4 * len(sizes)], len(sizes))
            codes = rest[4 * len(sizes) :].view(np.int8)
            if codes.size != row.num_values or (codes < -LARGEST).any():
                raise WireError(f"a compact update does not hold {row.num_values} codes from -{LARGEST} to {LARGEST}")
            if (steps < 0).any():
                raise WireError("a compact update has a negative step")
            with np.errstate(over="ignore"):
                values = from_codes(codes, steps, sizes)
        if not np.isfinite(values).all():
            raise WireError("the update holds a NaN or an infinity")
        return row.tensors(values)

    def _row(self, data: np.ndarray) -> tuple[Row, np.ndarray]:
        """Return the row with the places that travel, and the bytes behind them."""
        if data.dtype != np.uint8 or data.ndim != 1 or data.size < _HEAD.size:
            raise WireError("a compact update is shorter than its head, or no row of bytes")
        version, kind, count = _HEAD.unpack(data[: _HEAD.size].tobytes())
        rest = data[_HEAD.size :]
        if version != VERSION:
            raise WireError(f"a compact update has version {version}, this installation reads version {VERSION}")
        if self.own_places:
            if count > self.row.length:
                raise WireError(f"a compact update claims {count} of {self.row.length} values")
            places, taken = places_of.from_bytes(kind, rest, count, self.row.length)
            return Row(self.row.shapes, places), rest[taken:]
        if kind != UNSAID or count != self.row.num_values:
            raise WireError(f"a compact update has {count} values of kind {kind}, not {self.row.num_values}")
        return self.row, rest


def _floats(data: np.ndarray, count: int) -> np.ndarray:
    if data.size != 4 * count:
        raise WireError(f"a compact update has {data.size} bytes where {count} float32 should be")
    return np.frombuffer(data.tobytes(), "<f4").astype(np.float32)
