"""Whose keys a verifier believes: a run folder's, held against the fingerprints that the verifier knows itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from wardround.errors import LedgerError, WireError
from wardround.ledger.entries import RunOpened
from wardround.ledger.note_keys import Key
from wardround.ledger.quorum import Roster
from wardround.protect.home import Home
from wardround.protect.identity import PublicIdentity
from wardround.protect.trust import Trust
from wardround.rounds.logbook.identities import MAX_ROSTER_BYTES, read_identities, witnesses_among

ROSTER = "roster.json"


def read_roster(path: Path) -> dict[str, PublicIdentity]:
    """Return site -> its public keys, from the ``roster.json`` of a run folder.

    Raises:
        LedgerError: the file is missing or is none.
    """
    try:
        with path.open("rb") as file:
            return read_identities(file.read(MAX_ROSTER_BYTES))
    except OSError as error:
        raise LedgerError(f"{path} cannot be read ({error.strerror}): it holds the public keys of the sites") from None
    except WireError:
        raise LedgerError(f"{path} was changed: it does not hold the public keys of sites") from None


def known_fingerprints(path: Path) -> dict[str, str]:
    """Return site -> fingerprint, from a site's ``trust.toml`` or from another run's ``roster.json``.

    A ``trust.toml`` names the peers of its site; the site's own keys lie beside it in ``identity.pub``.

    Raises:
        LedgerError: the file is neither.
        TrustError: it is a ``trust.toml`` that cannot be used.
    """
    if path.suffix == ".json":
        return {site: identity.fingerprint for site, identity in read_roster(path).items()}
    trust, home = Trust.load(path), Home(path.parent)
    own = {trust.site: home.public().fingerprint} if home.public_path.exists() else {}
    if not trust.peers and not own:
        raise LedgerError(f"{path} knows the keys of no site: wardround site trust enters them")
    return {**trust.peers, **own}


def witnesses_of(opened: RunOpened, roster: Path, keys: Path | None) -> Roster | None:
    """Return the keys that sign a run's checkpoints; ``None`` where its sites have none.

    Args:
        opened: the entry that opens the run; names every site and its fingerprint.
        roster: the ``roster.json`` of the run folder.
        keys: what the verifier knows; ``None`` believes the run folder.

    Raises:
        LedgerError: the three do not go together.
    """
    logged = {site: known for site, known in opened.sites.items() if known}
    if not logged:
        if keys is not None:
            raise LedgerError("no site co-signed this run, so there is nothing that keys could verify")
        return None
    identities = read_roster(roster)
    found = {site: identity.fingerprint for site, identity in identities.items()}
    if found != logged:
        raise LedgerError(f"{roster} was changed: its keys are not those that the first entry of the ledger names")
    if keys is not None:
        _require_known(logged, known_fingerprints(keys), keys)
    return witnesses_among(identities, Key.from_text(opened.log_key))


def _require_known(logged: Mapping[str, str], known: Mapping[str, str], keys: Path) -> None:
    for site, fingerprint in logged.items():
        if site not in known:
            raise LedgerError(f"{keys} does not know site {site!r}: wardround site trust enters its fingerprint")
        if known[site] != fingerprint:
            raise LedgerError(
                f"site {site!r} is known by fingerprint {known[site]} in {keys}, and the ledger names {fingerprint}: "
                "somebody else signed in its name"
            )
