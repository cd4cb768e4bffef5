"""Makes proofs that an image is, or is not, in a site's list: at the site, from its own store and vault."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wardround.errors import DataError, LedgerError
from wardround.ledger.data_use import UseKey, pixels_digest
from wardround.ledger.entries import DataUse, DataUseKey
from wardround.ledger.log import Log
from wardround.ledger.parts import Place
from wardround.ledger.use_proof import Finding, Logged, UseProof, prove
from wardround.protect.home import HOME, Home
from wardround.protect.vault import Vault, passphrase_from_environment
from wardround.rounds.logbook.history import History, read_history
from wardround.rounds.logbook.identities import witnesses_among
from wardround.rounds.logbook.used_images import read_key, read_list
from wardround.rounds.plan import Plan
from wardround.study.audit import read_note
from wardround.study.folder import CHECKPOINT, LEDGER, RunFolder
from wardround.study.simulation import VAULT
from wardround.study.witnesses import read_roster


@dataclass(frozen=True)
class SiteRecords:
    """What a site holds of a run: its key, and its list of images.

    Attributes:
        site: the site.
        store: folder of its memories of this run.
        key: of its list.
    """

    site: str
    store: Path
    key: UseKey


def records_of(run: Path, site: str, store: Path | None) -> SiteRecords:
    """Open what a site holds of a run on this machine.

    Args:
        run: the run folder.
        site: whose list it is; empty takes the only one that is there.
        store: the site's store; ``None`` looks beside the run folder.

    Raises:
        LedgerError: the site holds nothing of this run here.
        TrustError: its vault cannot be opened.
    """
    folder = RunFolder(run)
    with Log(run / LEDGER, read_only=True) as log:
        opened = read_history(log.entries()).opened
    name = site or _only(opened.sites)
    if name not in opened.sites:
        raise LedgerError(f"{name!r} is no site of this run: choose from {', '.join(sorted(opened.sites))}")
    place = store or folder.store_root / name
    vault = _vault(folder.plan(), place, name)
    return SiteRecords(name, place, read_key(vault, opened.run))


def prove_use(run: Path, records: SiteRecords, digest: bytes, round_index: int | None) -> UseProof:
    """Prove that an image is, or is not, in a site's list.

    Args:
        run: the run folder.
        records: of the site.
        digest: `pixels_digest` of the image.
        round_index: whose list; ``None`` takes the last one that was logged.

    Raises:
        LedgerError: the site logged no list in that round, or its store holds another one.
    """
    with Log(run / LEDGER, read_only=True) as log:
        history = read_history(log.entries())
        committed, used = _logged(history, records.site, round_index)
        note = read_note(run / LEDGER / CHECKPOINT)
        places = _places(log, (used.to_bytes(), committed.to_bytes()))
        logged = Logged(note, used, places[0], committed, places[1])
    tree = read_list(records.store, records.key).as_of(used.round)
    return prove(tree, digest, logged)


def digest_of_file(run: Path, file: Path, store: Path | None = None) -> bytes:
    """Return the `pixels_digest` of an image file, read as the run's plan reads its images.

    Args:
        run: the run folder.
        store: a site's store, which may hold the model where the run folder does not.
        file: PNG, JPEG or TIFF; or ``.npy`` with the very pixels, uint8 ``(H, W, C)``.

    Raises:
        DataError: the file is no image.
    """
    if file.suffix == ".npy":
        try:
            return pixels_digest(np.load(file, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise DataError(f"{file} cannot be read as an array of pixels: {error}") from None
    from wardround.study.predict import channels_of, pixels_of

    return pixels_digest(pixels_of(file, RunFolder(run).plan(), channels_of(run, store)))


def _only(sites: Collection[str]) -> str:
    if len(sites) > 1:
        raise LedgerError(f"this run has several sites: name one with --site, {', '.join(sorted(sites))}")
    return next(iter(sites))


def _vault(plan: Plan, store: Path, site: str) -> Vault:
    """Return the vault of a simulated site, or of the site whose home this is."""
    if (store / VAULT).exists():
        return Vault.for_study(store / VAULT)
    rehearsed = Home(store / "home")
    home = rehearsed if rehearsed.folder.exists() and not os.environ.get(HOME) else Home.of(None)
    if not home.folder.exists() or home.trust().site != site:
        raise LedgerError(f"{store} holds nothing of site {site!r}, and {home.folder} is not its home: set {HOME}")
    return home.plan_vault(plan.digest(), passphrase_from_environment())


def _logged(history: History, site: str, round_index: int | None) -> tuple[DataUseKey, DataUse]:
    keys = [one for one in history.opening if isinstance(one, DataUseKey) and one.site == site]
    lists = [one for lines in history.rounds for one in lines if isinstance(one, DataUse) and one.site == site]
    if round_index is not None:
        lists = [one for one in lists if one.round == round_index]
    if not keys or not lists:
        when = "" if round_index is None else f" in round {round_index}"
        raise LedgerError(f"site {site!r} logged no list of images{when}: there is nothing to prove")
    return keys[0], lists[-1]


def _places(log: Log, wanted: Sequence[bytes]) -> list[Place]:
    indices = {entry: index for index, entry in enumerate(log.entries()) if entry in wanted}
    return [Place(indices[entry], log.inclusion(indices[entry])) for entry in wanted]


def check_use(proof: Path, keys: Path | None, key: Path | None, digest: bytes | None) -> Finding:
    """Check a proof file with as much as the verifier has.

    Args:
        proof: the file.
        keys: a ``roster.json`` with the sites' public keys.
        key: the key of the list.
        digest: `pixels_digest` of the image in the verifier's hands.

    Raises:
        LedgerError: a file cannot be read, or the proof does not hold.
    """
    found = UseProof.from_bytes(_content(proof, UseProof.max_bytes))
    identities = read_roster(keys) if keys is not None else {}
    roster = witnesses_among(identities, None) if identities else None
    use_key = UseKey.from_bytes(_content(key, UseKey.max_bytes)) if key is not None else None
    return found.check(roster, use_key, digest)


def _content(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        raise LedgerError(f"{path} cannot be read: {error.strerror}") from None
