"""The wire format: what goes in comes out, and nothing malformed gets through."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mutations import block, framed, mutated

from wardround.core import codec
from wardround.core.codec import DTYPES, MAX_HEADER_DEPTH, Message, canonical_json, decode, encode
from wardround.errors import WireError

EMPTY = safetensors.numpy.save({})

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda name: name != "__metadata__")
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
arrays = st.sampled_from(sorted(DTYPES, key=str)).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)


def depth(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return 1 + max((depth(child) for child in children), default=0)


def same(left: Message, right: Message) -> bool:
    return (
        dict(left.fields) == dict(right.fields)
        and left.tensors.keys() == right.tensors.keys()
        and all(
            found.dtype == right.tensors[name].dtype
            and found.shape == right.tensors[name].shape
            and found.tobytes() == right.tensors[name].tobytes()
            for name, found in left.tensors.items()
        )
    )


@given(st.dictionaries(names, values, max_size=4), st.dictionaries(names, arrays, max_size=4))
@settings(max_examples=150, deadline=None)
def test_what_goes_in_comes_out(fields: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    message = Message(fields, tensors)
    if depth(fields) > MAX_HEADER_DEPTH:
        with pytest.raises(ValueError, match="depth"):
            encode(message)
        return
    frame = encode(message)
    assert same(decode(frame), message)
    assert encode(decode(frame))[9 : 9 + len(canonical_json(fields))] == canonical_json(fields)


def test_an_array_without_axes_stays_one() -> None:
    assert decode(encode(Message({}, {"scale": np.array(2.5, np.float32)}))).tensors["scale"].shape == ()


def test_a_transposed_array_keeps_its_values() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    np.testing.assert_array_equal(decode(encode(Message({}, {"t": array}))).tensors["t"], array)


def test_size_counts_fields_and_values_only() -> None:
    message = Message({"a": 1}, {"x": np.zeros(3, np.float32), "y": np.zeros((2, 2))})
    assert message.size_bytes == len('{"a":1}') + 12 + 32


@pytest.mark.parametrize("dtype", ["float16", "complex64", "uint64", ">f4", "U3", "object", "datetime64[s]"])
def test_a_dtype_that_the_format_does_not_carry_is_not_written(dtype: str) -> None:
    with pytest.raises(ValueError, match="'x' has dtype"):
        encode(Message({}, {"x": np.zeros(2, dtype)}))


@pytest.mark.parametrize("fields", [{"a": float("nan")}, {"a": float("inf")}, {"a": {1, 2}}, {"a": b"x"}])
def test_a_field_that_is_no_json_is_not_written(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="JSON"):
        encode(Message(fields))


def test_what_the_receiver_would_refuse_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="bytes"):
        encode(Message({"a": "x" * codec.MAX_HEADER_BYTES}))
    with pytest.raises(ValueError, match="__metadata__"):
        encode(Message({}, {"__metadata__": np.zeros(1)}))
    monkeypatch.setattr(codec, "MAX_TENSORS", 2)
    with pytest.raises(ValueError, match="more than 2"):
        encode(Message({}, {str(i): np.zeros(1) for i in range(3)}))


GOOD = encode(Message({"a": 1}, {"x": np.zeros(2, np.float32)}))
F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}

MALFORMED = {
    "empty": (b"", "shorter"),
    "shorter than the prefix": (GOOD[:8], "shorter"),
    "magic": (b"X" + GOOD[1:], "magic"),
    "version": (framed(b"{}", EMPTY, version=2), "version 2"),
    "header longer than the frame": (framed(b"{}", b"", length=3), "longer"),
    "header longer than the limit": (framed(b"{}", EMPTY, length=2**20 + 1), "longer"),
    "header is no UTF-8": (framed(b'{"a":"\xff"}', EMPTY), "JSON"),
    "header is no JSON": (framed(b"{a}", EMPTY), "JSON"),
    "header is a list": (framed(b"[]", EMPTY), "object"),
    "header is a number": (framed(b"1", EMPTY), "object"),
    "header with spaces": (framed(b'{"a": 1}', EMPTY), "canonical"),
    "header out of order": (framed(b'{"b":1,"a":1}', EMPTY), "canonical"),
    "a name occurs twice": (framed(b'{"a":1,"a":1}', EMPTY), "canonical"),
    "NaN": (framed(b'{"a":NaN}', EMPTY), "JSON"),
    "a number that overflows": (framed(b'{"a":1e999}', EMPTY), "JSON"),
    "half a character": (framed(b'{"a":"\\ud800"}', EMPTY), "JSON"),
    "more digits than Python reads": (framed(b'{"a":' + b"1" * 5000 + b"}", EMPTY), "JSON"),
    "deep": (framed(b'{"a":' + b"[" * 16 + b"]" * 16 + b"}", EMPTY), "nested"),
    "deeper than half the recursion limit": (framed(b'{"a":' + b"[" * 600 + b"]" * 600 + b"}", EMPTY), "nested|JSON"),
    "deeper than the recursion limit": (framed(b"[" * 10**5, EMPTY), "JSON"),
    "no tensor block": (framed(b"{}", b""), "safetensors"),
    "tensor block cut short": (GOOD[:-1], "safetensors"),
    "bytes behind the tensors": (GOOD + b"\0", "safetensors"),
    "tensor table longer than the block": (framed(b"{}", block({}, b"", length=2**63)), "safetensors"),
    "tensors overlap": (
        framed(b"{}", block({"a": F32, "b": {**F32, "data_offsets": [4, 12]}}, bytes(12))),
        "safetensors",
    ),
    "offsets beyond the data": (framed(b"{}", block({"a": {**F32, "data_offsets": [0, 2**62]}}, bytes(8))), "safet"),
    "offsets backwards": (framed(b"{}", block({"a": {**F32, "data_offsets": [8, 0]}}, bytes(8))), "safetensors"),
    "shape beyond the data": (framed(b"{}", block({"a": {**F32, "shape": [2**40]}}, bytes(8))), "safetensors"),
    "shape that overflows": (framed(b"{}", block({"a": {**F32, "shape": [2**32, 2**32]}}, bytes(8))), "safetensors"),
    "negative shape": (framed(b"{}", block({"a": {**F32, "shape": [-2]}}, bytes(8))), "safetensors"),
    "unknown dtype": (framed(b"{}", block({"a": {**F32, "dtype": "F7"}}, bytes(8))), "safetensors"),
    "dtype numpy has not": (framed(b"{}", block({"a": {**F32, "dtype": "BF16", "shape": [4]}}, bytes(8))), "safetens"),
    "dtype outside the format": (framed(b"{}", block({"a": {**F32, "dtype": "F16", "shape": [4]}}, bytes(8))), "carry"),
    "a pickle": (b"\x80\x04\x95\x0f\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94.", "magic"),
}


@pytest.mark.parametrize(("frame", "reason"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_bytes_are_a_wire_error(frame: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        decode(frame)


def test_the_good_frame_of_these_cases_is_good() -> None:
    assert decode(GOOD).fields == {"a": 1}
    assert decode(framed(b"{}", block({"a": F32}, bytes(8)))).tensors["a"].shape == (2,)
    nested = {"a": json.loads("[" * (MAX_HEADER_DEPTH - 2) + "]" * (MAX_HEADER_DEPTH - 2))}
    assert decode(encode(Message(nested))).fields == nested


def test_a_frame_beyond_the_limit_is_not_looked_at() -> None:
    with pytest.raises(WireError, match="exceeds the limit of 10"):
        decode(GOOD, max_bytes=10)
    assert decode(GOOD, max_bytes=len(GOOD)).fields == {"a": 1}


def test_more_tensors_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = encode(Message({}, {str(i): np.zeros(1) for i in range(3)}))
    monkeypatch.setattr(codec, "MAX_TENSORS", 2)
    with pytest.raises(WireError, match="carries 3 tensors"):
        decode(frame)


def test_the_prefix_is_what_the_docstring_says() -> None:
    magic, version, length = struct.unpack(">4sBI", GOOD[:9])
    assert (magic, version, length) == (b"WRND", 1, len(b'{"a":1}'))


def test_mutated_frames_give_a_message_or_a_wire_error() -> None:
    outcomes = {"message": 0, "refused": 0}
    for frame in mutated(3000, seed=1):
        try:
            message = decode(frame)
        except WireError:
            outcomes["refused"] += 1
        else:
            outcomes["message"] += 1
            assert same(decode(encode(message)), message)
    assert sum(outcomes.values()) == 3000
    assert outcomes["refused"] > 1500
    assert outcomes["message"] > 100


@pytest.mark.parametrize("value", [{"b": 1, "a": [1.5, None]}, "é", -0.0, 1e300, True])
def test_canonical_json_reads_back_and_is_stable(value: Any) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text
    assert b": " not in text
