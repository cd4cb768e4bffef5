"""Frames that a site has sent, kept so that it sends the same bytes again when it is asked again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wardround.core.files import write_atomically


@dataclass(frozen=True)
class Place:
    """Where in a run a frame belongs.

    Attributes:
        run: name of the run in hex; another agreement on keys is another run.
        round: index of the round, from 0.
        attempt: number of the attempt in the round.
        part: which part of the update.
        update: digest of the update: one that was trained anew has frames of its own.
    """

    run: str
    round: int
    attempt: int
    part: int
    update: str

    @property
    def file_name(self) -> str:
        """Name of the frame's file."""
        return f"frame-{self.run[:16]}-{self.round:06d}-{self.attempt:03d}-{self.part:05d}-{self.update[:16]}.bin"


class FrameShelf:
    """One file a frame. A frame is masked or encrypted, so it lies here in the clear.

    Attributes:
        folder: made on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, place: Place) -> bytes | None:
        """Return the frame, or ``None`` if it was never made."""
        path = self.folder / place.file_name
        return path.read_bytes() if path.exists() else None

    def write(self, place: Place, frame: bytes) -> None:
        """Keep a frame, and drop those of other runs and rounds; a killed process loses nothing."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self.folder / place.file_name, frame, sync=False)
        present = f"frame-{place.run[:16]}-{place.round:06d}-"
        for path in self.folder.glob("frame-*.bin"):
            if not path.name.startswith(present):
                path.unlink(missing_ok=True)
