"""Homes of sites on loopback: each site of a rehearsal is set up as its operator would do it, by one user."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from wardround.errors import RunFolderError
from wardround.protect.home import HOME, Home
from wardround.protect.identity import PublicIdentity
from wardround.protect.private_files import make_private_folder, write_private
from wardround.protect.trust import Trust
from wardround.protect.vault import IN_ENVIRONMENT, Vault
from wardround.rounds.plan import Plan
from wardround.study.simulation import IDENTITY, VAULT


def set_up_sites(plan: Plan, store_root: Path, names: Iterable[str]) -> dict[str, Mapping[str, str]]:
    """Give every site a home folder in its store: it trusts the others, and approves the plan and no other.

    Keys that are there from an earlier start are used again. Each passphrase lies beside what it opens, so it protects
    nothing on this machine; what it does is that a rehearsal takes the path of a deployment.

    Args:
        plan: of the run.
        store_root: where the sites keep their stores.
        names: of all sites of the run.

    Returns:
        site -> the environment that its operator would set.

    Raises:
        RunFolderError: the stores hold the keys of a simulation.
    """
    homes = {name: Home(store_root.absolute() / name / "home") for name in names}
    identities = {}
    for name, home in homes.items():
        make_private_folder(home.folder)
        if plan.needs_keys:
            _refuse_simulated(store_root, name)
            identities[name] = _identity(home, name)
    known = {name: identity.fingerprint for name, identity in identities.items()}
    for name, home in homes.items():
        peers = {peer: fingerprint for peer, fingerprint in known.items() if peer != name}
        Trust(name, (plan.digest(),), peers).write(home.trust_path)
    return {name: {HOME: str(home.folder), IN_ENVIRONMENT: str(_passphrase_file(home))} for name, home in homes.items()}


def _identity(home: Home, name: str) -> PublicIdentity:
    if not home.public_path.exists():  # written last: without it the keys are not whole
        shutil.rmtree(home.folder)
        make_private_folder(home.folder)
        passphrase = secrets.token_hex(32).encode()
        write_private(_passphrase_file(home), passphrase)
        home.begin(name, passphrase)
    return home.public()


def _passphrase_file(home: Home) -> Path:
    return home.folder / "passphrase"


def _refuse_simulated(store_root: Path, name: str) -> None:
    if Vault.for_study(store_root / name / VAULT).holds(IDENTITY):
        raise RunFolderError(
            f"{store_root} holds keys that --engine local made: go on with that engine, or choose another --out"
        )
