"""Masks of the sources that have them: on the images' own grid, and refused where they are not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2hed
from skimage.filters import gaussian, threshold_otsu

from wardround.data.catalogue import Ham10000, Manifest, Slide
from wardround.data.catalogue.slide import NUCLEI_THRESHOLD, embedded_slide, patch_places
from wardround.data.harmonise import Harmonise
from wardround.data.images import LabelledImages
from wardround.data.intensity import Window
from wardround.data.readers import read_volume
from wardround.data.readers.rt_structures import read_regions, region_named
from wardround.errors import DataError, PlanError

SIZE_PX = 16


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDROUND_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def ham(tmp_path: Path) -> Path:
    """A folder like HAM10000's, of two images whose lesion is the bright left half."""
    root = tmp_path / "ham10000"
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    lines = ["image,mask,site,lesion_id,label"]
    grey = np.zeros((30, 40), np.uint8)
    grey[:, :20] = 255
    for name in ("a", "b"):
        Image.fromarray(np.stack([grey] * 3, axis=2)).save(root / "images" / f"{name}.png")
        Image.fromarray(grey).save(root / "masks" / f"{name}.png")
        lines.append(f"images/{name}.png,masks/{name}.png,rosendahl,lesion-{name},nv")
    (root / "metadata.csv").write_text("\n".join(lines))
    return tmp_path


def masks_of(images: LabelledImages) -> np.ndarray:
    return images.mask_batch(slice(None))


def test_ham10000s_masks_lie_on_its_images(ham: Path) -> None:
    images = Ham10000(size_px=SIZE_PX).load_masked(ham)
    np.testing.assert_array_equal(masks_of(images) == 1, images.batch(slice(None))[..., 0] > 127)
    assert images.masks is not None
    assert images.masks.regions == ("skin", "lesion")
    assert np.isnan(images.masks.spacing_of(images.rows)).all()
    assert Ham10000(size_px=SIZE_PX).load(ham).masks is None


def test_a_lesion_without_a_mask_is_refused(ham: Path) -> None:
    table = ham / "ham10000" / "metadata.csv"
    text = table.read_text()
    table.write_text(text.replace("masks/b.png", ""))
    with pytest.raises(DataError, match=r"names no mask for images/b\.png"):
        Ham10000(size_px=SIZE_PX).load_masked(ham)
    table.write_text(text)
    (ham / "ham10000" / "masks" / "b.png").unlink()
    with pytest.raises(DataError, match=r"b\.png cannot be read"):
        Ham10000(size_px=SIZE_PX).load_masked(ham)


def test_ham10000_itself(test_data: Path) -> None:
    from wardround.data.catalogue.ham10000 import _Outlines

    outlines = _Outlines(test_data / "ham10000.zip", ("masks/ISIC_0024306.png",), 64)
    mask, _ = outlines(0)
    assert mask.shape == (64, 64, 1)
    assert 0.05 < mask.mean() < 0.95
    assert mask[24:40, 24:40].all()
    assert not mask[[0, 0, -1, -1], [0, -1, 0, -1]].any()


