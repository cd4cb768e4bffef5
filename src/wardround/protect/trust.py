"""Whom and what a site trusts: its own file, written by its own operator, which no coordinator can reach.

```toml
site = "north"
plans = ["<64 hexadecimal digits>"]     # plans that the operator has read and approved

[peers]
south = "<64 hexadecimal digits>"       # fingerprint, as south's operator read it out

[budget]                                # optional: what all runs together may spend on this site's data
unit = "patient"
epsilon = 3.0
delta = 1e-5
```

Nothing is ever trusted because it was seen first: a peer that is not in the file is refused.
"""

from __future__ import annotations

import hmac
import reprlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from wardround.core.names import is_site_name
from wardround.errors import TrustError
from wardround.privacy import UNITS
from wardround.protect.identity import PublicIdentity, digits
from wardround.protect.private_files import read_own, write_private
from wardround.protect.trust_text import new_text, with_peer, with_plan

MAX_TRUST_BYTES = 2**20


@dataclass(frozen=True)
class Budget:
    """What a site's operator allows all runs together to spend on one data set.

    Attributes:
        unit: whose presence must stay hidden, as in a plan's ``[privacy]`` table.
        epsilon: the most, > 0.
        delta: at which epsilon is computed, in (0, 1).
    """

    unit: str
    epsilon: float
    delta: float


class Trusting(Protocol):
    """What a site asks before it deals with a peer or a plan: `Trust` in a deployment, `StudyTrust` in a simulation."""

    @property
    def site(self) -> str:
        """Name of the site that trusts."""
        ...

    def approves(self, plan_digest: str) -> bool:
        """Whether the operator approved the plan."""
        ...

    def check_peer(self, name: str, identity: PublicIdentity) -> None:
        """Refuse a peer whose identity is not the one this site knows.

        Raises:
            TrustError: names the peer, both fingerprints and the way out.
        """
        ...


@dataclass(frozen=True)
class Trust:
    """A site's ``trust.toml``.

    Attributes:
        site: the site's own name.
        plans: digests of approved plans, newest first.
        peers: site -> fingerprint of its identity.
        budget: what all runs together may spend; ``None`` sets no limit.
    """

    site: str
    plans: tuple[str, ...] = ()
    peers: Mapping[str, str] = field(default_factory=dict)
    budget: Budget | None = None

    @classmethod
    def load(cls, path: Path) -> Trust:
        """Read a site's ``trust.toml``.

        Raises:
            TrustError: it is missing, misspelt, or may be changed by other users.
        """
        return _parsed(_read(path), path)

    def write(self, path: Path) -> None:
        """Write a new file; nothing that was there is kept.

        Raises:
            OSError: the disk refuses.
        """
        write_private(path, new_text(self.site, self.plans, self.peers, _budget_lines(self.budget)).encode())

    def approves(self, plan_digest: str) -> bool:
        """Whether `plan_digest` is among the approved plans."""
        return plan_digest in self.plans

    def check_peer(self, name: str, identity: PublicIdentity) -> None:
        """Refuse a peer that is not in the file, or is there with another fingerprint.

        Raises:
            TrustError: names the peer, both fingerprints and the way out.
        """
        found, known = identity.fingerprint, self.peers.get(name)
        if known is None:
            raise TrustError(
                f"site {self.site} does not know {name}, which shows fingerprint {found}: ask {name}'s operator, by "
                f"phone or in person, to read theirs out, and enter that with wardround site trust {name} FINGERPRINT"
            )
        if not hmac.compare_digest(found, known):
            raise TrustError(
                f"{name} shows fingerprint {found}, but site {self.site} trusts {known}: somebody stands in between, "
                f"or {name} made new keys; ask its operator by phone before anything else"
            )


@dataclass(frozen=True)
class StudyTrust:
    """What a simulated site trusts: the identities that its launcher made, and every plan.

    For simulations on one machine, whose one user starts every site and wrote the plan.

    Attributes:
        site: the site's own name.
        peers: site -> fingerprint of the identity that the launcher made for it.
    """

    site: str
    peers: Mapping[str, str]

    def approves(self, plan_digest: str) -> bool:
        """Every plan: who simulates the sites also wrote the plan."""
        return True

    def check_peer(self, name: str, identity: PublicIdentity) -> None:
        """Refuse an identity that the launcher did not make for `name`.

        Raises:
            TrustError: names the peer and both fingerprints.
        """
        known = self.peers.get(name, "none")
        if not hmac.compare_digest(identity.fingerprint, known):
            raise TrustError(
                f"{name} shows fingerprint {identity.fingerprint}, but this simulation made it {known}: "
                f"start the simulation again"
            )


def approve(path: Path, plan_digest: str) -> Trust:
    """Add a plan to a site's ``trust.toml``, which keeps its comments; approving twice is approving once.

    Returns:
        What the site now trusts.

    Raises:
        TrustError: the file cannot be used, or `plan_digest` is no digest.
    """
    digest = digits(plan_digest)
    if digest is None:
        raise TrustError(f"{reprlib.repr(plan_digest)} is no plan digest: it has 64 hexadecimal digits")
    text = _read(path)
    trust = _parsed(text, path)
    if trust.approves(digest):
        return trust
    wanted = replace(trust, plans=(digest, *trust.plans))
    return _rewrite(path, wanted, with_plan(text, digest))


