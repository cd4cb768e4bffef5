"""A site's attempts at a round: what it made, offered, accepted, signed and revealed, in its own vault."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from wardround.core.codec import canonical_json
from wardround.errors import SiteError, WireError
from wardround.protect.attempt import Attempt, SurvivorList, default_threshold
from wardround.protect.commitment import Commitment
from wardround.protect.masks import Mask
from wardround.protect.offers import MaskSecrets, Received
from wardround.protect.pipeline import Masks
from wardround.protect.retry import groups
from wardround.rounds.keyring import Keyring

PAST = "attempts"


@dataclass(frozen=True)
class Trial:
    """The latest attempt, as this site goes through it.

    Attributes:
        secrets: what this site made.
        boxes: peer -> the offer that it was sent.
        received: the peers' offers, once they are in.
        weights: site -> integer weight, as it was announced with the offers.
        mask: what this site adds to its words, once the offers are in.
    """

    secrets: MaskSecrets
    boxes: Mapping[str, bytes]
    received: Received | None = None
    weights: Mapping[str, int] = field(default_factory=dict)
    mask: Mask | None = None

    @property
    def attempt(self) -> Attempt:
        """What the masks are bound to."""
        return self.secrets.attempt

    def mask_words(self, first_word: int, count: int, word_bits: int) -> np.ndarray:
        """Return a range of the mask.

        Raises:
            SiteError: the peers' offers are not in.
        """
        if self.mask is None:
            raise SiteError("nothing leaves this site before its peers' offers are in")
        return self.mask.words(first_word, count, word_bits)

    def to_bytes(self) -> bytes:
        """Write it for the vault."""
        held = {
            "secrets": self.secrets.to_bytes().hex(),
            "boxes": {peer: box.hex() for peer, box in self.boxes.items()},
            "received": self.received.to_bytes().hex() if self.received else "",
            "weights": dict(self.weights),
        }
        return canonical_json(held)

    @classmethod
    def from_bytes(cls, data: bytes) -> Trial:
        """Read what `to_bytes` wrote."""
        held = json.loads(data)
        trial = cls(
            MaskSecrets.from_bytes(bytes.fromhex(held["secrets"])),
            {peer: bytes.fromhex(box) for peer, box in held["boxes"].items()},
        )
        received = bytes.fromhex(held["received"])
        return trial.accepting(Received.from_bytes(received), held["weights"]) if received else trial

    def accepting(self, received: Received, weights: Mapping[str, int]) -> Trial:
        """Return the trial with its peers' offers in."""
        return replace(self, received=received, weights=weights, mask=self.secrets.mask(received))


@dataclass
class Past:
    """What a site must never forget of its attempts; one file in its vault.

    Attributes:
        trial: the latest attempt.
        commitment: what the site signed and released in that round.
        lists: lists of survivors that were opened, each once.
        opened: round -> place in `lists` of the first list that was opened.
    """

    trial: Trial | None = None
    commitment: Commitment | None = None
    lists: list[tuple[str, ...]] = field(default_factory=list)
    opened: dict[int, int] = field(default_factory=dict)

    def note_opened(self, round_index: int, survivors: tuple[str, ...]) -> None:
        """Remember the first list of a round that was opened: later ones of the round are groups of it."""
        if survivors not in self.lists:
            self.lists.append(survivors)
        self.opened.setdefault(round_index, self.lists.index(survivors))

    def opened_in(self, round_index: int) -> tuple[str, ...] | None:
        """Return the first list that was opened in a round."""
        place = self.opened.get(round_index)
        return None if place is None else self.lists[place]

    def to_bytes(self) -> bytes:
        """Write it for the vault."""
        held = {
            "trial": self.trial.to_bytes().decode() if self.trial else "",
            "commitment": self.commitment.to_bytes().hex() if self.commitment else "",
            "lists": [list(names) for names in self.lists],
            "opened": {str(round_index): place for round_index, place in self.opened.items()},
        }
        return canonical_json(held)

    @classmethod
    def from_bytes(cls, data: bytes) -> Past:
        """Read what `to_bytes` wrote."""
        held = json.loads(data)
        return cls(
            Trial.from_bytes(held["trial"].encode()) if held["trial"] else None,
            Commitment.from_bytes(bytes.fromhex(held["commitment"])) if held["commitment"] else None,
            [tuple(names) for names in held["lists"]],
            {int(round_index): place for round_index, place in held["opened"].items()},
        )


