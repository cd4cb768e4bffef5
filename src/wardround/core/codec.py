"""The wire format: a small JSON header and a safetensors block, versioned, bounded and free of pickle.

```text
"WRND" | version: u8 | header length: u32 big-endian | header: canonical JSON object | safetensors block
```

Whatever is wrong with the bytes, `decode` raises `WireError` and nothing else.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from wardround.core.update import Tensors, size_bytes
from wardround.errors import WireError

MAGIC = b"WRND"
VERSION = 1
MAX_FRAME_BYTES = 2**31
MAX_HEADER_BYTES = 2**20
MAX_TENSORS = 10_000
MAX_HEADER_DEPTH = 16
_CODES: dict[np.dtype[Any], str] = {
    np.dtype("float32"): "F32",
    np.dtype("float64"): "F64",
    np.dtype("int64"): "I64",
    np.dtype("int32"): "I32",
    np.dtype("uint8"): "U8",
    np.dtype("bool"): "BOOL",
}
DTYPES = frozenset(_CODES)

_PREFIX = struct.Struct(">4sBI")
_LENGTH = struct.Struct("<Q")
_RESERVED = "__metadata__"  # safetensors keeps this name for itself


@dataclass(frozen=True)
class Message:
    """What one call carries: plain fields and arrays.

    Attributes:
        fields: JSON values by name.
        tensors: arrays by name; dtypes from `DTYPES`. Receivers treat them as read-only.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    tensors: Tensors = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Bytes of the fields as JSON and of the arrays, without framing: what the engine adds is not counted."""
        return len(_header(self.fields)) + size_bytes(self.tensors)


def encode(message: Message) -> bytes:
    """Write `message` as one frame.

    Raises:
        ValueError: a field is not JSON, the header or the number of arrays exceeds its limit, or an array has a dtype
            or a name that the format does not carry.
    """
    header = _header(message.fields)
    if len(header) > MAX_HEADER_BYTES or _depth(message.fields) > MAX_HEADER_DEPTH:
        raise ValueError(f"the fields exceed {MAX_HEADER_BYTES} bytes or a depth of {MAX_HEADER_DEPTH}")
    if len(message.tensors) > MAX_TENSORS or _RESERVED in message.tensors:
        raise ValueError(f"the tensors are more than {MAX_TENSORS}, or one is called {_RESERVED!r}")
    for name, array in message.tensors.items():
        if array.dtype not in DTYPES:
            raise ValueError(f"tensor {name!r} has dtype {array.dtype}, which the wire format does not carry")
    # Not `ascontiguousarray`, which gives an array without axes one.
    arrays = {name: np.asarray(array, order="C") for name, array in message.tensors.items()}
    return b"".join((_PREFIX.pack(MAGIC, VERSION, len(header)), header, *_tensor_block(arrays)))


def decode(frame: bytes, max_bytes: int = MAX_FRAME_BYTES) -> Message:
    """Read one frame.

    Args:
        frame: bytes from another party; nothing about them is trusted.
        max_bytes: longest frame that is looked at.

    Raises:
        WireError: the frame is too long, cut short, of another version, or malformed in any other way.
    """
    if len(frame) > max_bytes:
        raise WireError(f"a frame of {len(frame)} bytes exceeds the limit of {max_bytes}")
    if len(frame) < _PREFIX.size:
        raise WireError("a frame is shorter than its prefix")
    magic, version, header_bytes = _PREFIX.unpack_from(frame)
    if magic != MAGIC:
        raise WireError("a frame does not start with the wire format's magic bytes")
    if version != VERSION:
        raise WireError(f"a frame has version {version}, this installation reads version {VERSION}")
    if header_bytes > MAX_HEADER_BYTES or header_bytes > len(frame) - _PREFIX.size:
        raise WireError("a frame's header is longer than the frame or the limit")
    body = _PREFIX.size + header_bytes
    return Message(_read_header(frame[_PREFIX.size : body]), _read_tensors(frame[body:]))


def canonical_json(value: Any) -> bytes:
    """Write a JSON value in the one way used for digests: sorted keys, no spaces, UTF-8, finite numbers.

    Raises:
        ValueError: the value is not JSON.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except TypeError as error:
        raise ValueError(str(error)) from None
    return text.encode()


def _header(fields: Mapping[str, Any]) -> bytes:
    return canonical_json(dict(fields))


def _read_header(data: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(data.decode())
        # One way to write a value: this refuses names that occur twice, NaN, infinities and lone surrogates.
        canonical = canonical_json(fields) == data
    except (ValueError, RecursionError):
        raise WireError("a frame's header is not JSON of finite numbers and whole characters") from None
    if not isinstance(fields, dict) or not canonical:
        raise WireError("a frame's header is not a JSON object in its canonical form")
    if _depth(fields) > MAX_HEADER_DEPTH:
        raise WireError(f"a frame's header is nested deeper than {MAX_HEADER_DEPTH}")
    return fields


def _tensor_block(arrays: Tensors) -> Iterator[bytes | memoryview]:
    """Yield a safetensors block in pieces, so that joining them is the one time an array is copied.

    Writing is ours, because the library copies each array three times; reading untrusted bytes is the library's.
    """
    described: dict[str, Any] = {}
    end = 0
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0]))  # wide first: all stay aligned
    for name, array in ordered:
        begin, end = end, end + array.nbytes
        described[name] = {"dtype": _CODES[array.dtype], "shape": array.shape, "data_offsets": (begin, end)}
    header = json.dumps(described, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    yield _LENGTH.pack(len(header)) + header
    for _, array in ordered:
        yield array.reshape(-1).view(np.uint8).data


def _read_tensors(data: bytes) -> dict[str, np.ndarray]:
    try:
        arrays = safetensors.numpy.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError, MemoryError):
        raise WireError("a frame's tensor block is not valid safetensors") from None
    if len(arrays) > MAX_TENSORS:
        raise WireError(f"a frame carries {len(arrays)} tensors, more than the limit of {MAX_TENSORS}")
    for name, array in arrays.items():
        if array.dtype not in DTYPES:
            raise WireError(f"tensor {name!r} has dtype {array.dtype}, which the wire format does not carry")
    return arrays


def _depth(value: Any) -> int:
    # Level by level, not by recursion: nesting is the sender's choice.
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            child
            for parent in level
            if isinstance(parent, Mapping | list | tuple)
            for child in (parent.values() if isinstance(parent, Mapping) else parent)
        ]
    return depth
