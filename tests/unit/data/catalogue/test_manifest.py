"""A manifest that is right loads; one that is wrong ends in one sentence that names the line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wardround.data.catalogue import SOURCES, Manifest
from wardround.data.sites import Natural, Parts, partition
from wardround.errors import DataError, PlanError

ROWS = [
    ("image", "label", "site", "patient"),
    ("a.png", "ill", "north", "p1"),
    ("b.png", "well", "north", "p2"),
    ("sub/c.jpg", "ill", "south", "p3"),
    ("d.tif", "well", "south", "p4"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    base = tmp_path / "hospital"
    (base / "sub").mkdir(parents=True)
    for index, row in enumerate(ROWS[1:]):
        Image.new("RGB", (20, 10), (index * 40, 0, 0)).save(base / row[0])
    return base


def write(folder: Path, rows: list[tuple[str, ...]]) -> None:
    (folder / "manifest.csv").write_text("".join(",".join(row) + "\n" for row in rows), encoding="utf-8")


def test_a_right_manifest_loads(folder: Path) -> None:
    write(folder, ROWS)
    images = Manifest(malignant=("ill",)).load(folder)
    assert images.classes == ("ill", "well")
    assert images.labels.tolist() == [0, 1, 0, 1]
    assert images.origins.tolist() == ["north", "north", "south", "south"]
    assert images.groups.tolist() == ["p1", "p2", "p3", "p4"]
    assert not images.public
    assert SOURCES["manifest"].public is False
    assert [int(image[..., 0].mean()) for image in images.batch(slice(None))] == pytest.approx([0, 40, 80, 120], abs=2)


def test_declared_classes_keep_their_order_and_the_path_is_relative_to_the_root(folder: Path) -> None:
    write(folder, ROWS)
    images = Manifest(path="hospital", size_px=16, channels=1, classes=("well", "ill")).load(folder.parent)
    assert images.labels.tolist() == [1, 0, 1, 0]
    assert images.pixels.shape == (4, 16, 16, 1)


def test_a_part_column_fixes_the_split(folder: Path) -> None:
    parts = ("part", "train", "train", "test", "train")
    write(folder, [(*row, part) for row, part in zip(ROWS, parts, strict=True)])
    dealt = partition(Manifest().load(folder), Natural(), Parts(), 0)
    assert dealt["south"].test.groups.tolist() == ["p3"]


def test_a_changed_image_is_decoded_again(folder: Path) -> None:
    write(folder, ROWS)
    before = Manifest().load(folder).batch([0])
    Image.new("RGB", (30, 10), (255, 255, 255)).save(folder / "a.png")
    assert not np.array_equal(Manifest().load(folder).batch([0]), before)


def changed(line: int, column: int, value: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        rows = [list(row) for row in ROWS]
        rows[line][column] = value
        write(folder, [tuple(row) for row in rows])

    return change


def replaced(name: str, data: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        write(folder, ROWS)
        (folder / name).write_bytes(data)

    return change


def linked_out(folder: Path) -> None:
    write(folder, ROWS)
    (folder / "a.png").rename(folder.parent / "out.png")
    (folder / "a.png").symlink_to(folder.parent / "out.png")


def linked_in_a_circle(folder: Path) -> None:
    write(folder, ROWS)
    (folder / "a.png").unlink()
    (folder / "a.png").symlink_to("a.png")


def not_finite(folder: Path) -> None:
    write(folder, ROWS)
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(folder / "d.tif")


def two_parts(folder: Path) -> None:
    rows = [(*row, part) for row, part in zip(ROWS, ("part", "train", "test", "train", "val"), strict=True)]
    rows[2] = ("b.png", "well", "north", "p1", "test")
    write(folder, rows)


WRONG: list[tuple[Callable[[Path], None], str]] = [
    (lambda folder: None, "'manifest.csv'|manifest.csv does not exist"),
    (lambda folder: write(folder, []), "no column 'image'"),
    (lambda folder: write(folder, ROWS[:1]), "lists no image"),
    (lambda folder: write(folder, [(*row, "x") for row in ROWS]), "unknown column 'x'"),
    (lambda folder: write(folder, [row[:3] for row in ROWS]), "no column 'patient'"),
    (lambda folder: write(folder, [(*row, row[3]) for row in ROWS]), "column twice"),
    (lambda folder: write(folder, [*ROWS, ("e.png", "ill")]), "line 6: 2 cells"),
    (lambda folder: write(folder, [*ROWS, ROWS[1]]), "line 6: .*listed before.*line 2"),
    (changed(2, 0, "missing.png"), "line 3: .*missing.png does not exist"),
    (changed(2, 0, "../b.png"), "line 3: '../b.png' is not a path inside"),
    (changed(2, 0, "/etc/passwd"), "line 3: '/etc/passwd' is not a path inside"),
    (changed(2, 0, "sub"), "line 3: .*sub holds no DICOM image"),
    (changed(2, 1, ""), "line 3: label is empty"),
    (changed(2, 3, " "), "line 3: patient is empty"),
    (replaced("b.png", b"nothing"), "line 3: .*b.png is no DICOM, NIfTI, PNG"),
    (replaced("sub/c.jpg", b""), "line 4: .*c.jpg is empty"),
    (replaced("manifest.csv", b"\xff\xfe\x00"), "cannot be read as a UTF-8"),
    (replaced("manifest.csv", b'image,"label\n'), "cannot be read as a UTF-8"),
    (linked_out, "line 2: .*outside the data folder"),
    (linked_in_a_circle, "line 2: "),
    (not_finite, "line 5: .*d.tif holds a pixel that is not finite"),
    (two_parts, "line 3: patient 'p1' is in part 'test' here and in 'train'"),
]


@pytest.mark.parametrize(("damage", "named"), WRONG)
def test_what_is_wrong_is_named(folder: Path, own_cache: Path, damage: Callable[[Path], None], named: str) -> None:
    damage(folder)
    with pytest.raises(DataError, match=named) as caught:
        Manifest().load(folder)
    assert "\n" not in str(caught.value)
    assert list(own_cache.iterdir()) == []  # nothing half-written


def test_classes_that_do_not_fit_the_table_are_named(folder: Path) -> None:
    write(folder, ROWS)
    for source, named in (
        (Manifest(classes=("ill",)), "line 3: label 'well'"),
        (Manifest(classes=("ill", "well", "dead")), "class 'dead' has no image"),
        (Manifest(malignant=("worse",)), "'worse'"),
        (Manifest(path="nowhere"), "nowhere does not exist"),
        (Manifest(table="../manifest.csv"), "inside the data folder"),
    ):
        with pytest.raises(DataError, match=named):
            source.load(folder)
    with pytest.raises(DataError, match="file"):
        Manifest(path=str(folder / "a.png")).load(None)
    with pytest.raises(PlanError, match="channels"):
        Manifest(channels=4)
