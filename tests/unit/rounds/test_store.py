"""A site's memory: the accepted round decides, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wardround.errors import SiteError
from wardround.rounds.store import SiteStore


def memory(value: float) -> dict[str, np.ndarray]:
    return {"variate/net/w": np.full(3, value, np.float32), "optimiser/0/step": np.array(value, np.float32)}


def test_a_site_that_remembers_nothing_leaves_no_trace(tmp_path: Path) -> None:
    store = SiteStore(tmp_path / "site")
    assert store.read(-1) == {}
    store.forget(5)
    assert not (tmp_path / "site").exists()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    store = SiteStore(tmp_path / "site")
    store.write(3, memory(1.5))
    found = store.read(3)
    assert found.keys() == memory(0).keys()
    assert found["variate/net/w"].tolist() == [1.5] * 3
    assert found["optimiser/0/step"].shape == ()


def test_an_abandoned_attempt_is_replaced_and_an_accepted_round_kept(tmp_path: Path) -> None:
    store = SiteStore(tmp_path)
    store.write(0, memory(1))
    store.write(1, memory(2))  # never accepted: the coordinator died
    assert store.read(0)["optimiser/0/step"] == 1
    store.write(1, memory(3))
    store.forget(0)
    assert store.read(1)["optimiser/0/step"] == 3
    assert store.read(0)["optimiser/0/step"] == 1


def test_only_what_is_older_than_the_accepted_round_is_forgotten(tmp_path: Path) -> None:
    store = SiteStore(tmp_path)
    for index in (0, 4, 7, 8):
        store.write(index, memory(index))
    store.forget(7)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "memory-000007.safetensors",
        "memory-000008.safetensors",
    ]
    store.forget(-1)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_killed_write_leaves_the_old_memory(tmp_path: Path) -> None:
    store = SiteStore(tmp_path)
    store.write(0, memory(1))
    (tmp_path / "memory-000001.safetensors.partial").write_bytes(b"half")
    assert store.read(0)["optimiser/0/step"] == 1
    store.write(1, memory(2))
    assert store.read(1)["optimiser/0/step"] == 2
    assert not (tmp_path / "memory-000001.safetensors.partial").exists()


@pytest.mark.parametrize("content", [None, b"", b"garbage", b"\xff" * 100])
def test_a_memory_that_is_gone_or_damaged_is_this_site_s_failure(tmp_path: Path, content: bytes | None) -> None:
    store = SiteStore(tmp_path)
    store.write(2, memory(1))
    path = tmp_path / "memory-000002.safetensors"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SiteError, match=r"round 2 cannot be read from memory-000002\.safetensors"):
        store.read(2)


def test_a_memory_cut_short_is_damaged(tmp_path: Path) -> None:
    store = SiteStore(tmp_path)
    store.write(2, memory(1))
    path = tmp_path / "memory-000002.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SiteError, match="round 2"):
        store.read(2)
