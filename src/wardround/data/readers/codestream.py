"""What a compressed frame says of its own size, so that a bomb is refused before a decoder makes room for it."""

from __future__ import annotations

from dataclasses import dataclass

_JP2_START = b"\xff\x4f\xff\x51"  # SOC, then SIZ
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_NO_FRAME = frozenset({0xC4, 0xC8, 0xCC})  # DHT, JPG and DAC lie among the SOF markers


@dataclass(frozen=True)
class FrameSize:
    """Size that a JPEG, JPEG-LS or JPEG 2000 frame claims.

    Attributes:
        rows: height in pixels.
        columns: width in pixels.
        samples: values of one pixel.
    """

    rows: int
    columns: int
    samples: int


def frame_size(frame: bytes) -> FrameSize | None:
    """Return what a codestream claims (ISO 10918-1 B.2.2, 14495-1 C.2.2, 15444-1 A.5.1); ``None`` if it is neither."""
    if frame[:2] == b"\xff\xd8":
        return _jpeg(frame)
    start = frame.find(_JP2_START, 0, 4096)
    return _jpeg2000(frame, start + 4) if start >= 0 else None


def _jpeg(frame: bytes) -> FrameSize | None:
    place = 2
    while place + 9 < len(frame):
        if frame[place] != 0xFF:
            return None
        marker = frame[place + 1]
        if marker == 0xFF or marker in _STANDALONE:
            place += 1 if marker == 0xFF else 2
            continue
        if (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME) or marker == 0xF7:
            rows, columns = _short(frame, place + 5), _short(frame, place + 7)
            return FrameSize(rows, columns, frame[place + 9])
        place += 2 + _short(frame, place + 2)
    return None


def _jpeg2000(frame: bytes, place: int) -> FrameSize | None:
    if len(frame) < place + 38:
        return None
    width, height, left, top = (int.from_bytes(frame[place + at : place + at + 4], "big") for at in (4, 8, 12, 16))
    return FrameSize(height - top, width - left, _short(frame, place + 36))


def _short(frame: bytes, place: int) -> int:
    return int.from_bytes(frame[place : place + 2], "big")
