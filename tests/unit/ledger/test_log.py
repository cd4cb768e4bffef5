"""The log on disk: what it acknowledged is there, what it did not is there whole or not at all, damage is named."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import struct
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import merkle_oracle as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.errors import LedgerError
from wardround.ledger import batch as batches
from wardround.ledger import log as logs
from wardround.ledger.log import Log
from wardround.ledger.merkle import leaf_hash, verify_consistency, verify_inclusion

BATCHES = ((b"plan", b""), (b"round 0", b"x" * 70, b"round 1"), (b"end",), (b"\x00" * 9, b"last"))
ENTRIES = tuple(entry for batch in BATCHES for entry in batch)
BOUNDS = (0, 2, 5, 6, 8)
"""Sizes of the log between its batches."""
SLOT = struct.pack(">I", 3) + hashlib.sha256(b"\0abc").digest()[:8]


def written(folder: Path, some: Sequence[Sequence[bytes]] = BATCHES) -> Path:
    """Write a log and close it."""
    with Log(folder) as log:
        for batch in some:
            log.append(batch)
    return folder


def contents(folder: Path, read_only: bool = True) -> tuple[bytes, ...]:
    """Open a log, check its root and return its entries."""
    with Log(folder, read_only=read_only) as log:
        found = tuple(log.entries())
        assert log.size == len(found)
        assert log.root() == oracle.root(found)
    return found


def refusal(folder: Path, read_only: bool = True) -> str:
    """Return the sentence with which a log is refused; nothing in its folder changes by it."""
    before = snapshot(folder)
    with pytest.raises(LedgerError) as raised:
        Log(folder, read_only=read_only)
    assert snapshot(folder) == before
    return str(raised.value)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def record(folder: Path) -> Path:
    return folder / "entries.log"


def counter(folder: Path) -> Path:
    return folder / "acknowledged"


def counted(number: int) -> bytes:
    """The file beside the log, as documented."""
    content = b"WRLA\x01" + struct.pack(">Q", number)
    return content + hashlib.sha256(content).digest()[:8]


def headed(first: int, count: int, size_bytes: int) -> bytes:
    """The head of a batch, as documented."""
    numbers = struct.pack(">IQ", count, size_bytes)
    bound = b"wardround/1/ledger batch\0" + struct.pack(">Q", first) + numbers
    return numbers + hashlib.sha256(bound).digest()[:8]


def as_documented(some: Sequence[Sequence[bytes]]) -> bytes:
    """The file of a log, put together from the description of its format alone."""
    data, first = b"WRLG\x01", 0
    for batch in some:
        slots = [struct.pack(">I", len(one)) + hashlib.sha256(b"\0" + one).digest()[:8] for one in batch]
        body = b"".join((*slots, *batch))
        data += headed(first, len(batch), len(body)) + body
        first += len(batch)
    return data


def ends(some: Sequence[Sequence[bytes]] = BATCHES) -> list[int]:
    """Where each batch ends in the file, with where the first begins."""
    return [len(as_documented(some[:count])) for count in range(len(some) + 1)]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return written(tmp_path / "ledger")


def test_what_is_appended_is_there(tmp_path: Path) -> None:
    with Log(tmp_path / "deep" / "ledger") as log:
        assert log.size == 0
        assert log.root() == hashlib.sha256().digest()
        for batch, bound in zip(BATCHES, BOUNDS, strict=False):
            assert log.append(list(batch)) == bound
        assert log.append([]) == 8
        assert (log.size, log.unfinished_bytes) == (8, 0)
        assert tuple(log.entries()) == ENTRIES
        assert tuple(log.entries(1, 4)) == ENTRIES[1:4]
        assert tuple(log.entries(8)) == tuple(log.entries(3, 3)) == ()
        assert [log.root(size) for size in range(9)] == [oracle.root(ENTRIES[:size]) for size in range(9)]
        verify_inclusion(2, 6, leaf_hash(ENTRIES[2]), log.inclusion(2, 6), log.root(6))
        verify_inclusion(7, 8, leaf_hash(ENTRIES[7]), log.inclusion(7), log.root())
        verify_consistency(3, 6, log.root(3), log.root(6), log.consistency(3, 6))
        verify_consistency(3, 8, log.root(3), log.root(), log.consistency(3))
        for start, stop in ((-1, 2), (0, 9), (5, 4)):
            with pytest.raises(LedgerError, match="has 8 entries"):
                log.entries(start, stop)
    assert contents(tmp_path / "deep" / "ledger") == ENTRIES


def test_the_files_are_the_documented_ones(good: Path) -> None:
    assert sorted(path.name for path in good.iterdir()) == ["acknowledged", "entries.log"]
    assert record(good).read_bytes() == as_documented(BATCHES)
    assert counter(good).read_bytes() == counted(8)


@given(st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=5), max_size=5))
@settings(max_examples=40)
def test_a_log_goes_on_where_it_ended(tmp_path_factory: pytest.TempPathFactory, some: list[list[bytes]]) -> None:
    folder = tmp_path_factory.mktemp("log") / "ledger"
    found: tuple[bytes, ...] = ()
    for batch in some:
        with Log(folder) as log:
            assert log.append(batch) == len(found)
        found += tuple(batch)
        assert contents(folder) == found
    # The bytes are a function of the entries and their batches: reading and writing again gives the same file.
    assert record(written(folder, ())).read_bytes() == as_documented(some)


def test_one_wait_per_batch_and_the_count_only_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Log(tmp_path) as log:
        seen: list[tuple[str, str]] = []
        sync, write = os.fsync, os.pwrite

        def named(descriptor: int) -> str:
            return Path(os.readlink(f"/proc/self/fd/{descriptor}")).name

        def pwrite(descriptor: int, data: bytes, at: int) -> int:
            seen.append(("write", named(descriptor)))
            return write(descriptor, data, at)

        def fsync(descriptor: int) -> None:
            seen.append(("fsync", named(descriptor)))
            sync(descriptor)

        monkeypatch.setattr(os, "pwrite", pwrite)
        monkeypatch.setattr(os, "fsync", fsync)
        log.append([b"entry"] * 1000)
        assert seen == [("write", "entries.log"), ("fsync", "entries.log"), ("write", "acknowledged")]


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, at: write(descriptor, data[:7], at))
    assert contents(written(tmp_path)) == ENTRIES
    assert record(tmp_path).read_bytes() == as_documented(BATCHES)


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_ENTRY_BYTES", 10)
    monkeypatch.setattr(batches, "MAX_BATCH_ENTRIES", 4)
    monkeypatch.setattr(batches, "MAX_BATCH_BYTES", 70)
    monkeypatch.setattr(logs, "MAX_ENTRIES", 7)
    with Log(tmp_path) as log:
        log.append([b"a" * 10, b"b"])
        for refused, reason in (
            ([b"", b"c" * 11], "entry 3 is no bytes, or more than the limit of 10"),
            ([b"", "text"], "entry 3 is no bytes"),
            ([bytearray(2)], "entry 2 is no bytes"),
            ([b""] * 5, "append them in several"),
            ([b"d" * 10] * 4, "append them in several"),
            ([b""] * 6, "is full: it takes 7 entries"),
        ):
            with pytest.raises(LedgerError, match=reason):
                log.append(refused)  # type: ignore[arg-type]
        log.append([b""] * 4)
        log.append([b"end"])
        with pytest.raises(LedgerError, match="is full"):
            log.append([b""])
    assert len(contents(tmp_path)) == 7
    monkeypatch.setattr(logs, "MAX_ENTRIES", 6)
    assert "entry 6 begins a batch beyond the limit of 6" in refusal(tmp_path)


def test_limits_hold_for_what_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, [(b"a",), (b"b" * 11, b"c"), (b"d",)])
    monkeypatch.setattr(batches, "MAX_ENTRY_BYTES", 10)
    assert "entry 1 is damaged" in refusal(tmp_path)
    monkeypatch.setattr(batches, "MAX_ENTRY_BYTES", 11)
    assert len(contents(tmp_path)) == 4
    monkeypatch.setattr(batches, "MAX_BATCH_ENTRIES", 1)
    assert "entry 1 is damaged" in refusal(tmp_path)


def test_a_claim_of_many_bytes_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, ())
    record(tmp_path).write_bytes(as_documented(()) + headed(0, 1, 2**28) + bytes(50))
    read, asked = os.pread, []

    def pread(descriptor: int, count: int, at: int) -> bytes:
        asked.append(count)
        return read(descriptor, count, at)

    monkeypatch.setattr(os, "pread", pread)
    with Log(tmp_path, read_only=True) as log:
        assert (log.size, log.unfinished_bytes) == (0, 70)
    assert max(asked) == 50


@pytest.mark.parametrize(
    ("count", "body", "named"),
    [
        (0, b"", 8),
        (0, b"abc", 8),
        (1, b"", 8),
        (1, SLOT + b"abc!", 8),
        (1, SLOT + b"abcabc", 8),
        (2, SLOT + SLOT + b"abcabc!", 9),
        (2, SLOT + b"abc", 8),
        (2**16 + 1, (SLOT + b"abc") * (2**16 + 1), 8),
    ],
)
def test_batches_that_no_writer_makes(good: Path, count: int, body: bytes, named: int) -> None:
    with record(good).open("ab") as file:
        file.write(headed(8, count, len(body)) + body)
    with Log(good, read_only=True) as log:
        assert (log.size, log.unfinished_bytes) == (8, 20 + len(body))
    counter(good).write_bytes(counted(9))
    assert f"entry {named} is damaged" in refusal(good)


# Crashes and damage

KINDS: dict[str, Callable[[bytes, int], bytes]] = {
    "cut": lambda data, at: data[:at],
    "garbled": lambda data, at: data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :],
    "zeros from here": lambda data, at: data[:at] + bytes(len(data) - at),
    "noise from here": lambda data, at: data[:at] + hashlib.shake_128(b"%d" % at).digest(len(data) - at),
}
"""What a file can look like after something happened at one byte of it."""


def left(folder: Path, data: bytes, acknowledged: bytes) -> Path:
    """Make a folder as somebody left it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    record(folder).write_bytes(data)
    counter(folder).write_bytes(acknowledged)
    return folder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [2, 3])
