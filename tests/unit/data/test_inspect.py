"""An inspection counts what a folder holds and warns of what would spoil training."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_files import image, placed, save, structures
from PIL import Image

from wardround.data.inspect import ALIKE_BITS, inspect
from wardround.data.look import perceptual_hash
from wardround.errors import DataError
from wardround.report.inspection import tables_of, warnings_of, write_inspection


def picture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 6)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC))


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    """Slices of two patients, a structure set, a NIfTI, two pictures that look alike and a file that is nothing."""
    folder = tmp_path / "ward"
    for index, patient in enumerate(("P1", "P1", "P2")):
        save(image(picture(index), PatientID=patient, **placed(float(index))), folder / f"{index}.dcm")
    save(structures({"a": []}), folder / "rt.dcm")
    nibabel.save(nibabel.Nifti1Image(picture(9)[..., None], np.diag([2.0, 2, 3, 1])), folder / "a.nii.gz")
    (folder / "sub").mkdir()
    Image.fromarray(picture(5)).save(folder / "sub" / "one.png")
    Image.fromarray(picture(5)).resize((96, 96)).save(folder / "sub" / "two.jpg")
    (folder / "notes.txt").write_text("nothing")
    rows = [("image", "label", "site", "patient", "part")]
    rows += [
        ("0.dcm", "ill", "north", "a", "train"),
        ("1.dcm", "well", "north", "b", "test"),
        ("2.dcm", "ill", "south", "c", "train"),
    ]
    with (folder / "manifest.csv").open("w", newline="") as table:
        csv.writer(table).writerows(rows)
    return folder


@pytest.mark.parametrize("workers", [0, 1])
def test_everything_is_counted(ward: Path, workers: int) -> None:
    found = inspect(ward, workers)
    assert (found.files, found.images, found.patients, found.table_patients) == (8, 6, 2, 3)
    assert found.kinds == Counter({"DICOM": 3, "RTSTRUCT": 1, "NIfTI": 1, "PNG": 1, "JPEG": 1, "other": 1})
    assert found.modalities == Counter({"CT": 3, "(unsaid)": 3})
    assert found.scanners["Windmill Giant 3"] == 3
    assert found.spacings == Counter({"0.5 x 0.5 x 2": 3, "(unsaid)": 2, "2 x 2 x 3": 1})
    assert found.labels == Counter({("north", "ill"): 1, ("north", "well"): 1, ("south", "ill"): 1})
    assert found.burned_in == Counter({"unsaid": 5, "no": 1})
    assert found.refused == Counter(
        {"the file is no DICOM, NIfTI, PNG, JPEG or TIFF image: convert it or remove it": 1}
    )
    assert found.removed["PatientName"] == 4
    assert found.repeated == 1
    assert found.in_two_parts == 1  # P1, by its header: the table calls it two patients
    assert len(found.thumbnails) == 6


def test_the_page_warns_and_shows_what_was_counted(ward: Path, tmp_path: Path) -> None:
    found = inspect(ward)
    warnings = " ".join(warnings_of(found))
    for words in (
        "1 files cannot be used",
        "5 images do not say",
        "1 images look like",
        "1 patients have images in two",
    ):
        assert words in warnings
    page = write_inspection(found, tmp_path / "page.html").read_text()
    assert page.count("data:image/png;base64,") == 6
    assert "Windmill Giant 3" in page
    assert "the thumbnails are images of patients" in page
    assert "data:image" not in write_inspection(found, tmp_path / "page.html", thumbnails=False).read_text()
    assert [title for title, _ in tables_of(found)][:3] == ["Files", "Labels by site", "Parts"]


def test_long_tables_end_with_what_is_left(ward: Path) -> None:
    found = inspect(ward)
    found.scanners = Counter({f"scanner {index}": 1 for index in range(20)})
    [rows] = [rows for title, rows in tables_of(found) if title == "Scanners"]
    assert (len(rows), rows[-1]) == (13, ("8 others", 8))


def test_a_clean_folder_has_no_warning(tmp_path: Path) -> None:
    save(image(picture(0), BurnedInAnnotation="NO", **placed(0.0)), tmp_path / "ward" / "0.dcm")
    assert warnings_of(inspect(tmp_path / "ward")) == []


def test_a_table_that_cannot_be_used_is_told(ward: Path) -> None:
    (ward / "manifest.csv").write_text("image,label\n")
    found = inspect(ward)
    assert "no column 'site'" in found.table_problem
    assert any("table, manifest.csv" in sentence for sentence in warnings_of(found))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder"):
        inspect(tmp_path / "nowhere")


def test_the_hash_outlives_scaling_and_brightening_and_tells_others_apart() -> None:
    one = picture(3) // 2
    bigger = np.asarray(Image.fromarray(one).resize((150, 120), Image.Resampling.BILINEAR))
    assert perceptual_hash(one) == perceptual_hash(one + 40)
    assert (perceptual_hash(one) ^ perceptual_hash(bigger)).bit_count() <= ALIKE_BITS
    assert (perceptual_hash(one) ^ perceptual_hash(picture(4))).bit_count() > 4 * ALIKE_BITS
    assert perceptual_hash(np.full((30, 30), 7, np.uint8)) == 0
