"""Checkpoints: the size and the root of a log, as a text that is signed (c2sp.org/tlog-checkpoint)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wardround.errors import LedgerError
from wardround.ledger.merkle import EMPTY_ROOT, HASH_BYTES, MAX_SIZE
from wardround.ledger.note_keys import from_base64, to_base64
from wardround.ledger.notes import require_text

MAX_LINE_BYTES = 512
MAX_EXTENSIONS = 16
RUN_BYTES = 32

_ORIGIN = "wardround/"
_SIZE = re.compile("0|[1-9][0-9]{0,18}")
_RUN = re.compile(re.escape(_ORIGIN) + "([0-9a-f]{64})")


@dataclass(frozen=True)
class Checkpoint:
    """A log at one size.

    Attributes:
        origin: of which log; that of a run is ``wardround/`` and the run's name (`run_origin`).
        size: number of entries.
        root: over them.
        extensions: further lines, which this package signs and carries along, and neither writes nor interprets.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if type(self.size) is not int or not 0 <= self.size <= MAX_SIZE:
            raise LedgerError("a checkpoint's size is not a whole number below 2^63")
        if len(self.root) != HASH_BYTES:
            raise LedgerError(f"a checkpoint's root has {len(self.root)} bytes instead of {HASH_BYTES}")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise LedgerError("a checkpoint of no entries has a root that is not the one of no entries")
        if len(self.extensions) > MAX_EXTENSIONS:
            raise LedgerError(f"a checkpoint has more than {MAX_EXTENSIONS} lines of extensions")
        for line in (self.origin, *self.extensions):
            require_text(line + "\n")
            if "\n" in line or not 0 < len(line.encode()) <= MAX_LINE_BYTES:
                raise LedgerError(f"a checkpoint has a line that is empty or longer than {MAX_LINE_BYTES} bytes")

    def __str__(self) -> str:
        return f"{self.size} entries with root {self.root.hex()[:16]}…"

    @property
    def text(self) -> str:
        """The text that is signed."""
        lines = (self.origin, str(self.size), to_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def from_text(cls, text: str) -> Checkpoint:
        """Read what `text` is of a checkpoint; of a note, that is `Note.text`.

        Raises:
            LedgerError: it is no checkpoint, or not written in the one way in which it may be.
        """
        lines = text.split("\n", MAX_EXTENSIONS + 4)
        if len(lines) < 4 or lines[-1]:
            raise LedgerError("a checkpoint has fewer than three lines, too many, or is cut short")
        origin, size, root, *extensions = lines[:-1]
        if not _SIZE.fullmatch(size):
            raise LedgerError(f"a checkpoint's size is {size[:32]!r}, which is no whole number as it is written there")
        return cls(origin, int(size), from_base64(root), tuple(extensions))

    @property
    def run(self) -> str:
        """The name of the run, 64 hexadecimal digits.

        Raises:
            LedgerError: the checkpoint is of another kind of log.
        """
        found = _RUN.fullmatch(self.origin)
        if found is None:
            raise LedgerError(f"a checkpoint of {self.origin[:80]!r} is of no run of this package")
        return found[1]


def run_origin(run: bytes) -> str:
    """Return the origin of the log of a run.

    Args:
        run: 32 bytes that name it.

    Raises:
        LedgerError: it has another length.
    """
    if len(run) != RUN_BYTES:
        raise LedgerError(f"a run is named by {RUN_BYTES} bytes, not {len(run)}")
    return _ORIGIN + run.hex()
