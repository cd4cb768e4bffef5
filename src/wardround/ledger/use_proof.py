"""A proof in one file that an image is, or is not, in the list that a site committed to; anybody can check it.

What a check lets whoever makes it conclude:

=================================  =====================================================================================
who checks, with what              what is shown
=================================  =====================================================================================
anybody, the file alone            the file is consistent in itself; somebody made it
anybody, and the sites' keys       *presence*: the list that the site logged in this round, as the sites co-signed it,
                                   holds an image with this digest. This needs no trust in the site: the leaf opens to
                                   one digest only. *Absence*: the list holds nothing at this position. That the
                                   position is the image's is the site's word.
anybody, and the image             the same about exactly these pixels
the auditor, and k                 k is the key committed to before, the position is the one that k gives this image.
                                   So *absence* too is shown: these pixels are not where the rules put them.
the auditor, k and all digests     that every leaf stands where the rules put it: `list_root` of all digests gives the
                                   root. Only this excludes that an image hides at a wrong position, and only this
                                   checks the count.
=================================  =====================================================================================

Nobody can conclude that an image was *not trained on*: a site may train on what it does not list. The same picture
with one bit changed, scaled or compressed with loss is another image here.

The file gives away the digest of the one image that it is about, and with it, to whoever can guess that image, that
the guess is right. It shows no other image, and nothing that would help to find k.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from wardround.errors import LedgerError
from wardround.ledger.checkpoint import Checkpoint
from wardround.ledger.data_use import UseKey
from wardround.ledger.entries import DataUse, DataUseKey, entry_of
from wardround.ledger.notes import MAX_NOTE_BYTES, Note
from wardround.ledger.parts import NOTE, PLACE, Place
from wardround.ledger.quorum import Roster
from wardround.ledger.records import HASH, Hash, Record, listed, optional
from wardround.ledger.use_tree import DEPTH, Path, UseTree, use_leaf


@dataclass(frozen=True)
class Logged:
    """Where a list is anchored in the log of its run.

    Attributes:
        note: a signed checkpoint.
        used: the entry with the list's root.
        used_at: where it lies.
        committed: the entry with the commitment to the list's key.
        committed_at: where it lies.
    """

    note: Note
    used: DataUse
    used_at: Place
    committed: DataUseKey
    committed_at: Place


@dataclass(frozen=True)
class Finding:
    """What a proof shows to whoever checked it; see the table of this module.

    Attributes:
        proof: the proof.
        final: whether enough sites co-signed the checkpoint; ``None`` if their keys were not given.
        same_image: whether these are the pixels; ``None`` if none were given.
        by_key: whether the key was given, and so the position checked.
    """

    proof: UseProof
    final: bool | None
    same_image: bool | None
    by_key: bool

    @property
    def sentence(self) -> str:
        """Say what is shown, and what is not."""
        used = self.proof.used
        image = "exactly these pixels" if self.same_image else f"the image with digest {self.proof.image.hex()[:16]}…"
        if self.proof.present:
            shown = f"the list of {used.count} images of site {used.site!r} logged in round {used.round} holds {image}"
        elif self.by_key:
            shown = f"the list of site {used.site!r} logged in round {used.round} does not hold {image} in their place"
        else:
            shown = (
                f"the list of site {used.site!r} logged in round {used.round} is empty at the place that the site "
                f"names for {image}; that it is their place only the data-use key shows"
            )
        backed = {
            None: "internally consistent only, since no keys of sites were given",
            True: "co-signed by enough sites",
            False: "not final: too few sites co-signed",
        }[self.final]
        return f"{shown} ({backed}); it does not show what a model was or was not trained on"


@dataclass(frozen=True)
class UseProof(Record):
    """One image, one site, one round.

    Attributes:
        note: a signed checkpoint of the run's log.
        used: the entry with the root of the list in that round.
        used_at: where it lies in the log.
        committed: the entry with the commitment to the list's key.
        committed_at: where it lies in the log, before `used`.
        image: `pixels_digest` of the image.
        position: where it stands, or would stand.
        blind: of its leaf; ``None`` if it is absent.
        beside: which neighbours of the path are not empty.
        hashes: those neighbours, from the root down.
    """

    kind: ClassVar[str] = "data-use-proof"
    what: ClassVar[str] = "a proof of data use"
    max_bytes: ClassVar[int] = 2 * MAX_NOTE_BYTES

    note: Annotated[Note, NOTE]
    used: Annotated[DataUse, entry_of(DataUse)]
    used_at: Annotated[Place, PLACE]
    committed: Annotated[DataUseKey, entry_of(DataUseKey)]
    committed_at: Annotated[Place, PLACE]
    image: Hash
    position: Hash
    blind: Annotated[bytes | None, optional(HASH)]
    beside: Hash
    hashes: Annotated[tuple[bytes, ...], listed(HASH, DEPTH)]

    @property
    def present(self) -> bool:
        """Whether the proof is that the image is in the list."""
        return self.blind is not None

    def check(self, roster: Roster | None = None, key: UseKey | None = None, image: bytes | None = None) -> Finding:
        """Check the proof, with as much as the verifier has.

        Args:
            roster: the keys of the run's sites.
            key: the key that the site shows its auditor.
            image: `pixels_digest` of the image in the verifier's hands.

        Raises:
            LedgerError: the proof does not hold, or is about another image or under another key.
        """
        checkpoint = Checkpoint.from_text(self.note.text)
        run = checkpoint.run
        self._require_logged(checkpoint)
        self._require_path()
        if image is not None and image != self.image:
            raise LedgerError(
                f"{self.what} is about the image with digest {self.image.hex()[:16]}…, not about the one given, "
                f"whose digest is {image.hex()[:16]}…: a single changed bit makes another image"
            )
        if key is not None:
            self._require_key(key, run)
        final = None if roster is None else roster.endorsement(self.note).is_final
        return Finding(self, final, None if image is None else True, key is not None)

    def _require_logged(self, checkpoint: Checkpoint) -> None:
        for entry, place in ((self.committed, self.committed_at), (self.used, self.used_at)):
            try:
                place.verify(entry.to_bytes(), checkpoint)
            except LedgerError as error:
                raise LedgerError(f"{self.what} rests on {entry.what} that is not in the log: {error}") from None
        if self.committed.site != self.used.site:
            raise LedgerError(f"{self.what} mixes sites {self.committed.site!r} and {self.used.site!r}")
        if self.committed_at.index >= self.used_at.index:
            raise LedgerError(f"{self.what} rests on a key that was committed to after the list it hides")

    def _require_path(self) -> None:
        leaf = None if self.blind is None else use_leaf(self.blind, self.image)
        if Path(self.beside, self.hashes).root(self.position, leaf).hex() != self.used.root:
            where = "is" if self.present else "is not"
            raise LedgerError(
                f"{self.what} does not show that the image {where} in the list of site {self.used.site!r} in round "
                f"{self.used.round}: the image, the path or the logged root was changed"
            )

    def _require_key(self, key: UseKey, run: str) -> None:
        if (key.run, key.site) != (run, self.used.site):
            raise LedgerError(f"the data-use key shown is of site {key.site!r} in run {key.run[:16]}…, not of this one")
        key.require_commitment(self.committed.commitment)
        blind = key.blind(self.position)
        if key.position(self.image) != self.position or not hmac.compare_digest(self.blind or blind, blind):
            raise LedgerError(f"{self.what} names a position or a blind for the image that its key does not give")


def prove(tree: UseTree, digest: bytes, logged: Logged) -> UseProof:
    """Prove that an image is, or is not, in a list.

    Args:
        tree: the list as it was when its root was logged (`UseTree.as_of`).
        digest: `pixels_digest` of the image.
        logged: where that root is in the log.

    Raises:
        LedgerError: the list is not the one that was logged.
    """
    position, path = tree.key.position(digest), tree.path(digest)
    blind = tree.key.blind(position) if tree.holds(digest) else None
    proof = UseProof(
        logged.note,
        logged.used,
        logged.used_at,
        logged.committed,
        logged.committed_at,
        digest,
        position,
        blind,
        path.beside,
        path.hashes,
    )
    proof.check(key=tree.key)
    return proof


def list_root(key: UseKey, digests: Iterable[bytes]) -> tuple[str, int]:
    """Return root and count of the list of exactly these images, to compare with `DataUse`: the full audit.

    Args:
        key: the key that the site shows its auditor.
        digests: `pixels_digest` of every image that the site says is in its list; doubles count once.
    """
    tree = UseTree(key)
    tree.add(0, digests)
    return tree.root().hex(), tree.count
