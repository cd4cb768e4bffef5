"""A run folder survives a crash at any point, and says so when it is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny

from wardround.core.files import write_atomically
from wardround.errors import RunFolderError
from wardround.rounds.record import RoundRecord
from wardround.study.folder import RunFolder

PLAN = tiny.plan()
STATE = {"net/w": np.arange(3, dtype=np.float32), "net/s": np.array(2.0, np.float32)}


def record(index: int) -> RoundRecord:
    said = {"num_examples": 4, "loss": 0.1 + index, "seconds": 0.5, "remembers": True, "bytes": 9}
    return RoundRecord(index, ("a", "b"), {"a": said}, {"b": "söhr"}, ("x",), {"pooled": {"auc": None}}, 1, 2, {}, "d")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", PLAN, resume=False)


def test_a_new_folder_holds_its_plan(folder: RunFolder) -> None:
    assert [path.name for path in folder.path.iterdir()] == ["plan.toml"]
    assert folder.plan() == PLAN
    assert folder.last() is None
    assert folder.records() == []
    assert folder.is_done() is False


def test_an_existing_folder_is_not_touched_without_resume(folder: RunFolder) -> None:
    with pytest.raises(RunFolderError, match="add --resume"):
        RunFolder.create(folder.path, PLAN, resume=False)
    assert RunFolder.create(folder.path, PLAN, resume=True).plan() == PLAN


def test_another_plan_cannot_go_on_with_it(folder: RunFolder) -> None:
    with pytest.raises(RunFolderError, match="made by another plan"):
        RunFolder.create(folder.path, tiny.plan(seed=5), resume=True)


def test_a_folder_that_is_no_run_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(RunFolderError, match="no run folder"):
        RunFolder.create(tmp_path, PLAN, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]
    file = tmp_path / "letters.txt"
    with pytest.raises(RunFolderError):
        RunFolder.create(file, PLAN, resume=True)
    with pytest.raises(RunFolderError, match="cannot be made"):
        RunFolder.create(file / "run", PLAN, resume=False)


@pytest.mark.parametrize("left", [(), ("plan.toml.partial",)])
def test_a_run_killed_before_its_plan_was_written_starts_anew(tmp_path: Path, left: tuple[str, ...]) -> None:
    path = tmp_path / "run"
    path.mkdir()
    for name in left:
        (path / name).write_text("half")
    assert RunFolder.create(path, PLAN, resume=True).plan() == PLAN


def test_completed_rounds_and_the_state_come_back(folder: RunFolder) -> None:
    for index in range(3):
        folder.commit(record(index), {name: value + index for name, value in STATE.items()})
    records, state = folder.last() or ([], {})
    assert records == [record(index) for index in range(3)]
    assert {name: (value.tolist(), value.shape) for name, value in state.items()} == {
        "net/w": ([2, 3, 4], (3,)),
        "net/s": (4.0, ()),
    }
    assert folder.records() == records


def test_a_crash_between_checkpoint_and_line_loses_nothing(folder: RunFolder) -> None:
    folder.commit(record(0), STATE)
    folder.commit(record(1), STATE)
    lines = folder.path / "rounds.jsonl"
    whole = lines.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in (first, first + 7, len(whole) - 1):
        lines.write_bytes(whole[:cut])
        assert (folder.last() or ([],))[0] == [record(0), record(1)]
        assert lines.read_bytes() == whole
    folder.commit(record(2), STATE)
    assert folder.records() == [record(0), record(1), record(2)]


def test_a_line_without_its_checkpoint_does_not_count(folder: RunFolder) -> None:
    folder.commit(record(0), STATE)
    with (folder.path / "rounds.jsonl").open("a") as lines:
        lines.write(json.dumps(record(1).to_json()) + "\n")
    assert (folder.last() or ([],))[0] == [record(0)]


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 64])
def test_a_damaged_checkpoint_is_named(folder: RunFolder, content: bytes) -> None:
    folder.commit(record(0), STATE)
    (folder.path / "checkpoint-000000.safetensors").write_bytes(content)
    with pytest.raises(RunFolderError, match=r"checkpoint-000000.safetensors is damaged"):
        folder.last()


def test_a_checkpoint_without_its_record_is_damaged(folder: RunFolder) -> None:
    import safetensors.numpy

    for metadata in (None, {"record": "{}"}, {"record": "["}):
        content = safetensors.numpy.save({"x": np.zeros(1)}, metadata)
        (folder.path / "checkpoint-000000.safetensors").write_bytes(content)
        with pytest.raises(RunFolderError, match="damaged"):
            folder.last()


def test_missing_and_damaged_lines_are_named(folder: RunFolder) -> None:
    for index in range(3):
        folder.commit(record(index), STATE)
    lines = folder.path / "rounds.jsonl"
    whole = lines.read_text().splitlines(keepends=True)
    lines.write_text(whole[0] + whole[2])
    with pytest.raises(RunFolderError, match="lacks rounds before round 2"):
        folder.last()
    lines.write_text(whole[0] + "{}\n" + whole[2])
    with pytest.raises(RunFolderError, match=r"rounds\.jsonl is damaged"):
        folder.last()


def test_summaries(folder: RunFolder) -> None:
    with pytest.raises(RunFolderError, match="finish the run with --resume"):
        folder.summary()
    folder.write_summary({"status": "failed"})
    assert folder.is_done() is False
    folder.write_summary({"status": "done", "name": "söhr"})
    assert folder.is_done() is True
    assert folder.summary()["name"] == "söhr"
    for damaged in ("[", "[]"):
        (folder.path / "summary.json").write_text(damaged)
        with pytest.raises(RunFolderError, match="damaged"):
            folder.summary()


def test_memories_lie_beside_the_folder_and_not_in_it(folder: RunFolder) -> None:
    assert folder.store_root == folder.path.parent / "run.sites"


def test_writing_leaves_the_old_file_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("wardround.core.files.os.replace", die)
        with pytest.raises(KeyboardInterrupt):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
