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
from wardround.protect.run_keys import RunKeys
from wardround.rounds.keyring import Keyring

TRIAL, COMMITMENT, RELEASED = "trial", "commitment", "released"


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


class Trials:
    """Goes through attempts one after the other, and remembers across restarts what it must never do twice."""

    def __init__(self, site: str, threshold: int, keyring: Keyring) -> None:
        """Prepare.

        Args:
            site: name of this site.
            threshold: of the plan; 0 chooses one.
            keyring: the keys of the run, and the vault.
        """
        self._site = site
        self._threshold = threshold
        self._keyring = keyring
        self._trial: Trial | None = None

    def offer(self, round_index: int, number: int, cohort: tuple[str, ...]) -> Trial | None:
        """Begin an attempt, or find the one that was begun.

        Returns:
            The attempt; ``None`` if this site was in a later one, or in one of that number with another cohort.

        Raises:
            SiteError: the attempt would give away more than the sums of this round that were opened before.
            WireError: it is no attempt.
        """
        attempt = Attempt(self._keyring.keys.run_id, round_index, number, cohort)
        threshold = default_threshold(len(cohort), self._threshold)
        held, commitment = self._held(), self._commitment()
        if held is not None and held.secrets.attempt == attempt:
            return held
        if commitment is not None and commitment.attempt.run == attempt.run and commitment.attempt.round == round_index:
            if number <= commitment.attempt.number:
                return None
            commitment = commitment.follow(attempt, threshold)
        else:
            self._refuse_other_sums(round_index, cohort)
            commitment = Commitment(self._site, attempt, threshold)
        secrets = MaskSecrets.new(attempt, self._site, threshold, self._keys)
        trial = Trial(secrets, secrets.offers(self._keys))
        self._keep(COMMITMENT, commitment.to_bytes())
        self._remember(trial)
        return trial

    def receive(self, round_index: int, number: int, weights: Mapping[str, int], offers: Mapping[str, bytes]) -> Trial:
        """Take the peers' offers and the weights of an attempt, once.

        Raises:
            SiteError: this is not the latest attempt, or other weights were announced for it.
            WireError: the offers are not one good one of each peer.
        """
        trial = self._latest(round_index, number)
        if trial.received is None:
            if set(weights) != set(trial.secrets.attempt.cohort):
                raise WireError("the weights are not those of the attempt's cohort")
            received = trial.secrets.accept(offers, self._keys)
            trial = trial.accepting(received, dict(weights))
            self._remember(trial)
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
        self._refuse_other_sums(round_index, survivors, trial.secrets.attempt)
        listed = SurvivorList(trial.secrets.attempt, trial.secrets.threshold, survivors)
        commitment, signature = commitment.sign(listed, received, self._keyring.sign)
        self._keep(COMMITMENT, commitment.to_bytes())
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
        commitment, revealed = commitment.release(listed, signatures, self._verify, received)
        released = self._released()
        key = str(round_index)
        # The first list that was opened: later ones of the round are groups of it.
        released.setdefault(key, list(survivors))
        self._keep(RELEASED, canonical_json(released))
        self._keep(COMMITMENT, commitment.to_bytes())
        return revealed.to_bytes()

    def _refuse_other_sums(self, round_index: int, sites: tuple[str, ...], within: Attempt | None = None) -> None:
        """Refuse to be summed with other sites in a round of which a sum was opened, in this run or one before.

        Attempts that follow one another in a round are `protect.retry`'s to judge; this is for a coordinator that
        starts the round, or the run, again.
        """
        opened = self._released().get(str(round_index))
        if opened is None:
            return
        commitment = self._commitment()
        follows = within is not None and commitment is not None and bool(commitment.signed)
        if not follows and list(sites) != opened:
            raise SiteError(
                f"a sum of round {round_index} over {', '.join(opened)} was opened before, and one over other sites "
                "would give away the difference"
            )

    def _standing(self, round_index: int, number: int) -> tuple[Trial, Received, Commitment]:
        trial, commitment = self._latest(round_index, number), self._commitment()
        if trial.received is None or commitment is None:
            raise SiteError(f"this site sent no update in attempt {number} of round {round_index}")
        return trial, trial.received, commitment

    def _latest(self, round_index: int, number: int) -> Trial:
        trial = self._held()
        attempt = trial.secrets.attempt if trial is not None else None
        if trial is None or attempt is None or (attempt.round, attempt.number) != (round_index, number):
            raise SiteError(f"attempt {number} of round {round_index} is not the latest that this site offered")
        return trial

    def _verify(self, site: str, signature: bytes, message: bytes) -> bool:
        return self._keyring.verify(site, message, signature)

    @property
    def _keys(self) -> RunKeys:
        return self._keyring.keys

    def _held(self) -> Trial | None:
        if self._trial is None and self._keyring.vault.holds(TRIAL):
            self._trial = Trial.from_bytes(self._keyring.vault.read(TRIAL))
        if self._trial is not None and self._trial.secrets.attempt.run != self._keyring.keys.run_id:
            return None  # of a run before
        return self._trial

    def _commitment(self) -> Commitment | None:
        if not self._keyring.vault.holds(COMMITMENT):
            return None
        return Commitment.from_bytes(self._keyring.vault.read(COMMITMENT))

    def _released(self) -> dict[str, list[str]]:
        if not self._keyring.vault.holds(RELEASED):
            return {}
        held: dict[str, list[str]] = json.loads(self._keyring.vault.read(RELEASED))
        return held

    def _remember(self, trial: Trial) -> None:
        self._trial = trial
        self._keep(TRIAL, trial.to_bytes())

    def _keep(self, name: str, content: bytes) -> None:
        self._keyring.keep(name, content)