def trust_peer(path: Path, name: str, fingerprint: str, change: bool = False) -> Trust:
    """Enter a peer's fingerprint in a site's ``trust.toml``, which keeps its comments.

    Args:
        path: of the file.
        name: the peer.
        fingerprint: as its operator read it out; blanks, colons and capitals do not matter.
        change: whether a peer that is known by another fingerprint may get this one.

    Returns:
        What the site now trusts.

    Raises:
        TrustError: the file cannot be used, the name or fingerprint is none, or the peer is known by another.
    """
    plain = digits(fingerprint)
    if plain is None:
        raise TrustError(f"{reprlib.repr(fingerprint)} is no fingerprint: it has 64 hexadecimal digits")
    if not is_site_name(name):
        raise TrustError(f"{reprlib.repr(name)} is no site name: it has 1 to 128 printable characters")
    text = _read(path)
    trust = _parsed(text, path)
    known = trust.peers.get(name)
    if known == plain:
        return trust
    if known is not None and not change:
        raise TrustError(f"{name} is known by fingerprint {known}: give --change if its operator says that it changed")
    if name == trust.site:
        raise TrustError(f"{name} is this site itself: enter its peers")
    wanted = replace(trust, peers={**trust.peers, name: plain})
    _refuse_shared(wanted, path)
    return _rewrite(path, wanted, with_peer(text, name, plain))


def _rewrite(path: Path, wanted: Trust, edits: tuple[str, ...]) -> Trust:
    # An edit of the text keeps the operator's comments; it is taken only if it reads as exactly what is wanted.
    for text in (*edits, new_text(wanted.site, wanted.plans, wanted.peers, _budget_lines(wanted.budget))):
        try:
            if _parsed(text, path) == wanted:
                break
        except TrustError:
            continue
    try:
        write_private(path, text.encode())
    except OSError as error:
        raise TrustError(f"{path} cannot be written: {error.strerror}") from None
    return wanted


def _budget_lines(budget: Budget | None) -> tuple[str, ...]:
    if budget is None:
        return ()
    return ("[budget]", f'unit = "{budget.unit}"', f"epsilon = {budget.epsilon!r}", f"delta = {budget.delta!r}", "")


def _read(path: Path) -> str:
    if not path.exists():
        raise TrustError(f"{path} does not exist: wardround keys new makes it, together with the site's keys")
    why = f"other users can change whom this site trusts; chmod go-w {path}"
    try:
        return read_own(path, MAX_TRUST_BYTES, forbidden=0o022, why=why).decode()
    except UnicodeDecodeError:
        raise TrustError(f"{path} is no TOML: it is not written in UTF-8") from None


def _parsed(text: str, path: Path) -> Trust:
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise TrustError(f"{path} is no TOML: {error}") from None
    for key in table:
        if key not in ("site", "plans", "peers", "budget"):
            raise TrustError(f"{path}: {reprlib.repr(key)} is unknown, there are site, plans, peers and budget")
    site, plans, peers = table.get("site"), table.get("plans", []), table.get("peers", {})
    if not is_site_name(site):
        raise TrustError(f"{path}: site must be this site's name")
    if not isinstance(plans, list) or not isinstance(peers, dict):
        raise TrustError(f"{path}: plans must be a list and [peers] a table")
    for name in peers:
        if not is_site_name(name):
            raise TrustError(f"{path}: {reprlib.repr(name)} is no site name")
    trust = Trust(
        site=str(site),
        plans=tuple(_digits(plan, f"{path}: a plan") for plan in plans),
        peers={name: _digits(known, f"{path}: the fingerprint of {name}") for name, known in peers.items()},
        budget=_budget(table["budget"], path) if "budget" in table else None,
    )
    _refuse_shared(trust, path)
    return trust


def _budget(table: Any, path: Path) -> Budget:
    numbers = ("epsilon", "delta")
    if not isinstance(table, dict) or table.keys() != {"unit", *numbers} or table["unit"] not in UNITS:
        raise TrustError(f"{path}: [budget] needs a unit ({', '.join(UNITS)}), epsilon and delta, and nothing else")
    if not all(type(table[key]) in (int, float) and table[key] > 0 for key in numbers) or table["delta"] >= 1:
        raise TrustError(f"{path}: [budget] needs epsilon > 0 and delta in (0, 1)")
    return Budget(table["unit"], float(table["epsilon"]), float(table["delta"]))


def _digits(value: Any, what: str) -> str:
    plain = digits(value) if isinstance(value, str) else None
    if plain is None:
        raise TrustError(f"{what} is {reprlib.repr(value)}, not 64 hexadecimal digits")
    return plain


def _refuse_shared(trust: Trust, path: Path) -> None:
    names: dict[str, str] = {}
    for name, fingerprint in trust.peers.items():
        other = names.setdefault(fingerprint, name)
        if other != name:
            raise TrustError(f"{path}: {other} and {name} have one fingerprint, but two sites never share their keys")
