"""A process that writes a log until it is killed: what `slow/test_ledger_kill.py` kills."""

from __future__ import annotations

import hashlib
import os
import random
from multiprocessing.connection import Connection
from pathlib import Path

from wardround.ledger.log import Log


def entry(index: int) -> bytes:
    """Return the one entry that belongs at `index`: 0 to 511 bytes."""
    digest = hashlib.sha256(b"%d" % index).digest()
    return hashlib.shake_128(digest).digest(int.from_bytes(digest[:2], "big") % 512)


def write(folder: Path, told: Connection, seed: int, longest_piece: int) -> None:
    """Append batches for ever; before each say the size that the log is to have, after it the size that it has.

    Args:
        folder: of the log.
        told: where sizes are said: negative before an append, positive after it.
        seed: of the sizes of batches.
        longest_piece: the disk takes at most so many bytes at a time, so that a kill can fall between any two of them;
            0 leaves it as it is.
    """
    rng = random.Random(seed)
    if longest_piece:
        whole = os.pwrite
        os.pwrite = lambda descriptor, data, at: whole(descriptor, data[: rng.randint(1, longest_piece)], at)
    log = Log(folder)
    told.send_bytes(b"%d" % log.size)
    while True:
        size = log.size + rng.choice((1, 1, 2, 20, 200))
        told.send_bytes(b"%d" % -size)
        log.append([entry(index) for index in range(log.size, size)])
        told.send_bytes(b"%d" % log.size)
