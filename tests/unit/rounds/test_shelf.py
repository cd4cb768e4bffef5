"""Frames on disk: the same place gives the same bytes, and only the present round's lie there."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from wardround.rounds.shelf import FrameShelf, Place

PLACE = Place("ab" * 32, 3, 0, 0, "cd" * 32)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_was_written_is_read_also_after_a_restart(tmp_path: Path) -> None:
    shelf = FrameShelf(tmp_path / "site")
    assert shelf.read(PLACE) is None
    assert not (tmp_path / "site").exists()
    shelf.write(PLACE, b"frame")
    assert shelf.read(PLACE) == b"frame"
    assert FrameShelf(tmp_path / "site").read(PLACE) == b"frame"


def test_every_place_has_a_frame_of_its_own(tmp_path: Path) -> None:
    shelf = FrameShelf(tmp_path)
    others = [
        replace(PLACE, attempt=1),
        replace(PLACE, part=1),
        replace(PLACE, update="ce" * 32),
        replace(PLACE, attempt=1000, part=100_000),
    ]
    for place in others:
        shelf.write(place, place.file_name.encode())
    assert shelf.read(PLACE) is None
    assert all(shelf.read(place) == place.file_name.encode() for place in others)
    every = [PLACE, *others, replace(PLACE, run="ac" * 32), replace(PLACE, round=4)]
    assert all(one.file_name != other.file_name for one, other in itertools.combinations(every, 2))


@pytest.mark.parametrize("later", [replace(PLACE, round=4), replace(PLACE, round=2), replace(PLACE, run="ac" * 32)])
def test_frames_of_other_rounds_and_runs_are_dropped(tmp_path: Path, later: Place) -> None:
    shelf = FrameShelf(tmp_path)
    for part in range(3):
        shelf.write(replace(PLACE, part=part), b"frame")
    (tmp_path / "memory-000003.safetensors").write_bytes(b"of somebody else")
    shelf.write(later, b"later")
    assert files(tmp_path) == {later.file_name, "memory-000003.safetensors"}


def test_a_crash_leaves_no_half_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = FrameShelf(tmp_path)

    def cut(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wardround.core.files.os.replace", cut)
    with pytest.raises(KeyboardInterrupt):
        shelf.write(PLACE, b"frame")
    assert shelf.read(PLACE) is None
    monkeypatch.undo()
    shelf.write(PLACE, b"frame")
    assert files(tmp_path) == {PLACE.file_name}
