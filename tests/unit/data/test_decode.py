"""The decoder takes plain pictures and turns everything else into one sentence."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wardround.data import decode
from wardround.data.decode import check_size, decode_image, with_progress
from wardround.errors import DataError, PlanError


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def decoded(data: bytes, channels: int = 3, size_px: int = 8) -> np.ndarray:
    return decode_image(io.BytesIO(data), "a.png", size_px, channels)


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_scaling_keeps_the_mean(kind: str) -> None:
    pixels = decoded(saved(NOISE, kind))
    assert pixels.shape == (8, 8, 3)
    assert np.allclose(pixels.mean(axis=(0, 1)), np.asarray(NOISE).mean(axis=(0, 1)), atol=4)


def test_a_picture_of_the_right_size_is_unchanged() -> None:
    exact = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert np.array_equal(decoded(saved(Image.fromarray(exact), "PNG")), exact)


def test_grey_and_colour_convert_both_ways() -> None:
    grey = np.random.default_rng(1).integers(0, 256, (8, 8), dtype=np.uint8)
    assert np.array_equal(decoded(saved(Image.fromarray(grey), "PNG"))[..., 2], grey)
    assert np.array_equal(decoded(saved(Image.fromarray(grey), "PNG"), 1)[..., 0], grey)


def test_deep_pixels_keep_their_high_byte_and_floats_are_zero_to_one() -> None:
    deep = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    assert np.array_equal(decoded(saved(Image.fromarray(deep), "PNG"), 1)[..., 0], deep >> 8)
    real = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    assert np.array_equal(decoded(saved(Image.fromarray(real), "TIFF"), 1)[..., 0], np.rint(real * 255))


@pytest.mark.parametrize(
    ("values", "named"), [(np.nan, "not finite"), (np.inf, "not finite"), (2.0, "outside 0 to 1"), (-1.0, "outside")]
)
def test_float_pixels_out_of_range_are_refused(values: float, named: str) -> None:
    real = np.zeros((8, 8), np.float32)
    real[3, 4] = values
    with pytest.raises(DataError, match=f"a.png.*{named}"):
        decoded(saved(Image.fromarray(real), "TIFF"))


def test_other_files_are_refused_by_name() -> None:
    cases = [
        (b"", "not a PNG"),
        (b"hello", "not a PNG"),
        (saved(NOISE, "GIF"), "not a PNG"),
        (saved(NOISE, "PNG")[:-600], "damaged"),
        (saved(NOISE, "JPEG")[:400], "damaged"),
        (saved(NOISE, "TIFF", save_all=True, append_images=[NOISE]), "2 frames"),
    ]
    for data, named in cases:
        with pytest.raises(DataError, match=f"a.png.*{named}"):
            decoded(data)


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MAX_PIXELS", 32 * 48 - 1)
    with pytest.raises(DataError, match=r"48 x 32 pixels, more than 1535"):
        decoded(saved(NOISE, "PNG"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match="more than 1535"):
        decoded(saved(NOISE, "PNG"))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["PNG", "JPEG", "TIFF"]), st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=8)
)
def test_damaged_files_give_pixels_or_our_own_error(kind: str, damage: list[tuple[int, int]]) -> None:
    data = bytearray(saved(NOISE, kind))
    for place, value in damage:
        data[place % len(data)] = value
    try:
        shape = decoded(bytes(data)).shape
    except DataError:
        return
    assert shape == (8, 8, 3)


def test_sizes_no_network_can_use_are_refused() -> None:
    for size_px, channels in ((7, 3), (1025, 3), (32, 2)):
        with pytest.raises(PlanError):
            check_size(size_px, channels)
    check_size(32, 1)


def test_progress_passes_everything_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(with_progress("abc", 3, "reading")) == ["a", "b", "c"]
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert list(with_progress("abc", 3, "reading")) == ["a", "b", "c"]
