"""A site's private list of the images that it used in a run: in its own store, under a key in its vault."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from wardround.core.files import write_atomically
from wardround.data.images import LabelledImages
from wardround.errors import LedgerError, SiteError
from wardround.ledger.data_use import UseKey, pixels_digest
from wardround.ledger.use_tree import UseTree
from wardround.protect.vault import Vault
from wardround.rounds.keyring import Keyring


def secret_name(run: str) -> str:
    """Return the name under which a vault keeps the key of a run's list."""
    return f"data-use-{run[:16]}"


def list_path(folder: Path, run: str) -> Path:
    """Return where the list of a run lies in a site's store."""
    return folder / f"data-use-{run[:16]}.list"


def read_key(vault: Vault, run: str) -> UseKey:
    """Return the key of a run's list.

    Raises:
        TrustError: there is none, or it cannot be read.
        LedgerError: it is none.
    """
    return UseKey.from_bytes(vault.read(secret_name(run)))


def read_list(folder: Path, key: UseKey) -> UseTree:
    """Return the list that lies in a site's store; an empty one before the first image.

    Raises:
        LedgerError: it is damaged, or another key's.
    """
    path = list_path(folder, key.run)
    return UseTree.from_bytes(key, path.read_bytes()) if path.exists() else UseTree(key)


class UsedImages:
    """The lists of one site, one for each run; opened when a run's first is needed."""

    def __init__(self, site: str, folder: Path, keyring: Keyring) -> None:
        """Keep lists in `folder`, and their keys in the vault of `keyring`."""
        self._site = site
        self._folder = folder
        self._keyring = keyring
        self._open: UseList | None = None

    def of(self, run: str) -> UseList:
        """Return the list of a run, or begin it with a key from the operating system's randomness.

        Raises:
            SiteError: its key or the list cannot be used.
        """
        if self._open is None or self._open.run != run:
            if not self._keyring.vault.holds(secret_name(run)):
                self._keyring.keep(secret_name(run), UseKey.new(run, self._site).to_bytes())
            try:
                self._open = UseList(self._folder, read_list(self._folder, read_key(self._keyring.vault, run)))
            except LedgerError as error:
                raise SiteError(f"this site's list of used images cannot be used: {error}") from None
        return self._open


class UseList:
    """One list, as the site's training fills it."""

    def __init__(self, folder: Path, tree: UseTree) -> None:
        """Go on with `tree`, which lies in `folder`."""
        self._folder = folder
        self._tree = tree
        self._digests: dict[int, bytes] = {}

    @property
    def run(self) -> str:
        """Name of the run."""
        return self._tree.key.run

    @property
    def commitment(self) -> str:
        """What is logged of the key before the first round."""
        return self._tree.key.commitment

    def use(self, round_index: int, images: LabelledImages, rows: np.ndarray | None) -> tuple[str, int]:
        """Add what a round used, and keep the list before anything is said of it.

        Args:
            round_index: of the round.
            images: the site's training images.
            rows: int64, places of the used ones in `images`; ``None`` for all.

        Returns:
            The root of the list, and how many images it holds.

        Raises:
            LedgerError: the list is full.
        """
        places = range(len(images)) if rows is None else np.unique(rows).tolist()
        if self._tree.add(max(round_index, self._tree.last_round), self._of(images, places)):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(list_path(self._folder, self.run), self._tree.to_bytes(), sync=False)
        return self._tree.root().hex(), self._tree.count

    def _of(self, images: LabelledImages, places: Iterable[int]) -> Iterable[bytes]:
        for place in places:
            if place not in self._digests:
                self._digests[place] = pixels_digest(images.pixels[images.rows[place]])
            yield self._digests[place]