def test_a_crash_at_any_byte_of_a_batch(tmp_path: Path, kind: str, batch: int) -> None:
    whole, begin = as_documented(BATCHES[: batch + 1]), ends()[batch]
    for at in range(begin, len(whole)):
        data = KINDS[kind](whole, at)
        batch_is_whole = data == whole
        kept = ENTRIES[: BOUNDS[batch + batch_is_whole]]
        # Killed: the count is that of the batch before. After a power failure it may be older.
        for count in (BOUNDS[batch], BOUNDS[batch - 1], 0):
            folder = left(tmp_path / "ledger", data, counted(count))
            before = snapshot(folder)
            with Log(folder, read_only=True) as log:
                assert tuple(log.entries()) == kept
                assert log.unfinished_bytes == (0 if batch_is_whole else len(data) - begin)
            assert snapshot(folder) == before
            with Log(folder) as log:
                assert tuple(log.entries()) == kept
                assert log.unfinished_bytes == (0 if batch_is_whole else len(data) - begin)
                assert counter(folder).read_bytes() == counted(len(kept))
                log.append([b"more"])
            assert contents(folder) == (*kept, b"more")
            some = [*BATCHES[: batch + batch_is_whole], [b"more"]]
            assert record(folder).read_bytes() == as_documented(some)


