"""Manifests of volumes: frames, series in folders, masks and regions; what does not fit is refused with its line."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_files import image, placed, save, structures
from PIL import Image

from wardround.data.catalogue import Manifest
from wardround.data.catalogue import manifest as module
from wardround.data.harmonise import Harmonise
from wardround.data.intensity import Window
from wardround.data.prepare import Decoding
from wardround.errors import DataError

SIZE = 16
DEPTH = 3


def slice_of(index: int) -> np.ndarray:
    return np.full((SIZE, SIZE), 40 * (index + 1), dtype=np.int16)


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    """A folder with the same three slices as a NIfTI file and as a DICOM series, masks, and a structure set."""
    folder = tmp_path / "ward"
    (folder / "series").mkdir(parents=True)
    instances = []
    for index in range(DEPTH):
        ct = image(slice_of(index), SeriesInstanceUID="1.9", **placed(2.0 * index))
        instances.append(str(ct.SOPInstanceUID))
        save(ct, folder / "series" / f"{9 - index}.dcm")
    stack = np.stack([slice_of(index) for index in range(DEPTH)], axis=-1)
    nibabel.save(nibabel.Nifti1Image(stack, np.diag([0.5, 0.5, 2, 1])), folder / "volume.nii.gz")
    half = np.zeros((SIZE, SIZE, DEPTH), np.uint8)
    half[: SIZE // 2] = 1
    nibabel.save(nibabel.Nifti1Image(half, np.diag([0.5, 0.5, 2, 1])), folder / "half.nii.gz")
    Image.fromarray(np.full((4, 4), 255, np.uint8)).save(folder / "small.png")
    corners = np.array([[-9, -19, 2], [-9, -16, 2], [-5, -16, 2], [-5, -19, 2]], dtype=float)
    save(structures({"node": [(instances[1], corners)]}), folder / "rt.dcm")
    return folder


def load(ward: Path, rows: list[str], **changes: object) -> np.ndarray:
    """Return the pixels of the rows, all of one class and patient each."""
    lines = ["image,label,site,patient,frame,mask,region", *(f"{row}" for row in rows)]
    (ward / "manifest.csv").write_text("\n".join(lines) + "\n")
    source = Manifest(size_px=SIZE, channels=1, intensity=Window(0, 255), **changes)  # type: ignore[arg-type]
    return np.array(source.load(ward, Decoding()).pixels[..., 0])


def test_frames_of_a_file_and_of_a_series_are_images_of_their_own(ward: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    read = module.read_volume
    monkeypatch.setattr(module, "read_volume", lambda path: reads.append(path) or read(path))
    for name in ("volume.nii.gz", "series"):
        pixels = load(ward, [f"{name},a,s,p{index},{index},," for index in (2, 0, 1)])
        assert pixels[:, 0, 0].tolist() == [120, 40, 80]
        assert np.ptp(pixels, axis=(1, 2)).tolist() == [0, 0, 0]
    assert len(reads) == 2  # a volume is decoded once for its frames


def test_a_changed_volume_is_read_again(ward: Path) -> None:
    load(ward, ["volume.nii.gz,a,s,p,1,,"])
    other = np.full((SIZE, SIZE, DEPTH), 200, np.int16)
    nibabel.save(nibabel.Nifti1Image(other, np.diag([0.5, 0.5, 2, 1])), ward / "volume.nii.gz")
    assert load(ward, ["volume.nii.gz,a,s,p,1,,"])[0, 0, 0] == 200


def test_masks_of_nifti_and_of_structure_sets(ward: Path) -> None:
    blank = {"harmonise": Harmonise(outside_mask="blank")}
    pixels = load(ward, ["volume.nii.gz,a,s,p,1,half.nii.gz,"], **blank)
    assert (pixels[0, : SIZE // 2] == 80).all()
    assert not pixels[0, SIZE // 2 :].any()
    pixels = load(ward, ["series,a,s,p,1,rt.dcm,node"], **blank)
    # Rows 2 to 8 and columns 2 to 10, in half millimetres from the first pixel's centre.
    assert (pixels[0, 2:8, 2:10] == 80).all()
    assert np.count_nonzero(pixels) == 6 * 8


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("volume.nii.gz,a,s,p,,half.nii.gz,", "line 2: .*holds 3 slices: name one in the column frame"),
        ("volume.nii.gz,a,s,p,3,half.nii.gz,", "line 2: .*has no frame 3"),
        ("volume.nii.gz,a,s,p,-1,,", "line 2: frame is '-1'"),
        ("volume.nii.gz,a,s,p,1,,node", "line 2: a region is named but no mask"),
        ("volume.nii.gz,a,s,p,1,none.png,", r"line 2: .*none\.png does not exist"),
        ("volume.nii.gz,a,s,p,1,../half.nii.gz,", "line 2: .*is not a path inside"),
        ("volume.nii.gz,a,s,p,1,,", "line 2: .*has no mask"),
        ("volume.nii.gz,a,s,p,1,small.png,", "line 2: .*the mask is"),
        ("series,a,s,p,1,rt.dcm,", "line 2: .*no region is named"),
        ("series,a,s,p,1,rt.dcm,lung", "line 2: .*has 0 regions called 'lung'"),
        ("series,a,s,p,0,rt.dcm,node", "line 2: .*the mask is empty on this slice"),
        ("volume.nii.gz,a,s,p,1,rt.dcm,node", "line 2: .*needs a DICOM image"),
        ("small.png,a,s,p,,rt.dcm,node", "line 2: .*needs a DICOM image"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_line(ward: Path, row: str, named: str) -> None:
    with pytest.raises(DataError, match=named):
        load(ward, [row], harmonise=Harmonise(outside_mask="blank"))


def test_one_frame_twice_is_refused_and_two_frames_are_not(ward: Path) -> None:
    with pytest.raises(DataError, match=r"line 3: .*listed before"):
        load(ward, ["volume.nii.gz,a,s,p,1,,", "volume.nii.gz,a,s,q,1,,"])
    assert len(load(ward, ["volume.nii.gz,a,s,p,1,,", "volume.nii.gz,a,s,q,2,,"])) == 2


def test_dicom_is_decoded_in_another_process_unless_told_otherwise(ward: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (ward / "manifest.csv").write_text("image,label,site,patient,frame\nseries,a,s,p,1\n")
    seen: list[int] = []
    fill = module.prepared

    def noted(*given: object) -> object:
        seen.append(int(given[-1]()))  # type: ignore[operator]
        return fill(*given[:3], Decoding(), *given[4:])  # type: ignore[arg-type]

    monkeypatch.setattr(module, "prepared", noted)
    Manifest(size_px=SIZE, intensity=Window(0, 255)).load(ward)
    (ward / "manifest.csv").write_text("image,label,site,patient\nsmall.png,a,s,p\n")
    Manifest(size_px=SIZE).load(ward)
    assert seen == [1, 0]
