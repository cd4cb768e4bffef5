"""A site's keys in one run: agreed on before the first round, kept in its vault, used by every later call."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from wardround.core.codec import Message
from wardround.errors import SiteError, TrustError
from wardround.ledger.cosign import Signer
from wardround.ledger.note_keys import COSIGNATURE, ML_DSA_65, Key, key_name
from wardround.protect.handshake import Handshake
from wardround.protect.identity import Identity
from wardround.protect.lattice import LatticeKey, Sealer
from wardround.protect.lattice_parameters import LatticeParameters
from wardround.protect.run_keys import RunKeys
from wardround.protect.scheme import Scheme
from wardround.protect.trust import Trusting
from wardround.protect.vault import Vault
from wardround.rounds.plan import Plan
from wardround.rounds.wire import bytes_of, tensor_of

RUN_KEYS = "run-keys"


@dataclass(frozen=True)
class Credentials:
    """Who a site is, and whom it trusts.

    Attributes:
        identity: its own keys.
        trust: its peers, and the plans its operator approved.
        vault: where this run's secrets lie.
        durable: wait until what must never be forgotten is on the disk, so that it outlives a power failure too.
    """

    identity: Identity
    trust: Trusting
    vault: Vault
    durable: bool = True


class Keyring:
    """Agrees on a run's keys with the other sites, through a coordinator that is not trusted."""

    def __init__(
        self, site: str, plan_digest: str, lattice: LatticeParameters | None, credentials: Credentials
    ) -> None:
        """Prepare for a run.

        Args:
            site: name of this site.
            plan_digest: of the plan that the run is of.
            lattice: parameters of the encryption; ``None`` where the plan does not encrypt.
            credentials: who this site is, and whom it trusts.
        """
        self._site = site
        self._plan_digest = plan_digest
        self._lattice = lattice
        self._credentials = credentials
        self._handshake: Handshake | None = None
        self._keys: RunKeys | None = None
        self._sealer: Sealer | None = None
        self.operations: dict[str, Callable[[Message], Message]] = {
            "run": self._run,
            "hello": self._hello,
            "meet": self._meet,
            "bind": self._bind,
            "confirm": self._confirm,
        }

    @classmethod
    def of(cls, site: str, plan: Plan, credentials: Credentials | None) -> Keyring:
        """Return the keyring of a site in a run of `plan`.

        Raises:
            TrustError: there are no credentials, or the operator did not approve the plan.
        """
        if credentials is None:
            raise TrustError(
                f"site {site} has no keys, which plan {plan.name} needs for its protections or its ledger: wardround "
                "keys new makes them"
            )
        if not credentials.trust.approves(plan.digest()):
            raise TrustError(
                f"the operator of site {site} has not approved the plan with digest {plan.digest()}: wardround site "
                "approve shows it and records it"
            )
        encrypts = plan.pipeline.homomorphic is not None
        lattice = Scheme.of(plan.pipeline, plan.weight_total).lattice if encrypts else None
        return cls(site, plan.digest(), lattice, credentials)

    @property
    def keys(self) -> RunKeys:
        """The run's keys.

        Raises:
            SiteError: there are none yet.
        """
        if self._keys is None:
            if not self._credentials.vault.holds(RUN_KEYS):
                raise SiteError("this site has agreed on no keys for this run")
            self._keys = RunKeys.from_bytes(self._credentials.vault.read(RUN_KEYS))
        return self._keys

    @property
    def sealer(self) -> Sealer | None:
        """What encrypts and opens; ``None`` where the plan does not encrypt."""
        if self._lattice is None:
            return None
        if self._sealer is None:
            self._sealer = Sealer(self._lattice, LatticeKey.from_bytes(self.keys.secret, self._lattice))
        return self._sealer

    @property
    def vault(self) -> Vault:
        """Where this site's secrets lie."""
        return self._credentials.vault

    def keep(self, name: str, content: bytes) -> None:
        """Write into the vault; a killed process loses nothing."""
        self._credentials.vault.write(name, content, sync=self._credentials.durable)

    def sign(self, message: bytes) -> bytes:
        """Sign with this site's Ed25519 key."""
        return self._credentials.identity.sign(message)

    def cosigners(self) -> tuple[Signer, Signer]:
        """Return what signs checkpoints for this site: with Ed25519, and with ML-DSA-65."""
        own, name = self._credentials.identity, key_name(self._site)
        return (
            Signer(Key(name, COSIGNATURE, own.public.ed25519), own.sign_plain),
            Signer(Key(name, ML_DSA_65, own.public.ml_dsa), own.sign_plain_outlasting),
        )

    def verify(self, site: str, message: bytes, signature: bytes) -> bool:
        """Whether `site` of this run signed `message`."""
        roster = self.keys.roster
        return site in roster and roster[site].verify(message, signature)

    def _run(self, body: Message) -> Message:
        held = self._credentials.vault.holds(RUN_KEYS)
        return Message({"run": self.keys.run_id.hex() if held else ""})

    def _hello(self, body: Message) -> Message:
        own, nonce = self._credentials, bytes_of(body, "nonce")
        self._handshake = Handshake(self._site, own.identity, own.trust, nonce, self._plan_digest)
        return Message({}, {"hello": tensor_of(self._handshake.hello)})

    def _meet(self, body: Message) -> Message:
        hellos = {site: bytes_of(body, site) for site in body.tensors}
        return _boxes(self._begun.meet(hellos, self._new_secret))

    def _bind(self, body: Message) -> Message:
        return _boxes(self._begun.bind({site: bytes_of(body, site) for site in body.tensors}))

    def _confirm(self, body: Message) -> Message:
        keys = self._begun.confirm({site: bytes_of(body, site) for site in body.tensors})
        if self._lattice is not None:
            LatticeKey.from_bytes(keys.secret, self._lattice)  # a key that is none is refused now
        self.keep(RUN_KEYS, keys.to_bytes())
        self._keys, self._handshake, self._sealer = keys, None, None
        return Message({"run": keys.run_id.hex()})

    def _new_secret(self) -> bytes:
        return b"" if self._lattice is None else LatticeKey.new(self._lattice).to_bytes()

    @property
    def _begun(self) -> Handshake:
        if self._handshake is None:
            raise SiteError("this site was not told hello: the coordinator starts the agreement on keys again")
        return self._handshake


def frame_claim(run: bytes, round_index: int, attempt: int, part: int, site: str, frame: bytes) -> bytes:
    """Return what a site signs of a frame: where it belongs, and its digest."""
    place = f"wardround frame 1\x1f{run.hex()}\x1f{round_index}\x1f{attempt}\x1f{part}\x1f{site}\x1f"
    return place.encode() + hashlib.sha256(frame).digest()


def _boxes(boxes: dict[str, bytes]) -> Message:
    return Message({}, {peer: tensor_of(box) for peer, box in boxes.items()})