def test_the_slides_masks_are_its_nuclei_by_otsus_threshold() -> None:
    blurred = np.zeros((512, 512))
    for top in (0, 256):
        for left in (0, 256):
            part = np.s_[top : top + 256, left : left + 256]
            blurred[part] = gaussian(rgb2hed(embedded_slide())[part][..., 0], 1)
    assert threshold_otsu(blurred) == pytest.approx(NUCLEI_THRESHOLD, abs=1e-4)
    images = Slide(stride_px=16).load_masked(None)
    places = patch_places(16, 16)
    for row in (0, 100, len(images) - 1):
        corner = np.s_[places.rows[row] : places.rows[row] + 16, places.columns[row] : places.columns[row] + 16]
        np.testing.assert_array_equal(masks_of(images)[row] == 1, blurred[corner] > NUCLEI_THRESHOLD)


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    """A folder of three NIfTI slices of 20 x 40 pixels at 2 x 0.5 mm, whose mask is their bright right half."""
    affine = np.diag([2.0, 0.5, 3.0, 1.0])
    lines = ["image,label,site,patient,mask"]
    for name in ("a", "b", "c"):
        picture = np.zeros((20, 40, 1), np.uint8)
        picture[:, 20:] = 255
        nibabel.save(nibabel.Nifti1Image(picture, affine), tmp_path / f"{name}.nii")
        nibabel.save(nibabel.Nifti1Image(picture // 255, affine), tmp_path / f"{name}-mask.nii")
        lines.append(f"{name}.nii,any,north,{name},{name}-mask.nii")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return tmp_path


def test_a_manifests_masks_lie_on_its_images_and_know_their_spacing(ward: Path) -> None:
    images = Manifest(size_px=SIZE_PX, channels=1).load_masked(ward)
    np.testing.assert_array_equal(masks_of(images) == 1, images.batch(slice(None))[..., 0] > 127)
    assert images.masks is not None
    np.testing.assert_allclose(images.masks.spacing_of(images.rows), [[2 * 20 / 16, 0.5 * 40 / 16]] * 3)
    again = Manifest(size_px=SIZE_PX, channels=1).load_masked(ward)
    np.testing.assert_array_equal(masks_of(images), masks_of(again))


def test_masks_follow_the_plans_geometry(ward: Path) -> None:
    turned = Manifest(size_px=SIZE_PX, channels=1, harmonise=Harmonise(orientation="ARS", spacing_mm=1.0))
    images = turned.load_masked(ward)
    np.testing.assert_array_equal(masks_of(images) == 1, images.batch(slice(None))[..., 0] > 127)
    assert images.masks is not None
    np.testing.assert_allclose(images.masks.spacing_of(images.rows[:1]), [[20 / 16, 40 / 16]], rtol=0.05)


def test_a_line_without_a_usable_mask_is_refused_or_left_out(ward: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 3, 1), np.uint8), np.eye(4)), ward / "b-mask.nii")
    with pytest.raises(DataError, match=r"line 3: .*the mask is \(3, 3, 1\), the image \(20, 40, 1\)"):
        Manifest(size_px=SIZE_PX).load_masked(ward)
    kept = Manifest(size_px=SIZE_PX, unreadable_share=0.4).load_masked(ward)
    assert kept.groups.tolist() == ["a", "c"]
    assert masks_of(kept).mean() == pytest.approx(0.5)
    table = ward / "manifest.csv"
    table.write_text(table.read_text().replace("b-mask.nii", ""))
    with pytest.raises(DataError, match=r"line 3: .*b\.nii has no mask"):
        Manifest(size_px=SIZE_PX).load_masked(ward)


def test_a_plan_that_shows_the_mask_to_the_network_is_refused(ward: Path) -> None:
    with pytest.raises(PlanError, match="shows a network the mask"):
        Manifest(harmonise=Harmonise(outside_mask="blank")).load_masked(ward)


def test_contours_of_an_rt_structure_set_are_masks_in_millimetres(test_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ward"
    shutil.copytree(test_data / "dicom-rt" / "phantom", folder)
    lines = [f"ct_{number}.dcm,any,north,phantom,rtstruct_a.dcm,ROI-2" for number in (1, 2)]
    (folder / "manifest.csv").write_text("\n".join(["image,label,site,patient,mask,region", *lines]))
    window = Window()
    images = Manifest(size_px=128, channels=1, intensity=window).load_masked(folder)
    volume = read_volume(folder / "ct_1.dcm")
    whole = region_named(read_regions(folder / "rtstruct_a.dcm", volume), "ROI-2", folder)[:, :, 0]
    coarse = whole.reshape(128, 4, 128, 4).mean(axis=(1, 3))
    mask = masks_of(images)[0]
    assert mask.any()
    clear = np.abs(coarse - 0.5) > 0.26  # away from the border, where filters differ
    np.testing.assert_array_equal(mask[clear] == 1, coarse[clear] > 0.5)
    assert images.masks is not None
    np.testing.assert_allclose(images.masks.spacing_of(images.rows), 4 * 0.488281)
