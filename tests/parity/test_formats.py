"""The same images as DICOM, PNG, NIfTI or DICOM with an RT structure set give the same arrays, hence the same model."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_files import image, placed, save, structures
from PIL import Image

from wardround.data.catalogue import Manifest
from wardround.data.prepare import Decoding
from wardround.data.readers import read_volume
from wardround.data.readers.rt_structures import read_regions, region_named
from wardround.study.run import train
from wardround.study.spec import parse

SITES = ("coast", "hill", "river", "town")
PER_SITE = 6
SIZE = (40, 36)
PLAN = {
    "name": "formats",
    "rounds": 2,
    "model": {"width": 8},
    "training": {"steps": 2, "batch_size": 4},
    "evaluation": {"bootstrap": 5},
    "data": {
        "source": "manifest",
        "size_px": 16,
        "channels": 1,
        "harmonise": {"orientation": "PLS", "outside_mask": "blank"},
        "intensity": {"by": "percentile"},
    },
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDROUND_CACHE", str(tmp_path / "cache"))


def scene(site: int, index: int) -> np.ndarray:
    """Return a 12-bit picture whose class shows as a bright patch."""
    rng = np.random.default_rng([site, index])
    picture = rng.integers(0, 900 + 300 * site, SIZE).astype(np.uint16)
    if index % 2:
        picture[8:20, 10:22] += 1500
    return picture


def outline(site: int, index: int) -> np.ndarray:
    """Return the region's corners as (row, column), off the pixel centres."""
    rng = np.random.default_rng([7, site, index])
    angles = np.sort(rng.uniform(0, 2 * np.pi, 14))
    return np.stack([20 + 17.3 * np.sin(angles), 18 + 15.1 * np.cos(angles)], axis=1)


def as_dicom(path: Path, picture: np.ndarray, site: int, index: int) -> tuple[str, Path]:
    dataset = image(picture, Modality="MR", **placed(float(index)))
    save(dataset, path.with_suffix(".dcm"))
    return str(dataset.SOPInstanceUID), path.with_suffix(".dcm")


def structure_set(path: Path, instance: str, site: int, index: int) -> Path:
    rows, columns = outline(site, index).T
    points = np.stack([columns * 0.5 - 10, rows * 0.5 - 20, np.full(len(rows), float(index))], axis=1)
    return save(structures({"lesion": [(instance, points)]}), path.with_suffix(".rtstruct"))


def as_png(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array).save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def as_nifti(path: Path, array: np.ndarray) -> Path:
    """Write in NIfTI's usual order: columns first, to the right and to the front."""
    stored = array[::-1, ::-1].T[..., None]
    nibabel.save(
        nibabel.Nifti1Image(np.ascontiguousarray(stored), np.diag([0.5, 0.5, 2, 1])), path.with_suffix(".nii.gz")
    )
    return path.with_suffix(".nii.gz")


def hospital(folder: Path, formats: tuple[str, str, str, str]) -> Path:
    """Write four sites' folders and their manifest; masks are rasterised from the structure set first."""
    rows = [("image", "label", "site", "patient", "mask", "region")]
    drawing = folder.parent / f"{folder.name}-drawn"
    for number, (site, kind) in enumerate(zip(SITES, formats, strict=True)):
        (folder / site).mkdir(parents=True)
        for index in range(PER_SITE):
            picture = scene(number, index)
            instance, dicom = as_dicom(drawing / site / f"{index}", picture, number, index)
            drawn = structure_set(drawing / site / f"{index}", instance, number, index)
            mask = region_named(read_regions(drawn, read_volume(dicom)), "lesion", drawn)[..., 0].astype(np.uint8)
            path, mask_path, region = folder / site / f"{index}", folder / site / f"{index}-mask", ""
            if kind == "dicom+rtstruct":
                file, mask_file, region = path.with_suffix(".dcm"), path.with_suffix(".rtstruct"), "lesion"
                file.write_bytes(dicom.read_bytes())
                mask_file.write_bytes(drawn.read_bytes())
            elif kind == "dicom":
                file, mask_file = path.with_suffix(".dcm"), as_png(mask_path, mask * 255)
                file.write_bytes(dicom.read_bytes())
            else:
                write = {"png": as_png, "nifti": as_nifti}[kind]
                file, mask_file = write(path, picture), write(mask_path, mask)
            names = [str(each.relative_to(folder)) for each in (file, mask_file)]
            rows.append((names[0], "ill" if index % 2 else "well", site, f"{site}-{index}", names[1], region))
    with (folder / "manifest.csv").open("w", newline="") as table:
        csv.writer(table).writerows(rows)
    return folder


def test_four_formats_give_the_bits_of_one(tmp_path: Path) -> None:
    plan = parse(PLAN)
    mixed = hospital(tmp_path / "mixed", ("dicom", "png", "nifti", "dicom+rtstruct"))
    plain = hospital(tmp_path / "plain", ("png", "png", "png", "png"))
    source = plan.data.source
    assert isinstance(source, Manifest)
    found, expected = (source.load(folder, Decoding()) for folder in (mixed, plain))
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    assert np.unique(found.pixels).size > 50
    assert (found.pixels[:, 0, 0] == 0).all()  # the masks were used: corners are blank
    models = [
        (train(plan, tmp_path / f"run-{folder.name}", folder, workers=0) / "model.safetensors").read_bytes()
        for folder in (mixed, plain)
    ]
    assert models[0] == models[1]


def test_another_pixel_gives_another_model(tmp_path: Path) -> None:
    """The control: the comparison above can fail."""
    plan = parse(PLAN)
    folder = hospital(tmp_path / "plain", ("png", "png", "png", "png"))
    before = (train(plan, tmp_path / "before", folder, workers=0) / "model.safetensors").read_bytes()
    for index in range(PER_SITE):
        as_png(folder / "hill" / f"{index}", scene(1, index) + np.uint16(700) * (np.arange(36) % 2).astype(np.uint16))
    after = (train(plan, tmp_path / "after", folder, workers=0) / "model.safetensors").read_bytes()
    assert before != after