class Trials:
    """Goes through attempts one after the other, and remembers across restarts what it must never do twice."""

    def __init__(self, site: str, stage: Masks, keyring: Keyring) -> None:
        """Prepare.

        Args:
            site: name of this site.
            stage: of the plan.
            keyring: the keys of the run, and the vault.
        """
        self._site = site
        self._stage = stage
        self._keyring = keyring
        self._read: Past | None = None

    def offer(self, round_index: int, number: int, cohort: tuple[str, ...], whole: bool) -> Trial | int:
        """Begin an attempt, or find the one that was begun.

        Args:
            round_index: from 0.
            number: of the attempt in the round.
            cohort: the sites that are asked.
            whole: whether nobody may drop out, as in the groups of a voided round.

        Returns:
            The attempt; or the number of the one that this site is in, if that is not an earlier one.

        Raises:
            SiteError: the attempt would give away more than the sums of this round that were opened before.
            WireError: it is no attempt.
        """
        attempt = Attempt(self._keyring.keys.run_id, round_index, number, cohort)
        threshold = len(cohort) if whole else default_threshold(len(cohort), self._stage.threshold)
        past = self._past
        if past.trial is not None and (past.trial.attempt, past.trial.secrets.threshold) == (attempt, threshold):
            return past.trial
        commitment = past.commitment
        if commitment is not None and commitment.attempt.run == attempt.run and commitment.attempt.round == round_index:
            if number <= commitment.attempt.number:
                return commitment.attempt.number
            commitment = commitment.follow(attempt, threshold)
        else:
            self._refuse_other_sum(round_index, cohort)
            commitment = Commitment(self._site, attempt, threshold)
        secrets = MaskSecrets.new(attempt, self._site, threshold, self._keyring.keys)
        past.trial, past.commitment = Trial(secrets, secrets.offers(self._keyring.keys)), commitment
        self._keep()
        return past.trial

    def receive(self, round_index: int, number: int, weights: Mapping[str, int], offers: Mapping[str, bytes]) -> Trial:
        """Take the peers' offers and the weights of an attempt, once.

        They are written down when the site signs: one that is restarted before was lost in this attempt.

        Raises:
            SiteError: this is not the latest attempt, or other weights were announced for it.
            WireError: the offers are not one good one of each peer.
        """
        trial = self._latest(round_index, number)
        if trial.received is None:
            if set(weights) != set(trial.secrets.attempt.cohort):
                raise WireError("the weights are not those of the attempt's cohort")
            received = trial.secrets.accept(offers, self._keyring.keys)
            self._past.trial = trial = trial.accepting(received, dict(weights))
        elif dict(trial.weights) != dict(weights):
            raise SiteError(f"other weights were announced for attempt {number} of round {round_index}")
        return trial

    def agree(self, round_index: int, number: int, survivors: tuple[str, ...]) -> bytes:
        """Sign the list of survivors.

        Raises:
            SiteError: this site signed another list in this attempt, or it is not its latest one.
            WireError: it is no such list.
        """
        trial, received, commitment = self._standing(round_index, number)
        if not commitment.signed:
            self._refuse_other_sum(round_index, survivors)
        if not _is_group(commitment, survivors):
            self._refuse_few(survivors)
        listed = SurvivorList(trial.secrets.attempt, trial.secrets.threshold, survivors)
        self._past.commitment, signature = commitment.sign(listed, received, self._keyring.sign)
        self._keep()
        return signature

    def reveal(
        self, round_index: int, number: int, survivors: tuple[str, ...], signatures: Mapping[str, bytes]
    ) -> bytes:
        """Release this site's shares for the list that every survivor signed.

        Raises:
            SiteError: this site did not sign that list.
            WireError: a signature is missing or wrong.
        """
        trial, received, commitment = self._standing(round_index, number)
        listed = SurvivorList(trial.secrets.attempt, trial.secrets.threshold, survivors)
        self._past.commitment, revealed = commitment.release(listed, signatures, self._verify, received)
        self._past.note_opened(round_index, survivors)
        self._keep()
        return revealed.to_bytes()

    def _refuse_few(self, sites: tuple[str, ...]) -> None:
        if len(sites) < self._stage.least_sites:
            raise SiteError(
                f"a sum over {len(sites)} sites hides too little: the plan asks for least_sites = "
                f"{self._stage.least_sites}"
            )

    def _refuse_other_sum(self, round_index: int, sites: tuple[str, ...]) -> None:
        """Refuse to be summed with other sites in a round of which a sum was opened, in this run or one before.

        Attempts that follow one another in a round are `protect.retry`'s to judge; this is for a coordinator that
        starts the round, or the run, again.
        """
        opened = self._past.opened_in(round_index)
        if opened is not None and sites != opened:
            raise SiteError(
                f"a sum of round {round_index} over {', '.join(opened)} was opened before, and one over other sites "
                "would give away the difference"
            )

    def _standing(self, round_index: int, number: int) -> tuple[Trial, Received, Commitment]:
        trial, commitment = self._latest(round_index, number), self._past.commitment
        if trial.received is None or commitment is None:
            raise SiteError(f"this site sent no update in attempt {number} of round {round_index}")
        return trial, trial.received, commitment

    def _latest(self, round_index: int, number: int) -> Trial:
        trial = self._past.trial
        place = (self._keyring.keys.run_id, round_index, number)
        if trial is None or (trial.attempt.run, trial.attempt.round, trial.attempt.number) != place:
            raise SiteError(f"attempt {number} of round {round_index} is not the latest that this site offered")
        return trial

    def _verify(self, site: str, signature: bytes, message: bytes) -> bool:
        return self._keyring.verify(site, message, signature)

    @property
    def _past(self) -> Past:
        if self._read is None:
            held = self._keyring.vault.holds(PAST)
            self._read = Past.from_bytes(self._keyring.vault.read(PAST)) if held else Past()
        return self._read

    def _keep(self) -> None:
        self._keyring.keep(PAST, self._past.to_bytes())


def _is_group(commitment: Commitment, sites: tuple[str, ...]) -> bool:
    """Whether `sites` are a group of a list of this round that was opened."""
    return any(one.released and sites in groups(one.listed.survivors) for one in commitment.signed)
