"""Malformed files are refused by name, whatever is wrong with them; the rest of the site goes on if the plan allows."""

from __future__ import annotations

import csv
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from damaged_files import damaged, damaged_files
from dicom_files import image, placed, save, structures
from PIL import Image

from wardround.data.catalogue import Manifest
from wardround.data.inspect import inspect, looks
from wardround.data.intensity import Percentile
from wardround.data.look import look_at
from wardround.data.prepare import Decoding
from wardround.data.readers import read_volume
from wardround.data.readers.rt_structures import read_regions
from wardround.data.volume import Volume
from wardround.errors import DataError

MAX_MEMORY_MB = 400
"""Largest resident memory of a process that reads damaged files; the imported libraries take 100 of it."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDROUND_CACHE", str(tmp_path / "cache"))


def check_damaged(folder: Path, count: int, seed: int, workers: int) -> None:
    paths = list(damaged_files(folder, count, seed))
    refused = 0
    for path, look in zip(paths, looks(paths, workers), strict=True):
        if look.refused:
            refused += 1
            assert look.refused.startswith(str(path)), look.refused
            assert "\n" not in look.refused
            assert ": " in look.refused
    assert count // 4 < refused < count  # the damage is damage, and readers do not refuse everything


def test_a_sample_of_damaged_files(tmp_path: Path) -> None:
    check_damaged(tmp_path, 90, 1, workers=1)


IN_A_CLEAN_PROCESS = """
import resource, sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
if __name__ == "__main__":
    from test_malformed_files import check_damaged
    check_damaged(Path(sys.argv[3]), 10_000, 2, workers=2)
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""A process's peak counts what its parent held when it was started; the tests' own process holds torch."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is in kilobytes on Linux alone")
def test_ten_thousand_damaged_files_within_bounded_memory(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(IN_A_CLEAN_PROCESS)
    (tmp_path / "files").mkdir()
    here = Path(__file__).parent
    words = [sys.executable, tmp_path / "script.py", here, here.parent, tmp_path / "files"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    peak_mb = int(done.stdout.split()[-1]) / 1024
    print(f"peak of a process that reads damaged files: {peak_mb:.0f} MB")
    assert peak_mb < MAX_MEMORY_MB


def bomb(path: Path) -> Path:
    """Write a PNG of a few kilobytes that unpacks to 40,000 x 40,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    size = (40000).to_bytes(4, "big")
    rows = zlib.compress(b"\0" * 10_000_000)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size * 2 + b"\x08\0\0\0\0") + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    return path


def test_bombs_empty_files_and_huge_headers_are_refused_by_name(tmp_path: Path) -> None:
    huge = image(np.zeros((4, 4), np.uint8), NumberOfFrames=100_000)
    huge.Rows = huge.Columns = 10_000
    wrong = image(np.zeros((4, 4), np.uint8))
    wrong.BitsAllocated = 12
    none = image(np.zeros((4, 4), np.uint8))
    none.Rows = 0
    for path, named in (
        (bomb(tmp_path / "bomb.png"), "more than 64000000"),
        (save(huge, tmp_path / "huge.dcm"), "claims 10000000000000 values"),
        (save(wrong, tmp_path / "bits.dcm"), "is damaged"),
        (save(none, tmp_path / "none.dcm"), "has no pixels"),
    ):
        found = look_at(path).refused
        assert found.startswith(str(path))
        assert named in found


def test_a_parser_s_error_does_not_quote_the_header(tmp_path: Path) -> None:
    content = save(image(np.zeros((4, 4), np.uint8)), tmp_path / "a.dcm").read_bytes()
    place = content.index(b"\x28\0\x10\0US")
    (tmp_path / "a.dcm").write_bytes(
        content[: place + 4] + b"DS" + content[place + 6 : place + 8] + b"Qx" + content[place + 10 :]
    )
    found = look_at(tmp_path / "a.dcm").refused
    assert "is damaged" in found
    assert "Qx" not in found


def site(folder: Path, damage: int) -> Path:
    """Write a folder of ten DICOM images of which some are cut short."""
    rows = [("image", "label", "site", "patient")]
    rng = np.random.default_rng(0)
    for index in range(10):
        picture = rng.integers(0, 255, (20, 20)).astype(np.uint8)
        path = save(image(picture, **placed(float(index))), folder / f"{index}.dcm")
        if index < damage:
            path.write_bytes(path.read_bytes()[:-100])
        rows.append((path.name, "ill" if index % 2 else "well", "ward", f"p{index}"))
    with (folder / "manifest.csv").open("w", newline="") as table:
        csv.writer(table).writerows(rows)
    return folder


def test_the_rest_of_the_site_goes_on_where_the_plan_allows(tmp_path: Path) -> None:
    folder = site(tmp_path / "ward", damage=2)
    told: list[dict[int, str]] = []
    how = Decoding(told=lambda found: told.append(dict(found.refused)))
    images = Manifest(size_px=16, channels=1, intensity=Percentile(), unreadable_share=0.2).load(folder, how)
    assert len(images) == 8
    assert images.groups.tolist() == [f"p{index}" for index in range(2, 10)]
    assert all(f"line {row + 2}: " in told[0][row] and f"{row}.dcm" in told[0][row] for row in (0, 1))
    assert images.batch(slice(None)).any(axis=(1, 2, 3)).all()  # no view holds the blank of a refused image
    with pytest.raises(DataError, match=r"line 2: .*0\.dcm is damaged"):
        Manifest(size_px=16, channels=1, intensity=Percentile()).load(folder, Decoding())
    with pytest.raises(DataError, match="allows 1 such images"):
        Manifest(size_px=16, channels=1, intensity=Percentile(), unreadable_share=0.1).load(folder, Decoding())


def test_links_out_of_the_folder_are_counted_and_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "ward"
    folder.mkdir()
    Image.new("L", (9, 9)).save(tmp_path / "secret.png")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "up").symlink_to(tmp_path)
    Image.new("L", (9, 9)).save(folder / "own.png")
    found = inspect(folder)
    assert (found.files, found.outside) == (1, 1)


def test_a_series_folder_does_not_follow_links_out_of_it(tmp_path: Path) -> None:
    outside = save(image(np.zeros((4, 4), np.uint8), **placed(0.0)), tmp_path / "out" / "0.dcm")
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "0.dcm").symlink_to(outside)
    with pytest.raises(DataError, match="holds no DICOM image"):
        Manifest().picture(tmp_path / "series")


def test_damaged_structure_sets_are_read_or_refused_by_name(tmp_path: Path) -> None:
    ct = read_volume(save(image(np.zeros((30, 30), np.uint8), **placed(0.0)), tmp_path / "ct.dcm"))
    points = np.array([[-9, -19, 0], [-9, -9, 0], [-1, -9, 0], [-1, -19, 0]], dtype=float)
    whole = save(structures({"a": [(ct.source.instances[0], points), ("", points)]}), tmp_path / "rt.dcm").read_bytes()
    rng = np.random.default_rng(3)
    refused = 0
    for index in range(300):
        path = tmp_path / f"{index}.dcm"
        path.write_bytes(damaged(rng, whole))
        said = refusal(path, ct)
        refused += bool(said)
        assert not said or said.startswith((str(path), "a contour "))
    assert 50 < refused < 300


def refusal(path: Path, ct: Volume) -> str:
    try:
        read_regions(path, ct)
    except DataError as error:
        return str(error)
    return ""
