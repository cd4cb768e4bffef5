"""What an attack keeps on disk while it goes on: the reconstruction of each update that is done."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wardround.attacks.inversion.base import Reconstruction
from wardround.core.files import write_atomically
from wardround.errors import RunFolderError

VICTIM = "victim"
_BEGUN, _DONE = "begun.json", "done"


@dataclass(frozen=True)
class AttackFolder:
    """Folder of one attack; what is kept for going on is taken away when it ends, since it holds pixels.

    Attributes:
        path: of the folder.
        result: name of the file that says what the attack came to.
    """

    path: Path
    result: str

    def begin(self, what: Mapping[str, Any], resume: bool) -> None:
        """Make the folder, or go on in it.

        Args:
            what: is attacked and how, as JSON has it.
            resume: go on with the same attack, which was stopped. The victim's run is listened to once more.

        Raises:
            RunFolderError: the folder holds something and `resume` is off; or what it holds is done, or another attack.
        """
        taken = self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir()))
        if taken and not resume:
            raise RunFolderError(
                f"{self.path} holds something already: add --resume, or name another folder with --out"
            )
        if taken and (self.path / self.result).exists():
            raise RunFolderError(f"the attack in {self.path} is done: name another folder with --out for a new one")
        content = json.dumps(what, indent=2, sort_keys=True).encode()
        begun = self.path / _BEGUN
        if taken and (not begun.exists() or begun.read_bytes() != content):
            raise RunFolderError(f"{self.path} holds another attack: --resume needs the same plan and options")
        for left in self.path.glob(f"{VICTIM}*"):
            shutil.rmtree(left)
        (self.path / _DONE).mkdir(parents=True, exist_ok=True)
        write_atomically(begun, content)

    def kept(self, number: int) -> Reconstruction | None:
        """Return what was made of an update before the attack was stopped; ``None`` if it was not done."""
        path = self._of(number)
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as file:
            numbers = {name: file[name].item() for name in ("distance", "evaluations", "seconds")}
            return Reconstruction(file["images"], file["labels"], **numbers)

    def keep(self, number: int, found: Reconstruction) -> None:
        """Keep what was made of an update."""
        buffer = io.BytesIO()
        np.savez(buffer, **{field.name: getattr(found, field.name) for field in dataclasses.fields(found)})
        write_atomically(self._of(number), buffer.getvalue())

    def end(self, result: Mapping[str, Any]) -> None:
        """Write the result, and take away what was kept for going on."""
        write_atomically(self.path / self.result, (json.dumps(result, indent=2, sort_keys=True) + "\n").encode())
        shutil.rmtree(self.path / _DONE)
        (self.path / _BEGUN).unlink()

    def _of(self, number: int) -> Path:
        return self.path / _DONE / f"{number}.npz"
