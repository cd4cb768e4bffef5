"""Which image is which: the same pixels are the same image, and without the key no image is anything."""

from __future__ import annotations

import hashlib
import hmac
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from ledger_sites import DIGEST, tampered
from PIL import Image

from wardround.errors import LedgerError
from wardround.ledger.data_use import UseKey, pixels_digest

RUN, OTHER_RUN = DIGEST, hashlib.sha256(b"another run").hexdigest()
KEY = UseKey.new(RUN, "north")
PIXELS = np.random.default_rng(0).integers(0, 256, (28, 31, 3), dtype=np.uint8)

arrays = stn.arrays(
    st.sampled_from(["u1", "i2", "<u2", ">u2", "<f4", ">f4", "f8", "?"]), stn.array_shapes(max_dims=4, max_side=4)
)


def decoded(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def encoded(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def test_the_digest_is_the_one_that_is_documented() -> None:
    head = b'wardround/pixels/1\n{"dtype":"|u1","shape":[28,31,3]}\n'
    assert pixels_digest(PIXELS) == hashlib.sha256(head + PIXELS.tobytes()).digest()
    wide = np.array([[1, 256]], ">u2")
    head = b'wardround/pixels/1\n{"dtype":"<u2","shape":[1,2]}\n'
    assert pixels_digest(wide) == hashlib.sha256(head + b"\x01\x00\x00\x01").digest()


def test_the_same_pixels_from_other_files_are_the_same_image(tmp_path: Path) -> None:
    files = [
        encoded(PIXELS, "PNG", compress_level=0),
        encoded(PIXELS, "PNG", compress_level=9, pnginfo=None),
        encoded(PIXELS, "TIFF", compression="tiff_lzw"),
        encoded(PIXELS, "BMP"),
        encoded(PIXELS, "WEBP", lossless=True),
    ]
    assert len({hashlib.sha256(content).digest() for content in files}) == len(files)
    assert {pixels_digest(decoded(content)) for content in files} == {pixels_digest(PIXELS)}
    lossy = decoded(encoded(PIXELS, "JPEG", quality=95))
    assert pixels_digest(lossy) != pixels_digest(PIXELS)  # a limit: that is another image


@given(arrays)
def test_neither_memory_nor_byte_order_matters(array: np.ndarray) -> None:
    digest = pixels_digest(array)
    assert pixels_digest(np.asfortranarray(array)) == digest
    assert pixels_digest(array[::-1][::-1]) == digest
    assert pixels_digest(array.astype(array.dtype.newbyteorder("S"))) == digest
    assert pixels_digest(np.repeat(array, 2, axis=0)[::2]) == digest


@given(arrays, st.data())
def test_dtype_shape_and_every_bit_matter(array: np.ndarray, data: st.DataObject) -> None:
    digest = pixels_digest(array)
    assert pixels_digest(array[np.newaxis]) != digest
    assert pixels_digest(array.reshape(-1, 1, 1, 1, 1)) != digest
    if array.dtype.kind != "b":
        flat = np.array(array, array.dtype.newbyteorder("<"), order="C")
        octets = flat.view(np.uint8).reshape(-1)
        octets[data.draw(st.integers(0, len(octets) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        assert pixels_digest(flat) != digest
    if array.dtype.itemsize == 1 and array.dtype.kind == "u":
        assert pixels_digest(array.view(np.int8)) != digest


def test_what_has_no_one_way_to_be_written_is_refused() -> None:
    for array in (
        np.array(["a"]),
        np.array([object()]),
        np.array([1j]),
        np.array(["2020"], "M8[D]"),
        np.zeros(1, "V2"),
    ):
        with pytest.raises(ValueError, match="no one way"):
            pixels_digest(array)


def test_the_key_is_used_as_documented() -> None:
    digest = pixels_digest(PIXELS)
    position = KEY.position(digest)
    assert position == hmac.new(KEY.secret, digest, hashlib.sha256).digest()
    assert KEY.blind(position) == hmac.new(KEY.secret, b"blind" + position, hashlib.sha256).digest()
    hashed = b"wardround/data-use-key/1\n" + KEY.secret + bytes.fromhex(RUN) + b"north"
    assert KEY.commitment == hashlib.sha256(hashed).hexdigest()


def test_another_key_run_or_site_is_another_commitment() -> None:
    others = [
        UseKey.new(RUN, "north"),
        UseKey(OTHER_RUN, "north", KEY.secret),
        UseKey(RUN, "south", KEY.secret),
        UseKey(RUN, "north", bytes(32)),
    ]
    assert len({key.commitment for key in (KEY, *others)}) == 5
    KEY.require_commitment(KEY.commitment)
    for other in others:
        with pytest.raises(LedgerError, match="not the one that site"):
            other.require_commitment(KEY.commitment)


def test_the_secret_is_not_shown() -> None:
    assert KEY.secret.hex() not in repr(KEY)
    assert repr(KEY.secret) not in repr(KEY)
    assert UseKey.from_bytes(KEY.to_bytes()) == KEY


def fuzz(count: int) -> None:
    for data in tampered([KEY.to_bytes(), UseKey.new(OTHER_RUN, "süd").to_bytes()], count, seed=7):
        try:
            assert UseKey.from_bytes(data).to_bytes() == data
        except LedgerError:
            continue


def test_damaged_keys_give_our_error_and_nothing_else() -> None:
    fuzz(10_000)


@pytest.mark.slow
def test_a_hundred_thousand_damaged_keys() -> None:
    fuzz(100_000)
