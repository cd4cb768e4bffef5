"""Who the sites of a run are, as the coordinator learned it: it checks signatures, and holds no secret."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from wardround.core.codec import Message
from wardround.errors import RunError, WireError
from wardround.fabric.base import Body, Fabric
from wardround.protect.handshake_messages import NONCE_BYTES, Hello
from wardround.protect.identity import PublicIdentity
from wardround.rounds.keyring import frame_claim
from wardround.rounds.wire import bytes_of, tensor_of


@dataclass(frozen=True)
class Roster:
    """The sites that agreed on keys.

    Attributes:
        run: 32 bytes that name the run.
        identities: site -> its public keys.
    """

    run: bytes
    identities: Mapping[str, PublicIdentity]

    def check_frame(self, site: str, round_index: int, attempt: int, part: int, frame: bytes, message: Message) -> None:
        """Check who made a frame, before anything else looks at it.

        Raises:
            WireError: `site` did not sign this frame for this place in the run.
        """
        claim = frame_claim(self.run, round_index, attempt, part, site, frame)
        if site not in self.identities or not self.identities[site].verify(claim, bytes_of(message, "signature")):
            raise WireError(f"the frame of part {part} does not carry the signature of site {site}")

    def check_list(self, site: str, claim: bytes, signature: bytes) -> None:
        """Check a survivor's signature before others are shown it: a wrong one would keep them all from revealing.

        Args:
            site: the survivor.
            claim: outcome of `survivors_claim`.
            signature: what it sent.

        Raises:
            WireError: `site` did not sign this list.
        """
        if site not in self.identities or not self.identities[site].verify(claim, signature):
            raise WireError(f"site {site} did not sign the list of survivors")


def introduce(fabric: Fabric, known_run: str, identities: Mapping[str, bytes], timeout_s: float | None) -> Roster:
    """Let the sites agree on keys, or go on with those that they have.

    Args:
        fabric: carries the calls.
        known_run: the run that the coordinator's journal knows, in hex; empty before the first agreement.
        identities: site -> public keys that belong to that run.
        timeout_s: for each call.

    Raises:
        RunError: a site refused; the sentence is its own.
    """
    sites = fabric.sites()
    held = {str(message.fields.get("run")) for message in _asked(fabric, "run", Message(), timeout_s).values()}
    if known_run and held == {known_run} and set(identities) == set(sites):
        return Roster(bytes.fromhex(known_run), {s: PublicIdentity.from_bytes(key) for s, key in identities.items()})
    nonce = Message({}, {"nonce": tensor_of(secrets.token_bytes(NONCE_BYTES))})
    said = _asked(fabric, "hello", nonce, timeout_s)
    hellos = {site: _blob(site, message, "hello") for site, message in said.items()}
    everyone = Message({}, {site: tensor_of(hello) for site, hello in hellos.items()})
    introductions = _asked(fabric, "meet", everyone, timeout_s)
    confirmations = _asked(fabric, "bind", _delivered(sites, introductions), timeout_s)
    runs = _asked(fabric, "confirm", _delivered(sites, confirmations), timeout_s)
    agreed = {str(message.fields.get("run")) for message in runs.values()}
    if len(agreed) != 1:
        raise RunError("the sites agreed on keys of different runs: start again with --resume")
    return Roster(
        bytes.fromhex(agreed.pop()), {site: Hello.from_bytes(site, hello).identity for site, hello in hellos.items()}
    )


def _asked(fabric: Fabric, op: str, body: Body, timeout_s: float | None) -> dict[str, Message]:
    said = {}
    for answer in fabric.gather(fabric.sites(), op, body, timeout_s):
        if answer.message is None:
            raise RunError(f"site {answer.site} could not agree on keys: {answer.failure}")
        said[answer.site] = answer.message
    return said


def _delivered(sites: tuple[str, ...], said: Mapping[str, Message]) -> dict[str, Message]:
    """Turn what every site says to its peers into what every site hears from them."""
    return {
        site: Message(
            {}, {sender: message.tensors[site] for sender, message in said.items() if site in message.tensors}
        )
        for site in sites
    }


def _blob(site: str, message: Message, name: str) -> bytes:
    try:
        return bytes_of(message, name)
    except WireError as error:
        raise RunError(f"site {site} could not agree on keys: {error}") from None
