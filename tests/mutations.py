"""Bytes, frames and messages that somebody tampered with: what every reader of another party's words is fuzzed with."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

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


def damaged(rng: random.Random, good: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return `good` after one to three damages: bits, cuts, splices with `others`, runs, and lengths that lie."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        good = rng.choice(DAMAGES)(rng, good or b"\0", [other for other in others if other] or [good or b"\0"])
    return good


def damaged_message(rng: random.Random, message: Message, others: Sequence[bytes] = ()) -> bytes:
    """Return the frame of a message in which fields or arrays were changed, or the frame itself was."""
    fields, tensors = dict(message.fields), dict(message.tensors)
    for _ in range(rng.choice([1, 1, 2])):
        if tensors and rng.random() < 0.6:
            _damage_tensor(rng, tensors, others)
        else:
            _damage_field(rng, fields)
    frame = encode(Message(fields, tensors))
    return damaged(rng, frame, others) if rng.random() < 0.1 else frame


def _damage_field(rng: random.Random, fields: dict[str, Any]) -> None:
    if not fields or rng.random() < 0.1:
        fields[rng.choice(["", "round", "part", "weights", "x" * 200, "\u202e"])] = rng.choice(VALUES)
        return
    key = rng.choice(sorted(fields))
    if rng.random() < 0.15:
        del fields[key]
    else:
        fields[key] = _damaged_value(rng, fields[key])


def _damaged_value(rng: random.Random, value: Any) -> Any:
    if rng.random() < 0.3:
        return rng.choice(VALUES)
    if type(value) is int:
        return value + rng.choice([-2, -1, 1, 2, 7])
    if isinstance(value, list):
        other = (
            [*value, rng.choice([*value, *VALUES])] if rng.random() < 0.5 else value[: rng.randrange(len(value) + 1)]
        )
        return rng.sample(other, len(other)) if rng.random() < 0.3 else other
    if isinstance(value, dict):
        other = dict(value)
        _damage_field(rng, other)
        return other
    return rng.choice(VALUES)


def _damage_tensor(rng: random.Random, tensors: dict[str, np.ndarray], others: Sequence[bytes]) -> None:
    name = rng.choice(sorted(tensors))
    kind, array = rng.randrange(8), tensors[name]
    if kind == 0:
        del tensors[name]
    elif kind == 1:
        tensors[rng.choice(["", "nobody", "\u202e", name * 40])] = tensors.pop(name)
    elif kind == 2:
        tensors[name] = tensors[rng.choice(sorted(tensors))]
    elif kind == 3:
        tensors[name] = rng.choice(
            [array.astype(np.float32), array[None], np.array(1), np.zeros((0, 3)), np.zeros(0, array.dtype)]
        )
    else:
        content = damaged(rng, array.tobytes(), others)
        tensors[name] = np.frombuffer(content[: len(content) // array.itemsize * array.itemsize], array.dtype)


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


def _extend(rng: random.Random, frame: bytes, frames: list[bytes]) -> bytes:
    return frame + rng.choice([b"\0", frame[-1:], rng.randbytes(rng.randrange(1, 40)), rng.choice(frames)])


def _lying_number(rng: random.Random, frame: bytes, frames: list[bytes]) -> bytes:
    # Lengths and counts are mostly at the start, in four bytes or two.
    start = rng.randrange(min(len(frame), rng.choice([8, 64, 256, len(frame)])))
    number = rng.choice([0, 1, 2, 3, 255, 256, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, len(frame)])
    written = rng.choice([struct.pack(">I", number % 2**32), struct.pack(">H", number % 2**16)])
    return frame[:start] + written + frame[start + len(written) :]


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


VALUES: list[Any] = [
    *[None, True, False, 0, 1, -1, 2, 1.5, -0.5, 1e300, "", "0", "east", "\u202e", "x" * 300, [], {}, [[]], {"": 0}],
    *[[0], ["east"], ["east", "north"], ["north", "east"], ["east", "east"], [None], {"east": 1}, {"east": -1}],
    *[{"east": 1.0}, {"east": 2**70}, [2**70], list(range(300))],
    *(number for number in HUGE),
]
"""What a field may hold instead of what it should."""

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
DAMAGES: tuple[Mutation, ...] = (_flip, _flip, _cut, _splice, _overwrite, _extend, _lying_number)
"""Ways to damage bytes of any kind."""
