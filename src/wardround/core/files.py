"""Files that a crash cannot leave half-written."""

from __future__ import annotations

import os
from pathlib import Path

SYNC_ROUND_S = 2.0
"""Rounds longer than this wait for the disk; for shorter ones the wait would be a tenth of the round."""


def write_atomically(path: Path, content: bytes, sync: bool = True) -> None:
    """Write `content` so that a crash leaves the old file or the new one, never a part.

    Args:
        path: of the file.
        content: all of it.
        sync: wait until it is on the disk, so that it also outlives a power failure; a killed process loses nothing
            either way.
    """
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as opened:
        opened.write(content)
        if sync:
            opened.flush()
            os.fsync(opened.fileno())
    os.replace(partial, path)
