"""What a site must never forget of its attempts at a round, across restarts: in its own vault."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wardround.core.codec import canonical_json
from wardround.errors import SiteError
from wardround.protect.attempt import Attempt
from wardround.protect.commitment import Commitment
from wardround.protect.masks import Mask
from wardround.protect.octets import joined
from wardround.protect.offers import MaskSecrets, Received

EXAMPLES_BYTES = 8


@dataclass(frozen=True)
class Cargo:
    """What a site puts under its mask.

    Attributes:
        weights: site -> integer weight, as it was announced with the offers.
        start: digest of the state that the update is a difference to; the same at every honest site.
        update: digest of this site's update.
        examples: training examples behind it.
    """

    weights: Mapping[str, int]
    start: str
    update: str
    examples: int

    def of(self, site: str) -> str:
        """Return what of it must stay the same in all sums of a round that `site` is in."""
        return f"{self.weights[site]} {self.update}"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "weights": dict(self.weights),
            "start": self.start,
            "update": self.update,
            "examples": self.examples,
        }


def survivors_claim(message: bytes, weights: Mapping[str, int], start: str, examples: int) -> bytes:
    """Return what a survivor signs: whose updates are in the sum, what else all must agree on, and its own examples.

    Without the weights and the state, a coordinator could tell each site something else: where all but one train from a
    state on which their updates vanish, the sum is one site's update (Pasquini, Francati, Ateniese 2022,
    doi:10.1145/3548606.3560557). And weights that do not follow from everybody's examples could leave one update nearly
    alone in the sum; each survivor compares them with the others' signed numbers.

    Args:
        message: of the list of survivors.
        weights: site -> integer weight.
        start: digest of the state that all trained from.
        examples: the signer's number of training examples.
    """
    weighed = hashlib.sha256(canonical_json(dict(weights))).digest()
    return joined("survivors of", message, weighed, start.encode(), examples.to_bytes(EXAMPLES_BYTES, "big"))


def with_examples(examples: int, signature: bytes) -> bytes:
    """Write a survivor's signature with the number that it vouches for."""
    return examples.to_bytes(EXAMPLES_BYTES, "big") + signature


def read_examples(signed: bytes) -> tuple[int, bytes]:
    """Read what `with_examples` wrote."""
    return int.from_bytes(signed[:EXAMPLES_BYTES], "big"), signed[EXAMPLES_BYTES:]


@dataclass(frozen=True)
class Trial:
    """The latest attempt, as this site goes through it.

    Attributes:
        secrets: what this site made.
        boxes: peer -> the offer that it was sent.
        received: the peers' offers, once they are in.
        cargo: what is under the mask, from then on.
        mask: what this site adds to its words, from then on.
    """

    secrets: MaskSecrets
    boxes: Mapping[str, bytes]
    received: Received | None = None
    cargo: Cargo | None = None
    mask: Mask | None = None

    @property
    def attempt(self) -> Attempt:
        """What the masks are bound to."""
        return self.secrets.attempt

    @property
    def weights(self) -> Mapping[str, int]:
        """Site -> integer weight.

        Raises:
            SiteError: the peers' offers are not in.
        """
        if self.cargo is None:
            raise SiteError("nothing leaves this site before its peers' offers are in")
        return self.cargo.weights

    def mask_words(self, first_word: int, count: int, word_bits: int) -> np.ndarray:
        """Return a range of the mask.

        Raises:
            SiteError: the peers' offers are not in.
        """
        if self.mask is None:
            raise SiteError("nothing leaves this site before its peers' offers are in")
        return self.mask.words(first_word, count, word_bits)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, for the vault."""
        return {
            "secrets": self.secrets.to_bytes().hex(),
            "boxes": {peer: box.hex() for peer, box in self.boxes.items()},
            "received": self.received.to_bytes().hex() if self.received else "",
            "cargo": self.cargo.to_json() if self.cargo else {},
        }

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Trial:
        """Read what `to_json` returned."""
        trial = cls(
            MaskSecrets.from_bytes(bytes.fromhex(held["secrets"])),
            {peer: bytes.fromhex(box) for peer, box in held["boxes"].items()},
        )
        received = bytes.fromhex(held["received"])
        return trial.accepting(Received.from_bytes(received), Cargo(**held["cargo"])) if received else trial

    def accepting(self, received: Received, cargo: Cargo) -> Trial:
        """Return the trial with its peers' offers in."""
        return replace(self, received=received, cargo=cargo, mask=self.secrets.mask(received))


@dataclass(frozen=True)
class Past:
    """One round, as far as this site went in it.

    Attributes:
        trial: the latest attempt; ``None`` once the site went on to another round.
        commitment: what the site signed and released.
        pinned: its weight and update when it first signed: later sums of the round have the same, or their difference
            would tell of this site alone.
    """

    trial: Trial | None = None
    commitment: Commitment | None = None
    pinned: str = ""

    @property
    def opened(self) -> tuple[str, ...] | None:
        """The first list that this site released its shares for."""
        lists = self.commitment.signed if self.commitment is not None else ()
        return next((one.listed.survivors for one in lists if one.released), None)

    @property
    def matters(self) -> bool:
        """Whether an update left this site in this round."""
        return bool(self.pinned) or (self.trial is not None and self.trial.received is not None)

    def to_bytes(self) -> bytes:
        """Write it for the vault."""
        held = {
            "trial": self.trial.to_json() if self.trial else {},
            "commitment": self.commitment.to_bytes().hex() if self.commitment else "",
            "pinned": self.pinned,
        }
        return canonical_json(held)

    @classmethod
    def from_bytes(cls, data: bytes) -> Past:
        """Read what `to_bytes` wrote.

        Raises:
            SiteError: it is something else.
            WireError: so is a part of it.
        """
        try:
            held = json.loads(data)
            commitment = bytes.fromhex(held["commitment"])
            return cls(
                Trial.from_json(held["trial"]) if held["trial"] else None,
                Commitment.from_bytes(commitment) if commitment else None,
                str(held["pinned"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise SiteError(f"what this site kept of its attempts cannot be read: {error}") from None
