"""The public keys of a run's sites: read from a run folder, and as what signs checkpoints. Works without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping

from wardround.errors import WireError
from wardround.ledger.note_keys import Key
from wardround.ledger.quorum import Roster as Witnesses
from wardround.protect.identity import PublicIdentity

MAX_ROSTER_BYTES = 2**21


def read_identities(data: bytes) -> dict[str, PublicIdentity]:
    """Return site -> its public keys, from the content of a run folder's ``roster.json``.

    Raises:
        WireError: it holds something else.
    """
    try:
        found = {str(site): bytes.fromhex(key) for site, key in json.loads(data)["identities"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise WireError("a roster does not hold the public keys of sites") from None
    return {site: PublicIdentity.from_bytes(key) for site, key in found.items()}


def witnesses_among(identities: Mapping[str, PublicIdentity], log_key: Key | None) -> Witnesses:
    """Return the keys by which sites, and the log if it has one, sign checkpoints."""
    return Witnesses({site: (one.ed25519, one.ml_dsa) for site, one in identities.items()}, log_key)
