"""Frames that a site has sent, kept so that it sends the same bytes again when it is asked again."""

from __future__ import annotations

from pathlib import Path

from wardround.core.files import write_atomically


class FrameShelf:
    """One file a frame. A frame is masked or encrypted, so it lies here in the clear.

    Attributes:
        folder: made on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, round_index: int, attempt: int, part: int) -> bytes | None:
        """Return the frame, or ``None`` if it was never made."""
        path = self._path(round_index, attempt, part)
        return path.read_bytes() if path.exists() else None

    def write(self, round_index: int, attempt: int, part: int, frame: bytes) -> None:
        """Keep a frame; a killed process loses nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path(round_index, attempt, part), frame, sync=False)

    def forget(self, before_round: int) -> None:
        """Drop the frames of earlier rounds."""
        for path in self.folder.glob("frame-*.bin"):
            if int(path.stem.split("-")[1]) < before_round:
                path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Drop every frame: a new key makes new ones."""
        for path in self.folder.glob("frame-*.bin"):
            path.unlink(missing_ok=True)

    def _path(self, round_index: int, attempt: int, part: int) -> Path:
        return self.folder / f"frame-{round_index:06d}-{attempt:03d}-{part:05d}.bin"
