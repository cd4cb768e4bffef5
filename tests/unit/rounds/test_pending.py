"""An update between training and its last frame: trained once, read as it was, and gone with its round."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from wardround.errors import SiteError
from wardround.rounds.pending import Pending, PendingUpdates

SAID = {"num_examples": 12, "loss": 0.5, "remembers": False}
VALUES = np.array([3, -70_000, 0, 2**31 - 1, -(2**31) + 1])


def kept(folder: Path, round_index: int = 4, values: np.ndarray = VALUES, cause: str = "cause") -> PendingUpdates:
    pending = PendingUpdates(folder)
    pending.keep(round_index, cause, Pending("state", "logged", SAID, values))
    return pending


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize(
    "values", [VALUES, np.array([0.25, -1e-300]), np.zeros(0, np.int64)], ids=["int", "real", "no"]
)
def test_what_was_kept_is_read(tmp_path: Path, values: np.ndarray, restarted: bool) -> None:
    pending = kept(tmp_path, values=values)
    if restarted:
        pending = PendingUpdates(tmp_path)
    assert pending.facts(4, "cause") == SAID
    update = pending.read(4)
    assert update.values.tolist() == values.tolist()
    assert (update.start, update.broadcast, update.examples) == ("state", "logged", 12)
    narrow = values.astype(np.int32) if values.dtype == np.int64 else values
    assert update.digest == hashlib.sha256(narrow.tobytes()).hexdigest()


def test_it_is_trained_again_only_from_something_else(tmp_path: Path) -> None:
    pending = kept(tmp_path)
    assert pending.facts(4, "cause") == SAID
    assert pending.facts(4, "another") is None
    assert pending.facts(3, "cause") is None
    assert PendingUpdates(tmp_path / "elsewhere").facts(4, "cause") is None


def test_another_update_of_the_round_takes_its_place(tmp_path: Path) -> None:
    pending = kept(tmp_path)
    before = pending.read(4).digest
    pending.keep(4, "another", Pending("state", "logged", SAID, VALUES[::-1].copy()))
    for one in (pending, PendingUpdates(tmp_path)):
        assert one.read(4).values.tolist() == VALUES[::-1].tolist()
        assert one.read(4).digest != before
        assert one.facts(4, "cause") is None


def test_only_the_present_round_s_lies_on_the_disk(tmp_path: Path) -> None:
    for round_index in range(3):
        kept(tmp_path, round_index)
    assert [path.name for path in tmp_path.iterdir()] == ["update-000002.safetensors"]


@pytest.mark.parametrize("round_index", [0, 3, 5])
def test_a_round_without_training_is_named(tmp_path: Path, round_index: int) -> None:
    with pytest.raises(SiteError, match=f"this site holds no update of round {round_index}"):
        kept(tmp_path).read(round_index)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no tensors",
        safetensors.numpy.save({"values": VALUES}),
        safetensors.numpy.save({"values": VALUES, "facts": np.frombuffer(b"[3", np.uint8)}),
        safetensors.numpy.save({"values": VALUES, "facts": np.frombuffer(b"[3]", np.uint8)}),
        safetensors.numpy.save({"values": VALUES, "facts": np.frombuffer(b'{"cause":"cause"}', np.uint8)}),
    ],
)
def test_a_damaged_file_is_as_none(tmp_path: Path, content: bytes) -> None:
    """It is trained again, or the site says that it has none."""
    kept(tmp_path)
    (tmp_path / "update-000004.safetensors").write_bytes(content)
    pending: Any = PendingUpdates(tmp_path)
    assert pending.facts(4, "another") is None
    with pytest.raises(SiteError, match="holds no update of round 4"):
        pending.read(4)
