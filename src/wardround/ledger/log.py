"""The append-only log of a run on disk: a crash at any byte loses nothing acknowledged and leaves no entry in part."""

from __future__ import annotations

import fcntl
import os
import weakref
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path
from types import TracebackType

from wardround.core.files import write_atomically
from wardround.errors import LedgerError
from wardround.ledger.acknowledged import encode_acknowledged, read_acknowledged
from wardround.ledger.batch import HEAD_BYTES, Head, encode_batch, read_body, read_head
from wardround.ledger.merkle import leaf_hash
from wardround.ledger.tree import Tree

ENTRIES_NAME = "entries.log"
ACKNOWLEDGED_NAME = "acknowledged"
MAX_ENTRIES = 2**27
"""Most entries of a log; each takes about 80 bytes of memory while the log is open."""

MAGIC = b"WRLG\x01"


class Log:
    """A list of entries that only ever grows, and its Merkle tree; for one thread at a time.

    Two files lie in the folder. ``entries.log`` holds the batches (`wardround.ledger.batch`), each written at once and
    waited for, with one ``fsync``, before `append` returns. ``acknowledged`` then gets the number of entries, and is
    not waited for: it is there to tell damage from a crash. An incomplete batch at the end that begins at that number
    was never acknowledged and is dropped; whatever is incomplete or changed before it is refused by name. A power
    failure, unlike a killed process, can leave the number some seconds old. Every whole batch behind it counts all the
    same; what the number then no longer guards are the batches that it does not know, should they be damaged as well. A
    crash between two bytes of the number itself comes after the wait, so that a writer without a legible number wants
    every batch whole, and writes it anew; a reader refuses.

    Somebody who makes both files anew, checks and all, is not caught here: that takes the roots that sites signed.

    Attributes:
        folder: of the two files; made by the first writer.
        unfinished_bytes: length of the incomplete batch that was found at the end, 0 if there was none. A writer has
            cut it off, a reader has passed over it.
    """

    def __init__(self, folder: Path, read_only: bool = False) -> None:
        """Open the log in `folder`, and read all of it once.

        Args:
            folder: where it lies.
            read_only: change nothing, neither to begin a log nor to mend one; another process may go on writing.

        Raises:
            LedgerError: there is none to read, it is damaged, or another process writes to it.
            OSError: the disk refuses.
        """
        self.folder = folder
        self.unfinished_bytes = 0
        self._tree = Tree()
        self._starts, self._lengths = array("Q"), array("I")
        self._end = len(MAGIC)
        self._writing = False
        with ExitStack() as opened:
            if not read_only:
                self._begin(opened)
            self._file = _opened(self._path, os.O_RDONLY if read_only else os.O_RDWR, opened)
            acknowledged = read_acknowledged(self._counter_path)
            if read_only and acknowledged is None:
                raise LedgerError(
                    f"{self._counter_path} is missing or damaged: resume the run, or put back your copy of it"
                )
            self._scan(acknowledged)
            if not read_only:
                self._mend()
                self._counter = _opened(self._counter_path, os.O_WRONLY, opened)
                self._writing = True
            self._close_files = weakref.finalize(self, opened.pop_all().close)

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files; nothing that was acknowledged depends on it."""
        self._writing = False
        self._close_files()

    @property
    def size(self) -> int:
        """Number of entries."""
        return self._tree.size

    def append(self, entries: Sequence[bytes]) -> int:
        """Add entries at the end, all or none of them; they are on the disk when this returns.

        Args:
            entries: canonical bytes of each, at most 1 MiB; at most 65,536 of them and 256 MiB together.

        Returns:
            The index of the first.

        Raises:
            LedgerError: they exceed a limit, or the log is not open for writing.
            OSError: the disk refuses; the log has to be opened again, with none or all of the entries in it.
        """
        if not self._writing:
            raise LedgerError(f"the ledger in {self.folder} is not open for writing, or a write to it failed")
        first = self.size
        if first + len(entries) > MAX_ENTRIES:
            raise LedgerError(f"the ledger in {self.folder} is full: it takes {MAX_ENTRIES} entries")
        if not entries:
            return first
        batch, leaves = encode_batch(first, entries)
        self._writing = False  # after half a write, or an fsync that failed, only a new look at the disk tells
        _write(self._file, batch, self._end)
        os.fsync(self._file)
        _write(self._counter, encode_acknowledged(first + len(entries)), 0)
        self._add([len(entry) for entry in entries], leaves, len(batch))
        self._writing = True
        return first

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the entries from `start` up to, not including, `stop`.

        Raises:
            LedgerError: there are no such entries; or, when it is reached, one was changed since the log was opened.
        """
        stop = self.size if stop is None else stop
        if not 0 <= start <= stop <= self.size:
            raise LedgerError(f"the ledger in {self.folder} has {self.size} entries, not those from {start} to {stop}")
        return map(self._entry, range(start, stop))

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first `size` entries, or over all; see `Tree.root`."""
        return self._tree.root(size)

    def inclusion(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """Return the proof that an entry is under the root of `size` entries; see `Tree.inclusion`."""
        return self._tree.inclusion(index, size)

    def consistency(self, old_size: int, new_size: int | None = None) -> tuple[bytes, ...]:
        """Return the proof that `new_size` entries begin with the first `old_size`; see `Tree.consistency`."""
        return self._tree.consistency(old_size, new_size)

    @property
    def _path(self) -> Path:
        return self.folder / ENTRIES_NAME

    @property
    def _counter_path(self) -> Path:
        return self.folder / ACKNOWLEDGED_NAME

    def _begin(self, opened: ExitStack) -> None:
        """Keep other writers away, and make what is not there yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        folder = _opened(self.folder, os.O_RDONLY, opened)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerError(f"the ledger in {self.folder} is being written to: wait for the other run") from None
        if self._path.exists():
            return
        if self._counter_path.exists() and read_acknowledged(self._counter_path) != 0:
            raise LedgerError(f"{self._path} is missing, but there were entries in it: put back your copy of it")
        write_atomically(self._counter_path, encode_acknowledged(0))
        write_atomically(self._path, MAGIC)
        os.fsync(folder)
        with ExitStack() as soon:
            os.fsync(_opened(self.folder.parent, os.O_RDONLY, soon))

    def _scan(self, acknowledged: int | None) -> None:
        """Read every batch; where nothing tells what was acknowledged, all that is there was."""
        length = os.fstat(self._file).st_size
        if os.pread(self._file, len(MAGIC), 0) != MAGIC:
            raise LedgerError(f"{self._path} is of another kind or version than this installation reads, or damaged")
        while self._end < length:
            head = read_head(self.size, os.pread(self._file, HEAD_BYTES, self._end))
            at_the_end = head is None or self._end + HEAD_BYTES + head.body_bytes >= length
            try:
                self._take(head, length)
            except LedgerError as damage:
                if not at_the_end or acknowledged is None or self.size < acknowledged:
                    raise LedgerError(f"{self._path}: {damage}") from None
                self.unfinished_bytes = length - self._end
                return
        if acknowledged is not None and self.size < acknowledged:
            raise LedgerError(f"{self._path}: the entries from {self.size} to {acknowledged - 1} were cut off")

    def _take(self, head: Head | None, length: int) -> None:
        """Read the batch behind the last one, in a file of `length` bytes."""
        if head is None:
            raise LedgerError(f"entry {self.size} is damaged: its batch does not begin as it was written")
        if self.size + head.count > MAX_ENTRIES:
            raise LedgerError(f"entry {self.size} begins a batch beyond the limit of {MAX_ENTRIES} entries")
        begin = self._end + HEAD_BYTES
        body = os.pread(self._file, min(head.body_bytes, length - begin), begin)
        self._add(*read_body(self.size, head, body), HEAD_BYTES + head.body_bytes)

    def _add(self, lengths: list[int], leaves: list[bytes], batch_bytes: int) -> None:
        """Take a batch that is on the disk into memory."""
        self._end += batch_bytes
        self._starts.extend(list(accumulate(lengths, initial=self._end - sum(lengths)))[:-1])
        self._lengths.extend(lengths)
        self._tree.append(leaves)

    def _mend(self) -> None:
        """Cut off what was never acknowledged; the rest is acknowledged now, so it has to be on the disk first."""
        os.ftruncate(self._file, self._end)
        os.fsync(self._file)
        write_atomically(self._counter_path, encode_acknowledged(self.size))

    def _entry(self, index: int) -> bytes:
        entry = os.pread(self._file, self._lengths[index], self._starts[index])
        if leaf_hash(entry) != self._tree.leaf(index):
            raise LedgerError(f"{self._path}: entry {index} was changed since the ledger was opened")
        return entry


def _opened(path: Path, flags: int, opened: ExitStack) -> int:
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise LedgerError(f"{path} cannot be opened: {error.strerror}") from None
    opened.callback(os.close, descriptor)
    return descriptor


def _write(descriptor: int, data: bytes, at: int) -> None:
    rest = memoryview(data)
    while rest:
        count = os.pwrite(descriptor, rest, at)
        rest, at = rest[count:], at + count
