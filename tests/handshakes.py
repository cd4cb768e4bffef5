"""Sites that shake hands through a coordinator, honest or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from wardround.protect.handshake import Handshake
from wardround.protect.identity import Identity
from wardround.protect.run_keys import RunKeys
from wardround.protect.trust import Trust

NAMES = ("east", "north", "südwest")
NONCE = bytes(range(16))
PLAN = "ab" * 32
SECRET = b"the key of the lattice" * 9

Tamper = Callable[[str, str, bytes], bytes | None]
"""(sender, receiver, message) -> what arrives instead; ``None`` is lost."""


def as_sent(sender: str, receiver: str, message: bytes) -> bytes:
    """Carry a message faithfully."""
    return message


@dataclass
class Consortium:
    """Sites with identities that know one another; every run of it has fresh handshakes."""

    names: Sequence[str] = NAMES
    identities: dict[str, Identity] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.identities = {name: self.identities.get(name) or Identity.new() for name in self.names}

    def trust(self, name: str, plan: str = PLAN) -> Trust:
        """Return what `name` trusts: the others and one plan."""
        peers = {other: key.public.fingerprint for other, key in self.identities.items() if other != name}
        return Trust(name, (plan,), peers)

    def begin(self, nonce: bytes = NONCE, plan: str = PLAN) -> dict[str, Handshake]:
        """Begin a handshake at every site."""
        return {
            name: Handshake(name, key, self.trust(name, plan), nonce, plan) for name, key in self.identities.items()
        }

    def shake(self, **tampered: Tamper) -> dict[str, RunKeys]:
        """Run a whole handshake; `hello`, `introduction` and `confirmation` say what becomes of such messages."""
        return shake(self.begin(), **tampered)


def shake(
    sites: dict[str, Handshake],
    hello: Tamper = as_sent,
    introduction: Tamper = as_sent,
    confirmation: Tamper = as_sent,
    secret: bytes = SECRET,
) -> dict[str, RunKeys]:
    """Carry the three kinds of messages between `sites`."""
    hellos = {to: arriving(hello, {name: site.hello for name, site in sites.items()}, to) for to in sites}
    introductions = {name: site.meet(hellos[name], lambda: secret) for name, site in sites.items()}
    confirmations = {
        name: site.bind(arriving(introduction, addressed(introductions, name), name)) for name, site in sites.items()
    }
    return {
        name: site.confirm(arriving(confirmation, addressed(confirmations, name), name)) for name, site in sites.items()
    }


def addressed(sent: dict[str, dict[str, bytes]], receiver: str) -> dict[str, bytes]:
    """Return sender -> what it sent to `receiver`."""
    return {sender: messages[receiver] for sender, messages in sent.items() if receiver in messages}


def arriving(tamper: Tamper, messages: dict[str, bytes], receiver: str) -> dict[str, bytes]:
    """Return what of `messages` arrives at `receiver`."""
    arrived = {sender: tamper(sender, receiver, message) for sender, message in messages.items()}
    return {sender: message for sender, message in arrived.items() if message is not None}
