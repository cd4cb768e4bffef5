"""NIfTI, pictures and doses."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_files import DOSE, image, placed, save
from PIL import Image

from wardround.data.readers import read_volume
from wardround.data.readers.nifti import left_behind as left_by_nifti
from wardround.data.readers.picture import left_behind as left_by_picture
from wardround.data.readers.rt_dose import dose_on, read_dose
from wardround.errors import DataError

PICTURE = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)
NIBABEL = Path(nibabel.__file__).parent / "tests" / "data"


@pytest.mark.parametrize(
    "name", ["anatomical.nii", "reoriented_anat_moved.nii", "resampled_anat_moved.nii", "standard.nii.gz"]
)
def test_nibabel_s_images_keep_orientation_spacing_and_values(tmp_path: Path, name: str) -> None:
    volume = read_volume(NIBABEL / name)
    opened = nibabel.load(NIBABEL / name)
    assert volume.orientation == "".join(nibabel.aff2axcodes(opened.affine))
    np.testing.assert_allclose(volume.spacing_mm, opened.header.get_zooms()[:3], rtol=1e-6)
    np.testing.assert_allclose(volume.array[..., 0], opened.get_fdata(), rtol=1e-6)
    again = tmp_path / name
    nibabel.save(nibabel.Nifti1Image(volume.array[..., 0], volume.affine), again)
    back = read_volume(again)
    assert (back.orientation, back.spacing_mm) == (volume.orientation, pytest.approx(volume.spacing_mm))
    np.testing.assert_array_equal(back.array, volume.array)


@pytest.mark.parametrize("name", ["functional.nii", "example4d.nii.gz", "example_nifti2.nii.gz", "row_major.dconn.nii"])
def test_images_with_more_axes_are_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"has \d axes"):
        read_volume(NIBABEL / name)


def test_nifti_2_rgb_units_and_missing_codes(tmp_path: Path) -> None:
    grey = PICTURE.astype(np.int16)[..., None]
    second = nibabel.Nifti2Image(grey, np.diag([0.5, 0.5, 2, 1]))
    nibabel.save(second, tmp_path / "two.nii")
    assert read_volume(tmp_path / "two.nii").spacing_mm == (0.5, 0.5, 2.0)
    rgb = np.zeros((4, 5, 1), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    rgb["G"] = 9
    coloured = nibabel.Nifti1Image(rgb, np.diag([500, 500, 2000, 1]))
    coloured.header.set_xyzt_units("micron")
    nibabel.save(coloured, tmp_path / "rgb.nii.gz")
    volume = read_volume(tmp_path / "rgb.nii.gz")
    assert volume.array.shape == (4, 5, 1, 3)
    assert volume.array[0, 0, 0].tolist() == [0, 9, 0]
    assert volume.spacing_mm == pytest.approx((0.5, 0.5, 2.0))
    coloured.set_sform(None, 0)
    coloured.set_qform(None, 0)
    nibabel.save(coloured, tmp_path / "nowhere.nii")
    assert read_volume(tmp_path / "nowhere.nii").affine is None


def test_a_nifti_that_claims_a_thousand_million_voxels_is_refused_before_decoding(tmp_path: Path) -> None:
    content = bytearray(nibabel.Nifti1Image(PICTURE.astype(np.int16)[..., None], np.eye(4)).to_bytes())
    content[42:48] = np.array([1000, 1000, 1000], "<i2").tobytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(DataError, match="claims 1000000000 values"):
        read_volume(tmp_path / "a.nii.gz")


def test_a_nifti_that_claims_endless_extensions_is_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    content = bytearray(nibabel.Nifti1Image(PICTURE.astype(np.int16)[..., None], np.eye(4)).to_bytes())
    content[108:112] = np.array([1e9], "<f4").tobytes()  # vox_offset
    content[348:360] = b"\1\0\0\0" + np.array([900_000_000, 6], "<i4").tobytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(DataError, match="bytes of header extensions"):
        read_volume(tmp_path / "a.nii.gz")


def test_texts_in_a_nifti_header_are_told_and_not_read(tmp_path: Path) -> None:
    named = nibabel.Nifti1Image(PICTURE.astype(np.int16)[..., None], np.eye(4))
    named.header["descrip"] = b"Quixote 1947"
    nibabel.save(named, tmp_path / "a.nii")
    assert left_by_nifti(tmp_path / "a.nii")["NIfTI descrip"] == 1
    assert "Quixote" not in repr(read_volume(tmp_path / "a.nii").source)


@pytest.mark.parametrize(
    ("kind", "array"), [("PNG", PICTURE.astype(np.uint8)), ("PNG", PICTURE), ("TIFF", PICTURE / 600)]
)
def test_pictures_keep_their_values(tmp_path: Path, kind: str, array: np.ndarray) -> None:
    stored = array.astype(np.float32) if array.dtype == np.float64 else array
    Image.fromarray(stored).save(tmp_path / "a", kind)
    volume = read_volume(tmp_path / "a")  # told by its first bytes, for it has no name
    np.testing.assert_array_equal(volume.array[:, :, 0, 0], stored)
    assert (volume.affine, volume.spacing_mm, volume.source.format) == (None, (0, 0, 0), kind)


def test_palettes_transparency_and_bilevel_become_rgb_or_grey(tmp_path: Path) -> None:
    grey = Image.fromarray(PICTURE.astype(np.uint8))
    for mode, channels in (("P", 3), ("RGBA", 3), ("CMYK", 3), ("LA", 1), ("1", 1)):
        path = tmp_path / f"{mode}.tif"
        grey.convert(mode).save(path, "TIFF" if mode == "CMYK" else "PNG")
        assert read_volume(path).array.shape == (20, 30, 1, channels)


def test_a_picture_is_turned_as_its_exif_says_and_nothing_else_of_it_is_read(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise
    exif[0x010E] = "Quixote 1947"
    Image.fromarray(PICTURE.astype(np.uint8)).save(tmp_path / "a.png", exif=exif)
    volume = read_volume(tmp_path / "a.png")
    np.testing.assert_array_equal(volume.array[:, :, 0, 0], np.rot90(PICTURE.astype(np.uint8), -1))
    assert left_by_picture(tmp_path / "a.png")["EXIF"] == 2


def test_a_dose_is_in_gray_and_lies_on_the_image_s_grid(tmp_path: Path) -> None:
    # A dose that grows by 2 Gy a row, .5 Gy a column and 4 Gy a slice, on a grid coarser than the image's.
    row, column, depth = np.meshgrid(np.arange(8), np.arange(6), np.arange(3), indexing="ij")
    dose = np.moveaxis(4 * row + column + 8 * depth, 2, 0).astype(np.uint16)
    place = placed(0.0, 2.0) | {"GridFrameOffsetVector": [0, 3, 6], "NumberOfFrames": 3}
    written = image(dose, DOSE, Modality="RTDOSE", DoseUnits="GY", DoseGridScaling=0.5, **place)
    path = save(written, tmp_path / "dose.dcm")
    own = read_dose(path)
    assert (own.spacing_mm, own.source.units) == ((2.0, 2.0, 3.0), "Gy")
    np.testing.assert_allclose(own.array[..., 0], 2 * row + 0.5 * column + 4 * depth)
    for index, z in enumerate((0.0, 2.0, 4.0, 20.0)):
        slice_ = image(np.zeros((10, 12), np.uint8), **placed(z, 1.0), SeriesInstanceUID=f"1.{9 if z < 20 else 8}")
        save(slice_, tmp_path / ("near" if z < 20 else "far") / f"{index}.dcm")
    on_image = dose_on(path, read_volume(tmp_path / "near"))
    rows, columns, slices = np.meshgrid(np.arange(10), np.arange(11), np.arange(3), indexing="ij")
    # 1 mm pixels: half a dose row or column each; 2 mm slices: two thirds of a dose slice each.
    np.testing.assert_allclose(on_image[:, :11], rows * 1.0 + columns * 0.25 + slices * 8 / 3, rtol=1e-5)
    assert not on_image[:, 11].any()  # beyond the dose's grid, as is the slice at 20 mm
    assert not dose_on(path, read_volume(tmp_path / "far")).any()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"DoseUnits": "RELATIVE"}, "gives its dose in RELATIVE"),
        ({"DoseGridScaling": 0}, "scales its dose by 0"),
        ({"Modality": "CT"}, "is no RT dose but CT"),
    ],
)
def test_doses_without_meaning_are_refused(tmp_path: Path, changed: dict[str, object], named: str) -> None:
    plain = {"Modality": "RTDOSE", "DoseUnits": "GY", "DoseGridScaling": 0.5, **placed(0.0)}
    with pytest.raises(DataError, match=named):
        read_dose(save(image(PICTURE, DOSE, **(plain | changed)), tmp_path / "dose.dcm"))


def test_a_dose_of_another_frame_of_reference_is_refused(tmp_path: Path) -> None:
    dose = image(PICTURE, DOSE, Modality="RTDOSE", DoseUnits="GY", DoseGridScaling=0.5, **placed(0.0, frame="1.2.3"))
    other = read_volume(save(image(PICTURE, **placed(0.0, frame="1.2.4")), tmp_path / "ct.dcm"))
    with pytest.raises(DataError, match="another frame of reference"):
        dose_on(save(dose, tmp_path / "dose.dcm"), other)


def test_pydicom_s_own_dose_is_read_in_gray_once_it_says_so(tmp_path: Path) -> None:
    import pydicom

    path = Path(pydicom.__file__).parent / "data" / "test_files" / "rtdose.dcm"
    with pytest.raises(DataError, match="RELATIVE"):
        read_dose(path)
    raw = pydicom.dcmread(path)
    raw.DoseUnits = "GY"
    raw.save_as(tmp_path / "dose.dcm")
    dose = read_dose(tmp_path / "dose.dcm")
    expected = np.moveaxis(raw.pixel_array, 0, 2) * float(raw.DoseGridScaling)
    if raw.GridFrameOffsetVector[-1] < 0:
        expected = expected[:, :, ::-1]
    np.testing.assert_allclose(dose.array[..., 0], expected, rtol=1e-6)


@pytest.mark.parametrize(("content", "named"), [(b"", "is empty"), (b"GIF89a...", "is no DICOM, NIfTI, PNG")])
def test_other_files_are_refused_by_name(tmp_path: Path, content: bytes, named: str) -> None:
    path = tmp_path / "odd.bin"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"odd.bin {named}"):
        read_volume(path)
