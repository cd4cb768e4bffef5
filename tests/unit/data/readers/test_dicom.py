"""DICOM images: values, geometry and order are those of the standard, whatever the transfer syntax."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_files import SECONDARY, image, placed, save
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from wardround.data.readers import read_volume
from wardround.errors import DataError

GREY = np.arange(12 * 10, dtype=np.uint8).reshape(12, 10)
WIDE = np.tile(GREY, (4, 6))
DEEP = (np.arange(12 * 10, dtype=np.int16) * 37 - 900).reshape(12, 10)


def test_a_grey_image_keeps_its_values_and_its_place(tmp_path: Path) -> None:
    volume = read_volume(save(image(GREY, **placed(7.0, 0.25)), tmp_path / "a.dcm"))
    assert volume.array.dtype == np.uint8
    np.testing.assert_array_equal(volume.array[:, :, 0, 0], GREY)
    assert volume.spacing_mm == (0.25, 0.25, 2.0)
    assert volume.orientation == "PLS"
    # Row 3, column 2 lies at (-10 + 2 * .25, -20 + 3 * .25, 7) in DICOM's axes, so at (9.5, 19.25, 7) in RAS.
    assert volume.affine is not None
    np.testing.assert_allclose(volume.affine @ [3, 2, 0, 1], [9.5, 19.25, 7, 1])
    assert (volume.source.modality, volume.source.scanner, volume.source.burned_in) == (
        "CT",
        "Windmill Giant 3",
        "unsaid",
    )


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("array", [WIDE, np.tile(DEEP, (4, 6)), np.stack([WIDE, 255 - WIDE, WIDE // 2], axis=-1)])
def test_lossless_transfer_syntaxes_give_the_same_bits(tmp_path: Path, syntax: str, array: np.ndarray) -> None:
    plain = read_volume(save(image(array), tmp_path / "plain.dcm"))
    packed = image(array)
    packed.compress(syntax, generate_instance_uid=False)
    found = read_volume(save(packed, tmp_path / "packed.dcm"))
    np.testing.assert_array_equal(found.array, plain.array)
    assert found.array.dtype == plain.array.dtype


def test_rescaling_gives_the_modality_s_units_and_a_dtype_that_the_header_alone_decides(tmp_path: Path) -> None:
    whole = read_volume(save(image(DEEP, RescaleSlope=2, RescaleIntercept=-1024), tmp_path / "a.dcm"))
    assert whole.array.dtype == np.int32
    np.testing.assert_array_equal(whole.array[..., 0, 0], DEEP.astype(int) * 2 - 1024)
    assert whole.source.units == "HU"
    broken = read_volume(save(image(DEEP, RescaleSlope=0.5, RescaleIntercept=0), tmp_path / "b.dcm"))
    assert broken.array.dtype == np.float32
    np.testing.assert_allclose(broken.array[..., 0, 0], DEEP * 0.5)


@pytest.mark.parametrize(("array", "brightest"), [(GREY, 255), (DEEP, -1)])
def test_monochrome1_is_turned_round(tmp_path: Path, array: np.ndarray, brightest: int) -> None:
    dataset = image(array, PhotometricInterpretation="MONOCHROME1", WindowCenter=50, WindowWidth=100)
    volume = read_volume(save(dataset, tmp_path / "a.dcm"))
    np.testing.assert_array_equal(volume.array[..., 0, 0], brightest - array.astype(int))
    assert volume.source.window is None


def test_ybr_and_palettes_become_rgb(tmp_path: Path) -> None:
    grey_ybr = np.stack([GREY, np.full_like(GREY, 128), np.full_like(GREY, 128)], axis=-1)
    found = read_volume(save(image(grey_ybr, SECONDARY, PhotometricInterpretation="YBR_FULL"), tmp_path / "a.dcm"))
    np.testing.assert_array_equal(found.array[:, :, 0], np.stack([GREY] * 3, axis=-1))
    table = np.arange(256, dtype=np.uint16) * 257
    colours = {
        f"{colour}PaletteColorLookupTable{part}": value
        for colour, values in (("Red", table), ("Green", table[::-1]), ("Blue", table // 2))
        for part, value in (("Descriptor", [256, 0, 16]), ("Data", values.astype("<u2").tobytes()))
    }
    dataset = image(GREY, SECONDARY, PhotometricInterpretation="PALETTE COLOR", **colours)
    found = read_volume(save(dataset, tmp_path / "b.dcm"))
    np.testing.assert_array_equal(found.array[:, :, 0, 0], GREY)
    np.testing.assert_array_equal(found.array[:, :, 0, 1], 255 - GREY)


def test_the_first_window_is_the_file_s_window(tmp_path: Path) -> None:
    dataset = image(DEEP, WindowCenter=[40, 300], WindowWidth=[400, 1500])
    assert read_volume(save(dataset, tmp_path / "a.dcm")).source.window == (40, 400)


def test_a_series_is_sorted_by_position_whatever_its_names_and_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index, depth in enumerate([4.0, 0.0, 6.0, 2.0]):
        dataset = image(GREY + index, **placed(depth), SeriesInstanceUID="1.9", InstanceNumber=index)
        save(dataset, tmp_path / f"{rng.integers(1e9)}")
    (tmp_path / "notes.txt").write_text("no image")
    volume = read_volume(tmp_path)
    assert volume.array.shape == (12, 10, 4, 1)
    assert volume.array[0, 0, :, 0].tolist() == [1, 3, 0, 2]
    assert volume.spacing_mm == (0.5, 0.5, 2.0)
    assert len(set(volume.source.instances)) == 4


def test_sagittal_slices_are_stacked_along_their_own_normal(tmp_path: Path) -> None:
    for depth in (3.0, 1.0, 2.0):
        place = placed(0.0) | {
            "ImagePositionPatient": [depth, 0, 0],
            "ImageOrientationPatient": [0, 1, 0, 0, 0, -1],
        }
        save(image(GREY + int(depth), **place, SeriesInstanceUID="1.9"), tmp_path / f"{depth}.dcm")
    volume = read_volume(tmp_path)
    # Rows run to the feet, columns to the back, and their cross product to the right: x falls along the stack.
    assert volume.orientation == "IPR"
    assert volume.array[0, 0, :, 0].tolist() == [3, 2, 1]


def series(folder: Path, *places: dict[str, object], **same: object) -> Path:
    for index, place in enumerate(places):
        save(image(GREY, **({"SeriesInstanceUID": "1.9"} | place | same)), folder / f"{index}.dcm")
    return folder


@pytest.mark.parametrize(
    ("places", "named"),
    [
        ((placed(0), placed(2), placed(6)), "lacks a slice"),
        ((placed(0), placed(2), placed(2)), "two slices at one place"),
        ((placed(0), placed(2) | {"SeriesInstanceUID": "1.8"}), "several series"),
        ((placed(0), placed(2, 0.7)), "unlike pixel spacing"),
        ((placed(0), placed(2) | {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}), "not parallel"),
        (({}, {}), "do not say where"),
    ],
)
def test_slices_that_do_not_make_a_volume_are_refused(
    tmp_path: Path, places: tuple[dict[str, object], ...], named: str
) -> None:
    with pytest.raises(DataError, match=named):
        read_volume(series(tmp_path, *places))


def test_an_enhanced_image_s_frames_are_sorted_and_rescaled_one_by_one(tmp_path: Path) -> None:
    depths = [4.0, 0.0, 2.0]
    dataset = image(np.stack([DEEP] * 3), NumberOfFrames=3, FrameOfReferenceUID="1.2.3.4")
    frames, shared = [], Dataset()
    for index, depth in enumerate(depths):
        item, position, rescaling = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, depth]
        rescaling.RescaleSlope, rescaling.RescaleIntercept = 1, 1000 * index + 1
        item.PlanePositionSequence = Sequence([position])
        item.PixelValueTransformationSequence = Sequence([rescaling])
        frames.append(item)
    orientation, measures = Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.5], 2
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([orientation]), Sequence([measures])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    volume = read_volume(save(dataset, tmp_path / "a.dcm"))
    assert volume.spacing_mm == (0.5, 0.5, 2.0)
    assert (volume.array[0, 0, :, 0] - int(DEEP[0, 0])).tolist() == [1001, 2001, 1]


def test_frames_without_a_place_keep_their_order(tmp_path: Path) -> None:
    cine = np.stack([GREY, GREY + 1, GREY + 2])
    volume = read_volume(save(image(cine, SECONDARY, NumberOfFrames=3), tmp_path / "a.dcm"))
    assert volume.affine is None
    assert volume.array[0, 0, :, 0].tolist() == [0, 1, 2]


def test_text_burnt_in_is_refused_where_the_header_says_so_and_told_where_it_does_not(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="burnt into its pixels"):
        read_volume(save(image(GREY, BurnedInAnnotation="YES"), tmp_path / "a.dcm"))
    said = read_volume(save(image(GREY, BurnedInAnnotation="NO"), tmp_path / "b.dcm"))
    assert said.source.burned_in == "no"


def test_a_header_that_claims_a_thousand_million_pixels_is_refused_before_decoding(tmp_path: Path) -> None:
    dataset = image(GREY)
    dataset.Rows = dataset.Columns = 32000
    with pytest.raises(DataError, match="claims 1024000000 values"):
        read_volume(save(dataset, tmp_path / "a.dcm"))


def test_a_codestream_larger_than_its_header_says_is_refused_before_decoding(tmp_path: Path) -> None:
    dataset = image(np.zeros((400, 300), np.uint8))
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    dataset.Rows = dataset.Columns = 4
    with pytest.raises(DataError, match="compressed frame of 400 x 300 x 1"):
        read_volume(save(dataset, tmp_path / "a.dcm"))


def test_a_file_that_inflates_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wardround.data.readers import dicom_header

    dataset = image(np.zeros((2000, 2000), np.uint8))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = save(dataset, tmp_path / "a.dcm")
    assert read_volume(path).array.shape == (2000, 2000, 1, 1)
    monkeypatch.setattr(dicom_header, "MAX_INFLATED_BYTES", 1_000_000)
    with pytest.raises(DataError, match="inflates to more than 1000000"):
        read_volume(path)


def test_every_file_that_pydicom_tests_with_is_read_or_refused_in_one_sentence() -> None:
    import pydicom

    base = Path(pydicom.__file__).parent / "data" / "test_files"
    read, refused = [], {}
    for path in sorted(path for path in base.rglob("*") if path.is_file()):
        try:
            read.append(read_volume(path))
        except DataError as error:
            refused[str(path.relative_to(base))] = str(error)
    assert (len(read), len(refused)) == (88, 88)  # of 176; 50 of the refused are headers without pixels
    assert all("\n" not in said and ": " in said for said in refused.values())
    assert "RTPLAN" in refused["rtplan.dcm"]
    assert all(np.isfinite(volume.array).all() for volume in read)
