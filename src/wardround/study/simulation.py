"""Keys of simulated sites: on one machine one user is every site, and the launcher introduces them to each other."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wardround.protect.identity import Identity
from wardround.protect.trust import StudyTrust
from wardround.protect.vault import Vault
from wardround.rounds.keyring import Credentials

IDENTITY = "identity"
VAULT = "vault"


def introduce_sites(store_root: Path, names: Iterable[str]) -> None:
    """Make an identity for every simulated site that has none yet.

    Args:
        store_root: where the sites keep their stores.
        names: of all sites of the run.
    """
    for name in names:
        vault = _vault(store_root, name)
        if not vault.holds(IDENTITY):
            vault.write(IDENTITY, Identity.new().to_bytes())


def simulated(store_root: Path, names: Iterable[str], site: str) -> Credentials:
    """Return the credentials of one simulated site; `introduce_sites` came first.

    Raises:
        TrustError: it did not.
    """
    identities = {name: Identity.from_bytes(_vault(store_root, name).read(IDENTITY)) for name in names}
    peers = {name: identity.public.fingerprint for name, identity in identities.items()}
    return Credentials(identities[site], StudyTrust(site, peers), _vault(store_root, site), durable=False)


def _vault(store_root: Path, name: str) -> Vault:
    return Vault.for_study(store_root / name / VAULT)
