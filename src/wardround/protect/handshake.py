"""How the sites of a run agree on keys through a coordinator that none of them trusts.

```text
site → all       hello           identity, ephemeral X25519 and ML-KEM-768 keys, 32 random bytes; signed by both
                                 identity keys over the coordinator's nonce and the plan
first → second   introduction    for each pair: ML-KEM ciphertext; from the leader also the run's secret, sealed under
                                 the pair's key; signed by both identity keys over the run
each → each      confirmation    HMAC over the pair's transcript and a check of the run's secret
```

The coordinator carries every message. It can lose them all, but it cannot read a key, stand in between, or let two
sites end with different keys: identities are compared with each site's own ``trust.toml``, every key is bound to a run
identifier (nonce, plan, and the hellos of all sites, so that the hello of another run makes another run), and nobody
uses a key before its owner has shown that it has it. The pattern is signed Diffie-Hellman with key confirmation
(SIGMA; Krawczyk 2003, CRYPTO, §5.1), with a KEM beside it and without its hiding of identities.

The leader, whose name sorts first, makes the run's secret. It could give it away, as every site could; it cannot give
different secrets to two sites without being named.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import reprlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from wardround.core.names import is_site_name
from wardround.errors import TrustError, WireError
from wardround.protect.boxes import KEY_BYTES, derived, open_box, seal_box
from wardround.protect.handshake_messages import (
    FRESH_BYTES,
    MAX_SECRET_BYTES,
    NONCE_BYTES,
    Confirmation,
    Hello,
    Introduction,
)
from wardround.protect.identity import Identity
from wardround.protect.octets import joined
from wardround.protect.pairing import Ephemeral, Pair
from wardround.protect.run_keys import MAX_SITES, MIN_SITES, RunKeys, run_id_of
from wardround.protect.trust import Trusting


class Handshake:
    """One site's part in one handshake: `hello`, then `meet`, `bind` and `confirm`, each once and in this order.

    It does no input or output and is not kept on disk: a site that fails or stops in between begins anew, with new
    ephemeral keys, and so does the run. After an error the handshake is over.

    Attributes:
        site: the name of this site.
        hello: what this site sends to all.
    """

    def __init__(self, site: str, identity: Identity, trust: Trusting, nonce: bytes, plan_digest: str) -> None:
        """Begin.

        Args:
            site: name of this site.
            identity: its private keys.
            trust: whom and what it trusts.
            nonce: 16 bytes that the coordinator chose for the run.
            plan_digest: of the plan as this site read it, 64 hexadecimal digits.

        Raises:
            TrustError: the plan is not approved here, or `trust` is another site's.
            WireError: the nonce or the digest is none.
        """
        if not isinstance(nonce, bytes) or len(nonce) != NONCE_BYTES:
            raise WireError(f"the run's nonce is {reprlib.repr(nonce)}, not {NONCE_BYTES} bytes")
        if not isinstance(plan_digest, str) or not re.fullmatch("[0-9a-f]{64}", plan_digest):
            raise WireError(f"the plan's digest is {reprlib.repr(plan_digest)}, not 64 hexadecimal digits")
        if trust.site != site:
            raise TrustError(f"this is asked to be site {reprlib.repr(site)}, but its keys are those of {trust.site}")
        if not trust.approves(plan_digest):
            raise TrustError(
                f"site {site} has not approved the plan {plan_digest}: its operator reads it and runs "
                f"wardround site approve SPEC, or refuses"
            )
        self.site = site
        self._identity, self._trust = identity, trust
        self._nonce, self._plan = nonce, bytes.fromhex(plan_digest)
        self._ephemeral = Ephemeral.new()
        self._next = "meet"
        self._hellos: dict[str, Hello] = {}
        self._pairs: dict[str, Pair] = {}
        self._keys: dict[str, bytes] = {}
        self._run_id = b""
        self._secret = b""
        self.hello = self._own_hello().to_bytes()

    def __repr__(self) -> str:
        return f"Handshake({self.site!r}, next={self._next!r})"

    def meet(self, hellos: Mapping[str, bytes], make_secret: Callable[[], bytes]) -> dict[str, bytes]:
        """Check the hellos of all sites and introduce this site to those whose names sort after its own.

        Args:
            hellos: site -> its hello, this site's included.
            make_secret: called once if this site is the leader; returns the run's secret, at most 64 KiB.

        Returns:
            peer -> introduction, to be carried to it.

        Raises:
            TrustError: a hello shows an unknown identity, or is not signed by it for this run and plan; or this site's
                own is missing or altered.
            WireError: a hello is malformed.
            ValueError: the secret that `make_secret` returned is too long.
        """
        with self._step("meet", "bind"):
            self._hellos = self._checked(hellos)
            self._run_id = run_id_of(self._nonce, self._plan, hellos)
            if self.site == self._leader:
                self._secret = _new_secret(make_secret())
            return {peer: self._introduce(peer) for peer in sorted(self._hellos) if peer > self.site}

    def bind(self, introductions: Mapping[str, bytes]) -> dict[str, bytes]:
        """Take the introductions that are addressed to this site: one from each site whose name sorts before its own.

        Returns:
            peer -> confirmation, for every other site.

        Raises:
            TrustError: an introduction is not signed by its sender for this run, or the run's secret does not open.
            WireError: an introduction is missing or malformed.
        """
        with self._step("bind", "confirm"):
            senders = [peer for peer in sorted(self._hellos) if peer < self.site]
            _check_all_there("introduction", senders, introductions)
            for peer in senders:
                self._accept(peer, introductions[peer])
            del self._ephemeral
            check = self._check()
            return {peer: self._confirmation(peer, check) for peer in sorted(self._keys)}

    def confirm(self, confirmations: Mapping[str, bytes]) -> RunKeys:
        """Take the confirmations that are addressed to this site: one from every other.

        Returns:
            The keys of the run.

        Raises:
            TrustError: a peer has not the key or the transcript that this site has, or not the run's secret.
            WireError: a confirmation is missing or malformed.
        """
        with self._step("confirm", "nothing"):
            peers = sorted(self._keys)
            _check_all_there("confirmation", peers, confirmations)
            checks = {peer: self._confirmed(peer, confirmations[peer]) for peer in peers}
            self._check_same_secret(checks)
        return RunKeys(
            run_id=self._run_id,
            site=self.site,
            roster={site: self._hellos[site].identity for site in sorted(self._hellos)},
            pair_keys=dict(self._keys),
            group_key=self._secret[:KEY_BYTES],
            secret=self._secret[KEY_BYTES:],
        )

    @property
    def _leader(self) -> str:
        return min(self._hellos)

    @contextmanager
    def _step(self, step: str, following: str) -> Iterator[None]:
        asked, self._next = self._next, "nothing"
        if asked != step:
            raise WireError(f"the coordinator asks {self.site} to {step}, but what comes next is {asked}: begin anew")
        yield
        self._next = following

    def _own_hello(self) -> Hello:
        hello = Hello(
            site=self.site,
            identity=self._identity.public,
            x25519=self._ephemeral.x25519.public_key().public_bytes_raw(),
            ml_kem=self._ephemeral.ml_kem.public_key().public_bytes_raw(),
            fresh=os.urandom(FRESH_BYTES),
        )
        return replace(hello, signature=self._identity.sign_both(hello.signed(self._nonce, self._plan)))

    def _checked(self, hellos: Mapping[str, bytes]) -> dict[str, Hello]:
        if not MIN_SITES <= len(hellos) <= MAX_SITES:
            raise WireError(f"{len(hellos)} hellos arrived: a run has {MIN_SITES} to {MAX_SITES} sites")
        for site in hellos:
            if not is_site_name(site):
                raise WireError(f"a hello came from {reprlib.repr(site)}, which is no site name")
        if hellos.get(self.site) != self.hello:
            raise TrustError(f"the hello of {self.site} came back altered or not at all: the coordinator exchanged it")
        known = {site: self._greeted(site, hellos[site]) for site in sorted(hellos)}
        owners: dict[str, str] = {}
        for site, hello in known.items():
            other = owners.setdefault(hello.identity.fingerprint, site)
            if other != site:
                raise TrustError(f"{other} and {site} show one identity: two sites never share their keys")
        return known

    def _greeted(self, site: str, data: bytes) -> Hello:
        hello = Hello.from_bytes(f"the hello of {site}", data)
        if hello.site != site:
            raise TrustError(f"the hello that came as that of {site} is {hello.site}'s: the coordinator exchanged it")
        if site != self.site:
            self._trust.check_peer(site, hello.identity)
        if not hello.identity.verify_both(hello.signed(self._nonce, self._plan), hello.signature):
            raise TrustError(
                f"the hello of {site} is not signed by {site} for this run and plan: it was altered, comes from "
                f"another run, or {site} runs another plan"
            )
        return hello

    def _introduce(self, peer: str) -> bytes:
        own, other = self._hellos[self.site], self._hellos[peer]
        shared, ciphertext = self._ephemeral.initiate(other)
        pair = self._pairs[peer] = Pair(self._run_id, own, other, ciphertext)
        key = self._keys[peer] = pair.key(shared)
        box = b""
        if self.site == self._leader:
            box = seal_box(derived(key, "run secret key"), self._secret, pair.transcript())
        introduction = Introduction(ciphertext, box)
        signature = self._identity.sign_both(introduction.signed(self._run_id, own, other))
        return replace(introduction, signature=signature).to_bytes()

    def _accept(self, peer: str, data: bytes) -> None:
        introduction = Introduction.from_bytes(f"the introduction from {peer}", data)
        own, other = self._hellos[self.site], self._hellos[peer]
        if not other.identity.verify_both(introduction.signed(self._run_id, other, own), introduction.signature):
            raise TrustError(
                f"the introduction from {peer} is not signed by {peer} for {self.site} in this run: it was altered, or "
                f"the coordinator told {peer} of other sites or keys"
            )
        shared = self._ephemeral.respond(other, introduction.ciphertext)
        pair = self._pairs[peer] = Pair(self._run_id, other, own, introduction.ciphertext)
        key = self._keys[peer] = pair.key(shared)
        if peer == self._leader:
            self._secret = _opened(peer, derived(key, "run secret key"), introduction.box, pair.transcript())
        elif introduction.box:
            raise WireError(f"the introduction from {peer} holds a run secret, which {self._leader} alone makes")

    def _check(self) -> bytes:
        # Hashed first: HMAC itself takes a short key with and without zeros at its end for the same.
        return hmac.digest(hashlib.sha256(self._secret).digest(), joined("run secret check", self._run_id), "sha256")

    def _confirmation(self, peer: str, check: bytes) -> bytes:
        mac = self._pairs[peer].confirmation(self._keys[peer], self.site, peer, check)
        return Confirmation(check, mac).to_bytes()

    def _confirmed(self, peer: str, data: bytes) -> bytes:
        found = Confirmation.from_bytes(f"the confirmation from {peer}", data)
        expected = self._pairs[peer].confirmation(self._keys[peer], peer, self.site, found.check)
        if not hmac.compare_digest(found.mac, expected):
            raise TrustError(
                f"{peer} does not confirm the key that {self.site} has for it: a message between them was altered"
            )
        return found.check

    def _check_same_secret(self, checks: Mapping[str, bytes]) -> None:
        own = self._check()
        for peer, check in checks.items():
            if not hmac.compare_digest(check, own):
                raise TrustError(
                    f"the run secret that {self._leader} made is not the same at {self.site} and {peer}: "
                    f"{self._leader} gave out two, or {peer} says so falsely; start again without one of them"
                )


def _new_secret(secret: bytes) -> bytes:
    if len(secret) > MAX_SECRET_BYTES:
        raise ValueError(f"a run secret of {len(secret)} bytes exceeds {MAX_SECRET_BYTES}")
    return os.urandom(KEY_BYTES) + secret


def _opened(leader: str, key: bytes, box: bytes, associated: bytes) -> bytes:
    secret = open_box(key, box, associated)
    if secret is None or len(secret) < KEY_BYTES:
        raise TrustError(f"the run secret from {leader} does not open: {leader} made another key or no secret")
    return secret


def _check_all_there(kind: str, senders: Collection[str], messages: Mapping[str, bytes]) -> None:
    for sender in senders:
        if sender not in messages:
            raise WireError(f"the {kind} from {sender} did not arrive")
    for sender in messages:
        if sender not in senders:
            raise WireError(f"{reprlib.repr(sender)} has no {kind} to send here")
