"""HAM10000 loads alike from its zip and its folder, and a damaged archive is named."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wardround.data.catalogue import Ham10000, ham10000
from wardround.data.prepare import Prepared
from wardround.data.sites import Natural, Parts, partition
from wardround.errors import DataError, PlanError

HEADER = "image,mask,site,lesion_id,label"
ROWS = ["images/2.jpg,,b,L2,nv", "images/1.jpg,,a,L1,mel", "images/3.jpg,,a,L1,mel"]


def jpeg(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (200, 150), (value, value, value)).save(file, "JPEG")
    return file.getvalue()


def files() -> dict[str, bytes]:
    pictures = {f"images/{index}.jpg": jpeg(index * 50) for index in (1, 2, 3)}
    return {"metadata.csv": "\n".join([HEADER, *ROWS]).encode(), **pictures}


def zipped(folder: Path, content: dict[str, bytes]) -> Path:
    path = folder / "ham10000.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def unpacked(folder: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        path = folder / "ham10000" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder / "ham10000"


def test_zip_and_folder_load_alike_in_the_order_of_the_names(tmp_path: Path) -> None:
    zipped(tmp_path, files())
    first = Ham10000().load(tmp_path)
    second = Ham10000(path=str(unpacked(tmp_path, files()))).load(None)
    for images in (first, second):
        assert images.groups.tolist() == ["L1", "L2", "L1"]
        assert images.origins.tolist() == ["a", "b", "a"]
        assert [images.classes[label] for label in images.labels] == ["mel", "nv", "mel"]
        assert images.malignant == ("akiec", "bcc", "mel")
        assert images.batch(slice(None))[:, 0, 0, 0].tolist() == pytest.approx([50, 100, 150], abs=1)
    assert np.array_equal(first.pixels, second.pixels)
    assert first.public


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"metadata.csv": None}, "metadata.csv"),
        ({"metadata.csv": b"image,site\n"}, "column 'lesion_id'"),
        ({"metadata.csv": b"\xff"}, "cannot be read"),
        ({"metadata.csv": f"{HEADER}\nimages/1.jpg,,a,L1,wart".encode()}, "images/1.jpg"),
        ({"metadata.csv": f"{HEADER}\nimages/1.jpg,,,L1,nv".encode()}, "images/1.jpg"),
        ({"images/2.jpg": None}, "images/2.jpg"),
        ({"images/2.jpg": b"rubbish"}, "images/2.jpg is not a PNG"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, bytes | None], named: str) -> None:
    content = {name: data for name, data in {**files(), **change}.items() if data is not None}
    for path in (zipped(tmp_path, content), unpacked(tmp_path, content)):
        with pytest.raises(DataError, match=named):
            Ham10000(path=str(path)).load(None)


def test_an_absent_or_broken_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--data"):
        Ham10000().load(None)
    with pytest.raises(DataError, match=r"holds no ham10000.zip"):
        Ham10000().load(tmp_path)
    with pytest.raises(DataError, match="nowhere"):
        Ham10000(path="nowhere").load(tmp_path)
    (tmp_path / "ham10000.zip").write_bytes(b"PK rubbish")
    with pytest.raises(DataError, match="not a readable zip"):
        Ham10000().load(tmp_path)
    with pytest.raises(PlanError, match="size_px"):
        Ham10000(size_px=4)


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    path = zipped(tmp_path, files())
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("images/2.jpg").header_offset + 100
    path.write_bytes(data[:start] + bytes(255 - byte for byte in data[start : start + 4]) + data[start + 4 :])
    with pytest.raises(DataError, match=r"images/2\.jpg"):
        Ham10000().load(tmp_path)


def test_metadata_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    content = {**files(), "metadata.csv": f"{HEADER}\n../../secret.jpg,,a,L1,nv".encode()}
    with pytest.raises(DataError, match="outside the folder"):
        Ham10000(path=str(unpacked(tmp_path, content))).load(None)


def test_the_real_archive(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def blank(key: object, shape: tuple[int, ...], decoder: object, how: object) -> Prepared:
        return Prepared(np.zeros(shape, np.uint8), {}, {}, 0, Path())

    monkeypatch.setattr(ham10000, "prepared", blank)  # decoding all 10,015 takes longer than a unit test may
    images = Ham10000(size_px=8).load(shared_data)
    assert images.label_counts().tolist() == [327, 514, 1099, 115, 1113, 6705, 142]
    assert len(np.unique(images.groups)) == 7470
    dealt = partition(images, Natural(), Parts(), 0)
    assert list(dealt) == ["rosendahl", "vidir_modern", "vidir_molemax", "vienna_dias"]
    homes = [set(part.groups.tolist()) for data in dealt.values() for part in (data.train, data.val, data.test)]
    assert sum(map(len, homes)) == 7470
