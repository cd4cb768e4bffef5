"""Harmonisation: each step does what the plan declares, and what it cannot do it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from wardround.data.harmonise import Harmonise, plane_of, square
from wardround.data.intensity import (
    INTENSITIES,
    AsStored,
    Landmarks,
    OwnWindow,
    Percentile,
    ShadesOfGray,
    Window,
    ZScore,
)
from wardround.data.volume import Volume, VolumeSource, spacing_of
from wardround.errors import DataError, PlanError

RAMP = np.arange(6 * 8 * 3, dtype=np.int16).reshape(6, 8, 3)
CT = VolumeSource("DICOM", modality="CT", units="HU", window=(40.0, 400.0))
PICTURE = VolumeSource("PNG")


def volume(array: np.ndarray, affine: np.ndarray | None = None, source: VolumeSource = CT) -> Volume:
    spacing = (0.0, 0.0, 0.0) if affine is None else spacing_of(affine)
    return Volume(array[..., None] if array.ndim == 3 else array, spacing, affine, source)


def lps(spacing: tuple[float, float, float] = (0.5, 0.5, 2.0)) -> np.ndarray:
    """Return the affine of an array whose axes run to the left, the back and the head."""
    return np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])


@given(st.permutations(["RL", "AP", "SI"]), st.tuples(*[st.integers(0, 1)] * 3))
def test_a_point_keeps_its_place_in_the_patient_whatever_the_orientation(
    axes: list[str], ends: tuple[int, int, int]
) -> None:
    wanted = "".join(pair[end] for pair, end in zip(axes, ends, strict=True))
    image = volume(RAMP, lps())
    turned = Harmonise(orientation=wanted).placed(image, "x")
    assert turned.orientation == wanted
    assert turned.affine is not None
    for value in (0, 17, 143):
        before, after = (np.argwhere(each.array[..., 0] == value)[0] for each in (image, turned))
        np.testing.assert_allclose(turned.affine @ [*after, 1], lps() @ [*before, 1])


def test_pictures_are_not_turned() -> None:
    picture = volume(RAMP.astype(np.uint8), None, PICTURE)
    assert Harmonise(orientation="RAS").placed(picture, "x") is picture


def test_spacing_scales_an_image_and_its_grid() -> None:
    column = np.broadcast_to(np.arange(40, dtype=np.float32) * 10, (20, 40)).copy()
    found = Harmonise(spacing_mm=1.0).placed(volume(column[..., None], lps()), "x")
    assert found.spacing_mm == pytest.approx((1.0, 1.0, 2.0))
    assert found.array.shape[:3] == (10, 20, 1)
    assert found.affine is not None
    # A linear ramp keeps its value at each place of the patient, away from the border.
    x_mm = (found.affine @ np.array([3, 7, 0, 1]))[1]
    assert found.array[3, 7, 0, 0] == pytest.approx(-x_mm / 0.5 * 10, abs=0.6)
    mask = volume((column[..., None] > 200).astype(np.uint8), lps())
    assert set(np.unique(Harmonise(spacing_mm=0.7).placed(mask, "x", interpolated=False).array)) == {0, 1}


def test_an_image_that_has_its_spacing_is_not_interpolated() -> None:
    image = volume(RAMP, lps())
    assert Harmonise(spacing_mm=0.5).placed(image, "x") is image


def test_an_image_without_a_spacing_is_refused_where_one_is_declared() -> None:
    with pytest.raises(DataError, match="does not say its spacing"):
        Harmonise(spacing_mm=1.0).placed(volume(RAMP, None, PICTURE), "x")
    with pytest.raises(DataError, match="more than 16384 pixels"):
        Harmonise(spacing_mm=1e-4).placed(volume(RAMP, lps()), "x")


@pytest.mark.parametrize(
    "fields",
    [
        {"orientation": "PL"},
        {"orientation": "PPS"},
        {"orientation": "XYZ"},
        {"spacing_mm": -1.0},
        {"outside_mask": "x"},
    ],
)
def test_declarations_without_meaning_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match=next(iter(fields))):
        Harmonise(**fields)


def framed(**changed: Any) -> np.ndarray:
    given: dict[str, Any] = {
        "image": volume(RAMP, lps()),
        "mask": None,
        "frame": 1,
        "steps": Harmonise(),
        "intensity": Window(0, 255),
        "size_px": 8,
        "channels": 1,
        "name": "x",
    }
    given |= changed
    plane = plane_of(*(given[key] for key in ("image", "mask", "frame", "steps", "name")))
    return square(plane, *(given[key] for key in ("intensity", "size_px", "channels", "name")))


def test_a_slice_is_chosen_after_the_orientation() -> None:
    as_stored = framed(frame=0, size_px=8)
    turned = framed(frame=2, steps=Harmonise(orientation="LPI"))
    np.testing.assert_array_equal(turned, as_stored)
    with pytest.raises(DataError, match="holds 3 slices: name one"):
        framed(frame=None)
    with pytest.raises(DataError, match="has no frame 3"):
        framed(frame=3)


def test_what_lies_outside_a_mask_is_blanked_or_cut_off() -> None:
    inside = np.zeros((6, 8, 3), np.uint8)
    inside[2:5, 3:7] = 255
    bright = volume(np.full((6, 8, 3), 200, np.int16), lps())
    mask = volume(inside, lps())
    blank = framed(image=bright, mask=mask, steps=Harmonise(outside_mask="blank"), size_px=24)
    assert blank[0, 0, 0] == 0
    assert blank[12, 15, 0] == 200
    ramp = framed(mask=mask, steps=Harmonise(outside_mask="crop"))
    assert (ramp.min(), ramp.max()) == (RAMP[2, 3, 1], RAMP[4, 6, 1])
    np.testing.assert_array_equal(framed(mask=mask), framed())
    with pytest.raises(DataError, match="mask is empty"):
        framed(mask=volume(inside * 0, lps()), steps=Harmonise(outside_mask="crop"))
    with pytest.raises(DataError, match="the mask is"):
        framed(mask=volume(inside[:3], lps()), steps=Harmonise(outside_mask="crop"))


def test_channels_follow_the_plan() -> None:
    assert framed(channels=3).shape == (8, 8, 3)
    colour = volume(np.stack([RAMP.astype(np.uint8)] * 3, axis=-1), lps(), PICTURE)
    assert framed(image=colour, intensity=AsStored()).shape == (8, 8, 1)


def plane(*values: float, dtype: type = np.float32) -> np.ndarray:
    return np.array(values, dtype=dtype)[None, :, None]


def test_as_stored_keeps_eight_bits_and_refuses_what_needs_a_window() -> None:
    grey = plane(0, 128, 255, dtype=np.uint8)
    assert AsStored().levels(grey, PICTURE, "x") is grey
    assert AsStored().levels(plane(0, 256, 65535, dtype=np.uint16), PICTURE, "x").ravel().tolist() == [0, 1, 255]
    assert AsStored().levels(plane(0, 0.5, 1), PICTURE, "x").ravel().tolist() == [0, 128, 255]
    for values, source in (
        (plane(-1, 5, dtype=np.int16), PICTURE),
        (plane(0, 2), PICTURE),
        (plane(0, 9, dtype=np.int32), CT),
    ):
        with pytest.raises(DataError, match=r"choose another \[data.intensity\]"):
            AsStored().levels(values, source, "x")


def test_windows() -> None:
    values = plane(-500, -160, 40, 240, 900)
    assert Window(-160, 240).levels(values, CT, "x").ravel().tolist() == [0, 0, 128, 255, 255]
    np.testing.assert_array_equal(OwnWindow().levels(values, CT, "x"), Window(-160, 240).levels(values, CT, "x"))
    with pytest.raises(DataError, match="recommends no window"):
        OwnWindow().levels(values, PICTURE, "x")
    with pytest.raises(DataError, match="not finite"):
        Window().levels(plane(0, np.nan), CT, "x")


@given(npst.arrays(np.int16, (6, 7, 1)), st.floats(0.25, 4), st.integers(-100, 100))
def test_percentiles_scores_and_landmarks_forget_scale_and_offset(values: np.ndarray, gain: float, offset: int) -> None:
    moved = values.astype(np.float64) * gain + offset
    for intensity in (Percentile(), ZScore(), Landmarks()):
        one, other = (intensity.levels(each, CT, "x").astype(int) for each in (values, moved))
        assert np.abs(one - other).max() <= 1


def test_windows_percentiles_and_scores_against_monai() -> None:
    from monai.transforms.intensity.array import (
        NormalizeIntensity,
        ScaleIntensityRange,
        ScaleIntensityRangePercentiles,
    )

    values = np.random.default_rng(0).normal(50, 20, (40, 50, 1))
    window = ScaleIntensityRange(10, 80, 0, 255, clip=True)(values)
    np.testing.assert_allclose(Window(10, 80).levels(values, CT, "x"), window, atol=0.51)
    spread = ScaleIntensityRangePercentiles(1, 99, 0, 255, clip=True)(values)
    np.testing.assert_allclose(Percentile().levels(values, CT, "x"), spread, atol=0.51)
    scores = np.asarray(NormalizeIntensity()(values))
    np.testing.assert_allclose(ZScore().levels(values, CT, "x"), np.clip((scores + 4) / 8, 0, 1) * 255, atol=0.51)


def test_landmarks_against_their_definition() -> None:
    values = np.random.default_rng(0).normal(50, 20, (40, 50, 1))
    points = Landmarks((0.0, 50.0, 100.0), (0.0, 0.25, 1.0))
    median = np.median(values)
    levels = points.levels(values, CT, "x")
    assert levels.max() == 255
    assert levels[np.abs(values - median) < 0.5].mean() == pytest.approx(0.25 * 255, abs=2)


def test_images_of_one_value_do_not_divide_by_zero() -> None:
    flat = np.full((4, 4, 1), 7, np.int16)
    assert not Percentile().levels(flat, CT, "x").any()
    assert (ZScore().levels(flat, CT, "x") == 128).all()
    assert not Landmarks().levels(flat, CT, "x").any()
    assert not ShadesOfGray().levels(np.zeros((4, 4, 3), np.uint8), PICTURE, "x").any()


def test_colour_constancy_takes_the_colour_of_the_light_away() -> None:
    scene = np.random.default_rng(1).integers(20, 200, (30, 30, 1)).astype(np.float64)
    lamp = np.array([1.0, 0.8, 0.5])
    lit = np.rint(scene * lamp).astype(np.uint8)
    found = ShadesOfGray().levels(lit, PICTURE, "x").astype(int)
    assert np.ptp(lit.reshape(-1, 3).mean(axis=0)) > 40
    assert np.ptp(found.reshape(-1, 3).mean(axis=0)) < 2
    with pytest.raises(DataError, match="no 8-bit RGB"):
        ShadesOfGray().levels(lit[..., :1], PICTURE, "x")


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("window", {"low": 3.0, "high": 3.0}),
        ("percentile", {"lower": 99.0, "upper": 1.0}),
        ("landmarks", {"percentiles": (1.0,), "standard": (0.0,)}),
        ("landmarks", {"percentiles": (1.0, 50.0), "standard": (0.5, 0.2)}),
        ("landmarks", {"percentiles": (1.0, 50.0, 99.0), "standard": (0.0, 1.0)}),
        ("shades_of_gray", {"power": 0.5}),
    ],
)
def test_settings_without_meaning_are_refused(name: str, fields: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match=r"data\.intensity"):
        INTENSITIES[name](**fields)
