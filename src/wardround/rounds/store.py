"""What a site remembers between rounds, on its own disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from wardround.core.files import write_atomically
from wardround.core.update import Tensors
from wardround.errors import SiteError


class SiteStore:
    """One site's memory, one file per round.

    The coordinator says in each call which of the site's rounds it accepted last, and the site goes on from exactly
    that memory: a round that was lost, voided or cut short leaves nothing behind, and a resumed run is the same run.

    Attributes:
        folder: made on the first write; a site that remembers nothing leaves no trace.
        kind: what is kept, the first word of its files.
    """

    def __init__(self, folder: Path, kind: str = "memory") -> None:
        self.folder = folder
        self.kind = kind

    def read(self, accepted_round: int) -> Tensors:
        """Return the memory after `accepted_round`; empty for -1.

        Raises:
            SiteError: that memory is gone or damaged.
        """
        if accepted_round < 0:
            return {}
        path = self._path(accepted_round)
        try:
            return safetensors.numpy.load(path.read_bytes())
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise SiteError(
                f"the {self.kind} of round {accepted_round} cannot be read from {path.name}: {error}"
            ) from None

    def write(self, round_index: int, memory: dict[str, np.ndarray], sync: bool = True) -> None:
        """Keep the memory of `round_index`, replacing what an abandoned attempt at it left; see `write_atomically`."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self._path(round_index), safetensors.numpy.save(memory), sync)

    def forget(self, accepted_round: int) -> None:
        """Drop memories older than the one the coordinator builds on."""
        for path in self._files():
            if int(path.stem.removeprefix(f"{self.kind}-")) < accepted_round:
                path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.kind}-*.safetensors"))

    def _path(self, round_index: int) -> Path:
        return self.folder / f"{self.kind}-{round_index:06d}.safetensors"