def owner(at: int) -> int:
    """Return the entry to which a byte of the file belongs; the head of a batch to its first."""
    batch = max(number for number, end in enumerate(ends()) if end <= at)
    inside, first, lengths = at - ends()[batch] - 20, BOUNDS[batch], list(map(len, BATCHES[batch]))
    if inside < 12 * len(lengths):
        return first + max(0, inside // 12)
    return first + next(n for n in range(len(lengths)) if inside < 12 * len(lengths) + sum(lengths[: n + 1]))


def test_acknowledged_bytes_that_were_changed_are_refused_by_name(good: Path) -> None:
    whole, acknowledged = record(good).read_bytes(), counter(good).read_bytes()
    for at in range(len(whole)):
        left(good, KINDS["garbled"](whole, at), acknowledged)
        expected = f"entry {owner(at)} is damaged" if at >= 5 else "of another kind or version"
        assert expected in refusal(good)
        assert refusal(good) == refusal(good, read_only=False)


@pytest.mark.parametrize("kind", ["cut", "zeros from here", "noise from here"])
def test_acknowledged_batches_that_are_gone_are_refused_by_name(good: Path, kind: str) -> None:
    whole, acknowledged = record(good).read_bytes(), counter(good).read_bytes()
    for at in range(5, len(whole)):
        left(good, KINDS[kind](whole, at), acknowledged)
        if record(good).read_bytes() == whole:
            continue
        sentence = refusal(good)
        assert sentence == refusal(good, read_only=False)
        batch = max(number for number, end in enumerate(ends()) if end <= at)
        if kind == "cut" and at in ends():
            assert f"the entries from {BOUNDS[batch]} to 7 were cut off" in sentence
        else:
            assert any(f"entry {index} is damaged" in sentence for index in range(BOUNDS[batch], BOUNDS[batch + 1]))


def test_batches_that_were_moved_are_refused(good: Path) -> None:
    whole, bounds = record(good).read_bytes(), ends()
    parts = [whole[begin:end] for begin, end in pairwise(bounds)]
    for order, named in (([1, 2, 3], 0), ([0, 2, 1, 3], 2), ([0, 1, 1, 2, 3], 5), ([0, 1, 3], 5), ([0, 1, 3, 2], 5)):
        left(good, whole[:5] + b"".join(parts[number] for number in order), counted(8))
        assert f"entry {named} is damaged" in refusal(good)


def test_damage_with_batches_behind_it_is_no_crash(tmp_path: Path) -> None:
    data, folder = as_documented(BATCHES), tmp_path / "ledger"
    for at in range(ends()[1] + 20, ends()[2]):
        left(folder, KINDS["garbled"](data, at), counted(0))
        assert f"entry {owner(at)} is damaged" in refusal(folder, read_only=False)


def test_bytes_that_are_no_batch_behind_the_last_one(good: Path) -> None:
    with record(good).open("ab") as file:
        file.write(b"\0" * 100)
    with Log(good, read_only=True) as log:
        assert (log.size, log.unfinished_bytes) == (8, 100)
    assert contents(good, read_only=False) == ENTRIES
    assert record(good).read_bytes() == as_documented(BATCHES)


def test_without_a_count_a_reader_refuses_and_a_writer_wants_everything_whole(good: Path) -> None:
    whole, acknowledged = record(good).read_bytes(), counter(good).read_bytes()
    illegible = [KINDS["garbled"](acknowledged, at) for at in range(len(acknowledged))]
    for content in (None, b"", acknowledged[:-1], acknowledged + b"\0", bytes(21), *illegible):
        for data in (whole, whole[:-1]):
            left(good, data, content or b"")
            if content is None:
                counter(good).unlink()
            assert "acknowledged is missing or damaged" in refusal(good)
            if data == whole:
                assert contents(good, read_only=False) == ENTRIES
                assert counter(good).read_bytes() == acknowledged
            else:
                assert "entry 7 is damaged" in refusal(good, read_only=False)


def test_what_a_killed_writer_left_is_on_the_disk_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = left(tmp_path / "ledger", as_documented(BATCHES), counted(6))
    seen: list[str] = []
    sync, replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        seen.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        sync(descriptor)

    def replaced(source: Path, target: Path) -> None:
        seen.append(f"replace {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replaced)
    assert contents(folder, read_only=False) == ENTRIES
    assert seen.index("fsync entries.log") < seen.index("replace acknowledged")
    assert counter(folder).read_bytes() == counted(8)


def test_a_log_that_is_not_there(tmp_path: Path, good: Path) -> None:
    with pytest.raises(LedgerError, match=r"entries.log cannot be opened: No such file"):
        Log(tmp_path / "other", read_only=True)
    assert not (tmp_path / "other").exists()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="exists"):
        Log(tmp_path / "file")
    record(good).unlink()
    assert "entries.log is missing" in refusal(good, read_only=False)
    counter(good).write_bytes(b"")
    assert "entries.log is missing" in refusal(good, read_only=False)


def test_a_crash_while_a_log_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, calls = os.replace, 0

    def failing(source: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == stop:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    for stop in (1, 2, 3):
        calls, folder = 0, tmp_path / str(stop)
        with pytest.raises(KeyboardInterrupt):
            Log(folder)
        calls = 10
        assert contents(written(folder)) == ENTRIES


# Everything else that can happen to a writer


@pytest.mark.parametrize("fails", ["write", "fsync", "count"])
def test_a_disk_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    write, full = os.pwrite, OSError(errno.ENOSPC, "No space left on device")

    def pwrite(descriptor: int, data: bytes, at: int) -> int:
        if at and fails == "write":
            if at > 300:
                raise full
            return write(descriptor, data[:80], at)
        if not at and fails == "count":
            raise full
        return write(descriptor, data, at)

    def fsync(descriptor: int) -> None:
        if fails == "fsync":
            raise full

    log = Log(tmp_path)
    log.append(BATCHES[0])
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", pwrite)
        patched.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="No space"):
            log.append([b"y" * 400])
    assert (log.size, log.root()) == (2, oracle.root(BATCHES[0]))
    with pytest.raises(LedgerError, match="a write to it failed"):
        log.append([b"z"])
    assert tuple(log.entries()) == BATCHES[0]
    log.close()
    with Log(tmp_path) as log:
        assert log.size == (2 if fails == "write" else 3)
        log.append([b"z"])
    assert contents(tmp_path)[-1] == b"z"


def test_one_writer_and_any_number_of_readers(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        log.append([b"a"])
        with pytest.raises(LedgerError, match="is being written to"):
            Log(tmp_path)
        with Log(tmp_path, read_only=True) as reader:
            log.append([b"b"])
            assert tuple(reader.entries()) == (b"a",)
            with pytest.raises(LedgerError, match="not open for writing"):
                reader.append([b"c"])
        assert contents(tmp_path) == (b"a", b"b")
    with pytest.raises(LedgerError, match="not open for writing"):
        log.append([b"c"])
    Log(tmp_path)  # forgotten at once: it lets go of the files
    with Log(tmp_path) as log:
        assert log.size == 2


def test_an_entry_changed_while_the_log_is_open(good: Path) -> None:
    with Log(good, read_only=True) as log:
        with record(good).open("r+b") as file:
            file.seek(ends()[2] - 1)
            file.write(b"!")
        assert tuple(log.entries(0, 4)) == ENTRIES[:4]
        found = log.entries(3)
        assert next(found) == ENTRIES[3]
        with pytest.raises(LedgerError, match="entry 4 was changed since"):
            next(found)
        os.truncate(record(good), 20)
        with pytest.raises(LedgerError, match="entry 0 was changed since"):
            list(log.entries(0, 1))


@given(data=st.data())
@settings(max_examples=300)
def test_any_file_meets_our_error_or_is_a_log(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = as_documented(BATCHES)
    for _ in range(data.draw(st.integers(0, 3))):
        begin = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(begin, min(len(content), begin + 30)))
        content = content[:begin] + data.draw(st.binary(max_size=30)) + content[end:]
    folder = left(tmp_path_factory.mktemp("any") / "ledger", content, counted(data.draw(st.integers(0, 8))))
    try:
        found = contents(folder)
    except LedgerError:
        with pytest.raises(LedgerError):
            contents(folder, read_only=False)
    else:
        assert found == contents(folder, read_only=False) == ENTRIES[: len(found)]
        assert len(found) in BOUNDS
