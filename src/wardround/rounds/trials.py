"""A site's attempts at a round: what it makes, offers, accepts, signs and reveals, and what it never does twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from wardround.errors import SiteError, WireError
from wardround.protect.attempt import Attempt, SurvivorList, default_threshold
from wardround.protect.commitment import MAX_ATTEMPTS, Commitment
from wardround.protect.offers import MaskSecrets, Received
from wardround.protect.pipeline import Masks
from wardround.protect.quantise import follow_from
from wardround.protect.retry import groups, may_follow
from wardround.rounds.keyring import Keyring
from wardround.rounds.past import Cargo, Past, Trial, read_examples, survivors_claim, with_examples

PAST = "attempts"


@dataclass(frozen=True)
class Behind:
    """What a site answers to a coordinator that offers an attempt which it has left behind.

    Attributes:
        number: of the attempt that the site is in.
        opened: the sites of the first sum of the round that it helped to open; empty if there is none. Their sum may be
            formed again, in a later attempt.
    """

    number: int
    opened: tuple[str, ...]


class Trials:
    """Goes through attempts one after the other, and remembers across restarts what it must never do twice.

    What a site signed in a round binds it for good, also when the coordinator goes on to another round and comes back,
    or starts the run again with new keys: the coordinator holds frames of what was opened before.
    """

    def __init__(self, site: str, stage: Masks, keyring: Keyring, uniform: bool = False) -> None:
        """Prepare.

        Args:
            site: name of this site.
            stage: of the plan.
            keyring: the keys of the run, and the vault.
            uniform: whether all sites weigh the same, whatever their numbers of examples.
        """
        self._site = site
        self._uniform = uniform
        self._stage = stage
        self._keyring = keyring
        self._read: Past | None = None

    def offer(self, round_index: int, number: int, cohort: tuple[str, ...], whole: bool) -> Trial | Behind:
        """Begin an attempt, or find the one that was begun.

        Args:
            round_index: from 0.
            number: of the attempt in the round.
            cohort: the sites that are asked.
            whole: whether nobody may drop out, as in the groups of a voided round.

        Returns:
            The attempt; or where this site is, if it is in this or a later one of another kind.

        Raises:
            SiteError: the attempt would give away more than the sums of this round that were opened before.
            WireError: it is no attempt.
        """
        if whole and not self._stage.bisect:
            raise SiteError("this plan's sums are not bisected: its masks stage does not say bisect = true")
        attempt = Attempt(self._keyring.keys.run_id, round_index, number, cohort)
        threshold = len(cohort) if whole else default_threshold(len(cohort), self._stage.threshold)
        past = self._of_round(round_index)
        if past.trial is not None and (past.trial.attempt, past.trial.secrets.threshold) == (attempt, threshold):
            return past.trial
        held = past.commitment
        if held is not None and held.attempt.run == attempt.run and number <= held.attempt.number:
            return Behind(held.attempt.number, past.opened or ())
        commitment = self._following(past, attempt, threshold)
        secrets = MaskSecrets.new(attempt, self._site, threshold, self._keyring.keys)
        trial = Trial(secrets, secrets.offers(self._keyring.keys))
        self._leave_for(round_index)
        self._keep(Past(trial, commitment, past.pinned))
        return trial

    def receive(self, round_index: int, number: int, cargo: Cargo, offers: Mapping[str, bytes]) -> Trial:
        """Take the peers' offers of an attempt, and what is to be under its mask, once.

        Raises:
            SiteError: this is not the latest attempt, or something else was to be under its mask, or in the sum of this
                round.
            WireError: the offers are not one good one of each peer.
        """
        trial = self._latest(round_index, number)
        if trial.cargo is not None:
            if trial.cargo != cargo:
                raise SiteError(
                    f"other weights were announced for attempt {number} of round {round_index}, or another update made"
                )
            return trial
        if set(cargo.weights) != set(trial.attempt.cohort):
            raise WireError("the weights are not those of the attempt's cohort")
        if self._past.pinned not in ("", cargo.of(self._site)):
            raise SiteError(
                f"this site signed for a sum of round {round_index} with another weight or update, and both sums "
                "together would give this one away"
            )
        trial = trial.accepting(trial.secrets.accept(offers, self._keyring.keys), cargo)
        # Kept before anything leaves: the same mask must not hide something else after a restart.
        self._keep(replace(self._past, trial=trial))
        return trial

    def agree(self, round_index: int, number: int, survivors: tuple[str, ...]) -> bytes:
        """Sign the list of survivors, together with the weights and the state that the updates are from.

        Raises:
            SiteError: this site signed another list in this attempt, or it is not its latest one.
            WireError: it is no such list.
        """
        trial, received, cargo, commitment = self._standing(round_index, number)
        listed = SurvivorList(trial.attempt, trial.secrets.threshold, survivors)
        if not self.signed_for and self._past.opened is not None and survivors != trial.attempt.cohort:
            raise self._other_sum(round_index, self._past.opened)
        if not _is_group(commitment, survivors):
            self._refuse_few(survivors)

        def sign(message: bytes) -> bytes:
            return self._keyring.sign(survivors_claim(message, cargo.weights, cargo.start, cargo.examples))

        commitment, signature = commitment.sign(listed, received, sign)
        self._keep(Past(trial, commitment, cargo.of(self._site)))
        return with_examples(cargo.examples, signature)

    @property
    def signed_for(self) -> tuple[str, ...]:
        """The list that this site signed in its latest attempt; empty if it signed none."""
        commitment = self._past.commitment
        if commitment is None or not commitment.signed:
            return ()
        last = commitment.signed[-1].listed
        return last.survivors if last.attempt == commitment.attempt else ()

    def start(self, round_index: int, number: int) -> str:
        """Return the digest of the state that this site's update of an attempt is from.

        Raises:
            SiteError: it is not the latest attempt, or this site sent no update in it.
        """
        return self._standing(round_index, number)[2].start

    def reveal(
        self, round_index: int, number: int, survivors: tuple[str, ...], signatures: Mapping[str, bytes]
    ) -> bytes:
        """Release this site's shares for the list that every survivor signed.

        Raises:
            SiteError: this site did not sign that list.
            WireError: a signature is missing or wrong, or was made for other weights or another state; or the weights
                do not follow from the survivors' examples.
        """
        trial, received, cargo, commitment = self._standing(round_index, number)
        listed = SurvivorList(trial.attempt, trial.secrets.threshold, survivors)

        examples: dict[str, int] = {}

        def verify(site: str, signed: bytes, message: bytes) -> bool:
            examples[site], signature = read_examples(signed)
            claim = survivors_claim(message, cargo.weights, cargo.start, examples[site])
            return self._keyring.verify(site, claim, signature)

        commitment, revealed = commitment.release(listed, signatures, verify, received)
        self._check_weights(cargo.weights, examples)
        self._keep(replace(self._past, commitment=commitment))
        return revealed.to_bytes()

    def _check_weights(self, weights: Mapping[str, int], examples: Mapping[str, int]) -> None:
        counted = dict.fromkeys(examples, 1) if self._uniform else examples
        if not follow_from({site: weights[site] for site in counted}, counted):
            raise WireError("the announced weights do not follow from the survivors' numbers of training examples")

    def _following(self, past: Past, attempt: Attempt, threshold: int) -> Commitment:
        """Return the commitment that goes on to `attempt`.

        Of a round in which this site helped to open a sum, only that sum may follow, over the same sites and with the
        same weights and updates, or one of its groups. `may_follow` alone would do within one run; this is also for
        coordinators that start the run again, or go back to its opened sum.
        """
        held, opened, cohort = past.commitment, past.opened, attempt.cohort
        if opened is not None and cohort != opened and not (threshold == len(cohort) and cohort in groups(opened)):
            raise self._other_sum(attempt.round, opened)
        if held is None:
            return Commitment(self._site, attempt, threshold)
        if len(held.signed) >= MAX_ATTEMPTS:
            raise SiteError(f"this site signed {MAX_ATTEMPTS} lists in round {attempt.round}, no more")
        if cohort != opened:
            if held.attempt.run == attempt.run:
                return held.follow(attempt, threshold)
            may_follow(held.signed, attempt, threshold)
        return replace(held, attempt=attempt, threshold=threshold)

    def _refuse_few(self, sites: tuple[str, ...]) -> None:
        if len(sites) < self._stage.least_sites:
            raise SiteError(
                f"a sum over {len(sites)} sites hides too little: the plan asks for least_sites = "
                f"{self._stage.least_sites}"
            )

    @staticmethod
    def _other_sum(round_index: int, opened: tuple[str, ...]) -> SiteError:
        return SiteError(
            f"a sum of round {round_index} over {', '.join(opened)} was opened before, and one over other sites would "
            "give away the difference: only its halves by name, without drop-outs, may be opened after it"
        )

    def _standing(self, round_index: int, number: int) -> tuple[Trial, Received, Cargo, Commitment]:
        trial, commitment = self._latest(round_index, number), self._past.commitment
        if trial.received is None or trial.cargo is None or commitment is None:
            raise SiteError(f"this site sent no update in attempt {number} of round {round_index}")
        return trial, trial.received, trial.cargo, commitment

    def _latest(self, round_index: int, number: int) -> Trial:
        trial = self._past.trial
        place = (self._keyring.keys.run_id, round_index, number)
        if trial is None or (trial.attempt.run, trial.attempt.round, trial.attempt.number) != place:
            raise SiteError(f"attempt {number} of round {round_index} is not the latest that this site offered")
        return trial

    @property
    def _past(self) -> Past:
        if self._read is None:
            self._read = self._kept(PAST)
        return self._read

    def _of_round(self, round_index: int) -> Past:
        return self._past if self._round == round_index else self._kept(_name(round_index))

    @property
    def _round(self) -> int | None:
        return self._past.commitment.attempt.round if self._past.commitment is not None else None

    def _leave_for(self, round_index: int) -> None:
        """Put away what binds this site in the round it was in; the secrets of its attempt are forgotten."""
        if self._round not in (None, round_index) and self._past.matters:
            self._keyring.keep(_name(self._round), replace(self._past, trial=None).to_bytes())

    def _kept(self, name: str) -> Past:
        vault = self._keyring.vault
        return Past.from_bytes(vault.read(name)) if vault.holds(name) else Past()

    def _keep(self, past: Past) -> None:
        self._read = None
        self._keyring.keep(PAST, past.to_bytes())
        self._read = past


def _name(round_index: int | None) -> str:
    return f"{PAST}-{round_index:06d}"


def _is_group(commitment: Commitment, sites: tuple[str, ...]) -> bool:
    """Whether `sites` are a group of a list of this round that was opened."""
    return any(one.released and sites in groups(one.listed.survivors) for one in commitment.signed)
