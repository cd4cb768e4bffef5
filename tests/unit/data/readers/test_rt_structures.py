"""Structure sets: masks match an independent rasterisation, and what cannot be drawn is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import image, placed, save, structures
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from matplotlib.path import Path as Outline

from wardround.data.readers import read_volume
from wardround.data.readers.rt_structures import rasterise, read_regions, region_named
from wardround.data.volume import Volume
from wardround.errors import DataError


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * float((one & other).sum()) / float(one.sum() + other.sum())


def by_matplotlib(outlines: list[np.ndarray], rows: int, columns: int) -> np.ndarray:
    """Fill (row, column) outlines by asking matplotlib of each pixel centre, odd numbers of outlines inside."""
    centres = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1).reshape(-1, 2)
    inside = np.zeros(rows * columns, dtype=bool)
    for outline in outlines:
        inside ^= Outline(np.vstack([outline, outline[:1]]), closed=True).contains_points(centres)
    return inside.reshape(rows, columns)


@pytest.mark.parametrize("name", ["rtstruct_a.dcm", "rtstruct_b.dcm"])
def test_the_phantom_s_regions_match_an_independent_rasterisation(test_data: Path, name: str) -> None:
    folder = test_data / "dicom-rt" / "phantom"
    volume = read_volume(folder)
    regions = read_regions(folder / name, volume)
    assert [region.name for region in regions] == ["ROI-1", "ROI-2", "ROI-3", "ROI-4"]
    raw = pydicom.dcmread(folder / name)
    for region, drawn in zip(regions, raw.ROIContourSequence, strict=True):
        assert (region.drawn, region.absent, region.not_closed) == (2, 1, 0)  # the slice at 70 mm is not there
        assert region.mask is not None
        for contour in drawn.ContourSequence:
            points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
            if points[0, 2] not in (60, 65):
                continue
            # The series' first pixel lies at (-125, -125), and pixels are 0.488281 mm apart.
            pixels = (points[:, 1::-1] + 125) / 0.488281
            oracle = by_matplotlib([pixels], 512, 512)
            assert dice(region.mask[:, :, int(points[0, 2] - 60) // 5], oracle) >= 0.99


def test_the_phantom_in_another_frame_of_reference_is_refused_by_name(test_data: Path) -> None:
    folder = test_data / "dicom-rt" / "phantom"
    with pytest.raises(DataError, match=r"rtstruct_other_frame\.dcm: region 1 was drawn in another frame"):
        read_regions(folder / "rtstruct_other_frame.dcm", read_volume(folder))


def test_the_breast_set_yields_what_is_present_and_lists_what_is_not(test_data: Path) -> None:
    folder = test_data / "dicom-rt" / "breast"
    regions = {region.name: region for region in read_regions(folder / "rtstruct.dcm", read_volume(folder))}
    assert len(regions) == 10
    body = regions["BODY"]
    assert (body.drawn, body.absent) == (4, 137)
    assert body.mask is not None
    raw = pydicom.dcmread(folder / "rtstruct.dcm")
    on_slice = [
        np.array(contour.ContourData, dtype=float).reshape(-1, 3)
        for contour in raw.ROIContourSequence[0].ContourSequence
        if abs(float(contour.ContourData[2]) - 168.5593) < 0.01
    ]
    pixels = [(points[:, 1::-1] - [-524, -275]) / 1.074219 for points in on_slice]
    assert dice(body.mask[..., 0], by_matplotlib(pixels, 512, 512)) >= 0.99
    absent = {name: (region.mask, region.absent) for name, region in regions.items() if name != "BODY"}
    assert absent.pop("Areola") == (None, 0)  # named, and never drawn
    assert all(mask is None and count > 0 for mask, count in absent.values())
    with pytest.raises(DataError, match="'Heart' has no closed contour on a slice that is here"):
        region_named(list(regions.values()), "Heart", Path("x"))


def square(size: float, middle: float = 15.0) -> np.ndarray:
    return np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) * size / 2 + middle


@pytest.fixture
def slices(tmp_path: Path) -> tuple[Volume, list[str]]:
    instances = []
    for index, depth in enumerate((0.0, 2.0)):
        dataset = image(np.zeros((30, 30), np.uint8), **placed(depth), SeriesInstanceUID="1.9")
        instances.append(str(dataset.SOPInstanceUID))
        save(dataset, tmp_path / "series" / f"{index}.dcm")
    return read_volume(tmp_path / "series"), instances


def in_mm(pixels: np.ndarray, depth: float) -> np.ndarray:
    """Return (row, column) corners as points; see `placed`."""
    rows, columns = pixels.T
    return np.stack([columns * 0.5 - 10, rows * 0.5 - 20, np.full(len(rows), depth)], axis=1)


def test_holes_islands_and_keyholes(tmp_path: Path, slices: tuple[Volume, list[str]]) -> None:
    volume, (first, second) = slices
    outer, inner, island = square(20), square(8), square(4, 27)
    keyhole = np.vstack([outer, outer[:1], inner[::-1][[3, 0, 1, 2]], inner[::-1][[3]], outer[:1]])
    regions = read_regions(
        save(
            structures(
                {
                    "hole": [(first, in_mm(outer, 0)), (first, in_mm(inner, 0)), (first, in_mm(island, 0))],
                    "keyhole": [(second, in_mm(keyhole, 2))],
                }
            ),
            tmp_path / "rt.dcm",
        ),
        volume,
    )
    hole, keyed = (region.mask for region in regions)
    assert hole is not None
    assert keyed is not None
    assert int(hole[..., 0].sum()) == 20 * 20 - 8 * 8 + 4 * 4
    assert not hole[15, 15, 0]
    assert hole[27, 27, 0]
    assert not hole[..., 1].any()
    assert int(keyed[..., 1].sum()) == 20 * 20 - 8 * 8
    assert not keyed[15, 15, 1]


def test_points_and_lines_enclose_nothing_and_unreferenced_contours_find_their_slice(
    tmp_path: Path, slices: tuple[Volume, list[str]]
) -> None:
    volume, (first, _) = slices
    points = save(structures({"marker": [(first, in_mm(square(4), 0))]}, kind="POINT"), tmp_path / "p.dcm")
    [region] = read_regions(points, volume)
    assert (region.mask, region.not_closed) == (None, 1)
    free = save(structures({"free": [("", in_mm(square(4), 2.9)), ("", in_mm(square(4), 3.1))]}), tmp_path / "f.dcm")
    [region] = read_regions(free, volume)
    assert (region.drawn, region.absent) == (1, 1)
    assert region.mask is not None
    assert int(region.mask[..., 1].sum()) == 16


def test_contours_across_slices_and_other_objects_are_refused(tmp_path: Path, slices: tuple[Volume, list[str]]) -> None:
    volume, (first, _) = slices
    slanted = in_mm(square(4), 0)
    slanted[0, 2] = 2
    path = save(structures({"slanted": [(first, slanted)]}), tmp_path / "s.dcm")
    with pytest.raises(DataError, match="does not lie in one slice"):
        read_regions(path, volume)
    with pytest.raises(DataError, match="is no RT structure set but CT"):
        read_regions(tmp_path / "series" / "0.dcm", volume)
    with pytest.raises(DataError, match="has 0 regions called 'liver'"):
        region_named((), "liver", path)


@settings(max_examples=30)
@given(
    npst.arrays(
        float, st.tuples(st.integers(3, 9), st.just(2)), elements=st.integers(-40, 240).map(lambda n: n / 8 + 0.01)
    )
)
def test_any_outline_is_filled_as_matplotlib_fills_it(corners: np.ndarray) -> None:
    # Corners lie a hundredth off the pixel centres, so that no centre lies on an edge by construction of a corner.
    mine = rasterise([(0, corners)], (24, 28, 1))[..., 0]
    centres = np.stack(np.meshgrid(np.arange(24), np.arange(28), indexing="ij"), axis=-1).reshape(-1, 2)
    winding = _even_odd(corners, centres).reshape(24, 28)
    np.testing.assert_array_equal(mine, winding)


def _even_odd(corners: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Count, one edge and one pixel at a time, how often a ray to the left meets the outline."""
    inside = np.zeros(len(centres), dtype=bool)
    for index, (row, column) in enumerate(centres):
        for (r0, c0), (r1, c1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            if (r0 >= row) != (r1 >= row) and c0 + (row - r0) / (r1 - r0) * (c1 - c0) <= column:
                inside[index] ^= True
    return inside
