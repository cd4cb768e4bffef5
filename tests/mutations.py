"""Frames that somebody tampered with: what the wire decoder is fuzzed with."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator

import numpy as np

from wardround.core.codec import MAX_HEADER_DEPTH, Message, encode

PREFIX = struct.Struct(">4sBI")
DTYPES = ["F32", "F64", "I64", "I32", "U8", "BOOL", "F16", "BF16", "C64", "U64", "F8_E4M3", "F4", "", "f32", "F32 "]
HUGE = [2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30, -1, -(2**63)]
WORDS = ["NaN", "Infinity", "-Infinity", "1e999", "null", "true", '"\\ud800"', "9" * 5000, "-0", "1E5", "[]", "{}"]


def good_frames() -> list[bytes]:
    """Return legal frames of several kinds."""
    rng = np.random.default_rng(0)
    messages = [
        Message(),
        Message({"round": 3, "cohort": ["north", "südwest"], "accepted": {"north": 2}, "loss": 0.25, "ok": True}),
        Message({"a": [[[None]]]}, {"net/0.weight": rng.normal(size=(2, 3)).astype(np.float32)}),
        Message({}, {"x": np.arange(5), "y": np.zeros((0, 2)), "z": np.array(True), "u": np.arange(7, dtype=np.uint8)}),
        Message({"answer": {"n": 1}}, {f"t{i}": np.full(i, i, np.int32) for i in range(9)}),
    ]
    return [encode(message) for message in messages]


def mutated(count: int, seed: int) -> Iterator[bytes]:
    """Yield `count` frames, most of them damaged, a few of them legal."""
    rng = random.Random(seed)
    frames = good_frames()
    for index in range(count):
        frame = MUTATIONS[index % len(MUTATIONS)](rng, rng.choice(frames), frames)
        if rng.random() < 0.2:
            frame = MUTATIONS[rng.randrange(len(MUTATIONS))](rng, frame or b"\0", frames)
        yield frame


def framed(header: bytes, tensors: bytes, version: int = 1, length: int | None = None) -> bytes:
    """Return a frame of any header and any tensor block, with a prefix that may lie."""
    return PREFIX.pack(b"WRND", version, (len(header) if length is None else length) % 2**32) + header + tensors


def block(table: object, data: bytes, length: int | None = None) -> bytes:
    """Return a safetensors block with any table, whose length may lie."""
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    return struct.pack("<Q", (len(text) if length is None else length) % 2**64) + text + data


def _parts(frame: bytes) -> tuple[bytes, bytes]:
    end = PREFIX.size + (PREFIX.unpack_from(frame)[2] if len(frame) >= PREFIX.size else 0)
    return frame[PREFIX.size : end], frame[end:]


def _flip(rng: random.Random, frame: bytes, frames: list[bytes]) -> bytes:
    damaged = bytearray(frame)
    for _ in range(rng.choice([1, 1, 2, 8])):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _cut(rng: random.Random, frame: bytes, frames: list[bytes]) -> bytes:
    return frame[: rng.randrange(len(frame) + 1)]


def _splice(rng: random.Random, frame: bytes, frames: list[bytes]) -> bytes:
    other = rng.choice(frames)
    return frame[: rng.randrange(len(frame) + 1)] + other[rng.randrange(len(other)) :]


def _noise(rng: random.Random, frame: bytes, frames: list[bytes]) -> bytes:
    noise = rng.randbytes(rng.randrange(200))
    return rng.choice([noise, frame[:9] + noise, frame + noise, b"WRND\x01" + noise])


def _overwrite(rng: random.Random, frame: bytes, frames: list[bytes]) -> bytes:
    start = rng.randrange(len(frame))
    return frame[:start] + rng.choice([b"\xff", b"\0", b"{", b'"', b"\\"]) * rng.randrange(1, 9) + frame[start + 1 :]


def _prefix(rng: random.Random, frame: bytes, frames: list[bytes]) -> bytes:
    header, tensors = _parts(frame)
    length = rng.choice([0, 1, len(header) - 1, len(header) + 1, 2**20, 2**20 + 1, 2**31, 2**32 - 1])
    return framed(header, tensors, version=rng.choice([0, 1, 1, 2, 255]), length=length)


def _header(rng: random.Random, frame: bytes, frames: list[bytes]) -> bytes:
    header, tensors = _parts(frame)
    word = rng.choice(WORDS)
    edited = rng.choice(
        [
            b'{"a":1,"a":2}',
            b'{"b":1,"a":2}',
            header.replace(b":", b": ", 1),
            b'{"a":' + word.encode() + b"}",
            word.encode(),
            b"\xef\xbb\xbf" + header,
            header + b" ",
            '{"a":"é"}'.encode("latin-1"),
            '{"a":1}'.encode("utf-16"),
            b'{"\\u0061":1}',
        ]
    )
    return framed(edited, tensors)


def _deep(rng: random.Random, frame: bytes, frames: list[bytes]) -> bytes:
    depth = rng.choice([MAX_HEADER_DEPTH - 1, MAX_HEADER_DEPTH, 60, 300, 480, 700, 990, 2000, 40_000])
    opened, closed = rng.choice([(b"[", b"]"), (b'{"a":', b"}")])
    inside = b"1" if opened != b"[" else b""
    return framed(b'{"a":' + opened * depth + inside + closed * rng.choice([depth, depth - 1]) + b"}", _parts(frame)[1])


def _tensor_table(rng: random.Random, frame: bytes, frames: list[bytes]) -> bytes:
    def number() -> object:
        return rng.choice([*HUGE, 0, 1, 2, 3, 4, 8, 12, 1.5, "4", None, True, [4]])

    table: dict[str, object] = {}
    for index in range(rng.randrange(1, 4)):
        shape = rng.choice([[2], [0], [], [2, 2], [0, 2**62], [2**32, 2**32], [number()], [number(), number()]])
        offsets = rng.choice([[0, 8], [8, 16], [4, 12], [0, 0], [8, 0], [number(), number()], [0], "08", [0, 8, 16]])
        entry = {"dtype": rng.choice(["F32", *DTYPES]), "shape": shape, "data_offsets": offsets}
        for key in list(entry):
            if rng.random() < 0.05:
                del entry[key]
        table[rng.choice([f"t{index}", "", "__metadata__", "net/\u0000", "é"])] = entry
    length = rng.choice([None, None, None, *HUGE])
    return framed(b"{}", block(table, rng.randbytes(rng.choice([0, 8, 16, 24])), length))


def _raw_table(rng: random.Random, frame: bytes, frames: list[bytes]) -> bytes:
    good = b'{"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    text = rng.choice(
        [
            good[:-1] + b',"t":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}',
            b"[" * rng.choice([5, 200, 5000]),
            b'{"t":' * rng.choice([5, 200, 5000]),
            good.replace(b"[2]", b"[" + b"1," * 3000 + b"2]"),
            good.replace(b"2]", b"2e0]"),
            good.replace(b"F32", b"\xff\xfe"),
            b'{"__metadata__":{"a":1}}',
            b'{"__metadata__":{"a":"b"}}',
            b"{}" + b" " * 20,
            b"",
        ]
    )
    return framed(b"{}", block(text, bytes(rng.choice([0, 8, 16]))))


def _intact(rng: random.Random, frame: bytes, frames: list[bytes]) -> bytes:
    return frame


Mutation = Callable[[random.Random, bytes, list[bytes]], bytes]
MUTATIONS: tuple[Mutation, ...] = (
    _flip,
    _cut,
    _splice,
    _noise,
    _overwrite,
    _prefix,
    _header,
    _deep,
    _tensor_table,
    _tensor_table,
    _raw_table,
    _intact,
)
