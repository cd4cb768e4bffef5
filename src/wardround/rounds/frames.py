"""One round's sum of frames at the coordinator: attempts, lost sites, and the groups of a voided round."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from wardround.core.codec import Message
from wardround.errors import QuorumLost, WardroundError, WireError
from wardround.fabric.base import Answer, Body, Fabric
from wardround.protect.attempt import Attempt, SurvivorList, default_threshold
from wardround.protect.identity import digits
from wardround.protect.scheme import FrameSum, Scheme
from wardround.protect.unmask import Reveal, unmask
from wardround.rounds.digests import frames_digest
from wardround.rounds.past import read_examples, survivors_claim
from wardround.rounds.plan import Plan
from wardround.rounds.roster import Roster
from wardround.rounds.wire import bytes_of, names_of, number_of, tensor_of

MOST_ATTEMPTS = 32


class SitesLost(WardroundError):
    """Sites went away where the sum cannot go on without them: the next attempt is made by the rest."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{site}: {reason}" for site, reason in reasons.items()))
        self.reasons = reasons


class OpenedBefore(WardroundError):
    """A sum of this round was opened before, by a coordinator that was stopped before it used it: it is made again."""

    def __init__(self, sites: tuple[str, ...]) -> None:
        super().__init__(f"the sum over {', '.join(sites)} was opened before")
        self.sites = sites


@dataclass
class Offered:
    """What sites answered when they were asked for their offers.

    Attributes:
        boxes: sender -> receiver -> sealed offer.
        lost: site -> why it gave none.
        past: site -> number of the later attempt that it is in.
        listed: site -> the survivors that it signed for in this attempt, or that it opened a sum of in the round.
    """

    boxes: dict[str, dict[str, bytes]] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    past: dict[str, int] = field(default_factory=dict)
    listed: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def bound_to(self) -> tuple[str, ...]:
        """The list that most of its sites claim, and none of them denies by another one; empty if there is none."""
        for listed, claims in Counter(self.listed.values()).most_common():
            if 2 * claims > len(listed) and all(self.listed.get(site, listed) == listed for site in listed):
                return listed
        return ()


@dataclass
class GroupSum:
    """The sum of one group of sites, not opened.

    Attributes:
        sites: whose updates are in the sum.
        weight: sum of their weights.
        parts: one running sum a part.
        attempt: number of the attempt at it.
        digests: site -> digest of its update, as the ledger holds it.
    """

    sites: tuple[str, ...]
    weight: int
    parts: list[FrameSum]
    attempt: int = 0
    digests: Mapping[str, str] = field(default_factory=dict)

    def frames(self) -> Iterator[bytes]:
        """Yield the sum, part by part."""
        for part in self.parts:
            yield part.frame()


@dataclass
class Summation:
    """Forms the sums of one round.

    Attributes:
        plan: of the run.
        fabric: carries the calls.
        scheme: of the frames.
        roster: who the sites are; ``None`` where there are no keys.
        num_values: values in an update.
        round: index of the round.
        weights: site -> integer weight.
        timeout_s: for each call.
        failed: site -> why it is not in the sum.
        events: what went wrong on the way, in words.
        examples: site -> training examples, as it said when it joined.
    """

    plan: Plan
    fabric: Fabric
    scheme: Scheme
    roster: Roster | None
    num_values: int
    round: int
    weights: Mapping[str, int]
    timeout_s: float | None
    failed: dict[str, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    examples: Mapping[str, int] = field(default_factory=dict)
    _number: int = 0
    _whole: bool = False
    _frames: dict[str, list[bytes]] = field(default_factory=dict)

    def among(self, sites: Sequence[str]) -> Summation:
        """Return what forms the sum of a group that is dealt apart: with attempts of its own, and its own failures."""
        failed = {site: reason for site, reason in self.failed.items() if site in sites}
        return replace(self, failed=failed, _number=0, _whole=False, _frames={})

    def group(self, sites: Sequence[str], least: int = 1, whole: bool = False) -> GroupSum:
        """Sum the updates of `sites`, and of fewer when some are lost.

        Args:
            sites: who has an update, sorted.
            least: sites that the sum must have.
            whole: nobody may be lost: for the groups of a voided round; see `protect.retry`.

        Raises:
            QuorumLost: too few sites are left; nothing opens.
        """
        left = list(sites)
        self._whole = whole
        least = len(sites) if whole else least
        while len(left) >= least and self._number < MOST_ATTEMPTS:
            try:
                found = self._masked(left) if self.plan.pipeline.masks else self._plain(left)
            except SitesLost as lost:
                self.events.append(f"attempt {self._number} of round {self.round} was abandoned ({lost})")
                self.failed |= lost.reasons
                left = [site for site in left if site not in lost.reasons]
                self._number += 1
                continue
            except OpenedBefore as opened:
                self._leave_out(left, opened.sites)
                left = list(opened.sites)
                continue
            if len(found.sites) < least:
                left = list(found.sites)
                break
            self._number += 1
            return found
        raise QuorumLost(
            f"round {self.round} is left with {len(left)} of the {least} sites that its sum needs "
            f"({'; '.join(f'{site}: {reason}' for site, reason in self.failed.items())}): nothing was opened; mend the "
            "sites and go on with --resume"
        )

    def _plain(self, sites: Sequence[str]) -> GroupSum:
        """Sum frames that the coordinator weighs itself."""
        alive = list(sites)
        parts = [self._part(alive, index, {"attempt": 0}, masked=False) for index in range(self._num_parts)]
        return self._summed(alive, parts)

    def _masked(self, sites: Sequence[str]) -> GroupSum:
        """Sum frames whose masks cancel, and take off what is left of them."""
        threshold = self._threshold(sites)
        offered = self._offers(sites)
        offers, said = offered.boxes, {"attempt": self._number, "weights": self._weights(sites)}
        alive = list(offered.bound_to or sites)
        self._leave_out(sites, alive)
        parts = [self._part(alive, 0, said, masked=True, offers=offers)]
        parts += [self._part(alive, index, said, masked=True) for index in range(1, self._num_parts)]
        if len(alive) < threshold:
            raise QuorumLost(
                f"{len(alive)} of {len(sites)} sites sent their update in round {self.round}, the masks' threshold is "
                f"{threshold} ({'; '.join(f'{site}: {reason}' for site, reason in self.failed.items())}): nothing was "
                "opened; mend the sites and go on with --resume"
            )
        self._unmask(self._attempt(sites), threshold, alive, parts)
        return self._summed(alive, parts)

    def _leave_out(self, sites: Sequence[str], bound_to: Sequence[str]) -> None:
        out = [site for site in sites if site not in bound_to]
        self.failed |= dict.fromkeys(out, "the others signed for the sum without it before")

    def _offers(self, sites: Sequence[str]) -> Offered:
        """Collect each site's sealed offers.

        A site that was in a later attempt already, because this coordinator was started again, says in which: all go on
        behind it. One that says so twice, or of an attempt that cannot be, is left out. Where a sum was opened already,
        only the same may be opened again.

        Raises:
            SitesLost: sites gave no offers.
            OpenedBefore: only other sites' sum may be opened.
        """
        offered = self._asked_for_offers(sites)
        if offered.past:
            self._number = max(offered.past.values()) + 1
            again = () if self._whole else offered.bound_to
            if again and set(again) < set(sites):
                raise OpenedBefore(again)
            if not offered.lost:
                offered = self._asked_for_offers(sites)
                offered.lost |= dict.fromkeys(offered.past, "it claims to be in a later attempt")
        if offered.lost:
            raise SitesLost(offered.lost)
        return offered

    def _asked_for_offers(self, sites: Sequence[str]) -> Offered:
        said = {"round": self.round, "attempt": self._number, "cohort": list(sites), "whole": self._whole}
        offered = Offered()
        for answer in self._gather(sites, "offer", Message(said)):
            try:
                message = _message_of(answer)
                listed = names_of(message, "listed")
                if "past" in message.fields:
                    offered.past[answer.site] = number_of(message, "past", MOST_ATTEMPTS)
                else:
                    boxes = {peer: bytes_of(message, peer) for peer in sites if peer != answer.site}
                    offered.boxes[answer.site] = boxes
                # One that names itself alone, leaves itself out or names others than were asked binds nobody.
                if answer.site in listed and 1 < len(listed) and set(listed) <= set(sites):
                    offered.listed[answer.site] = listed
            except WireError as error:
                offered.lost[answer.site] = str(error)
        return offered

    def _part(
        self,
        alive: list[str],
        index: int,
        said: Mapping[str, object],
        masked: bool,
        offers: Mapping[str, Mapping[str, bytes]] | None = None,
    ) -> FrameSum:
        """Sum one part, dropping from `alive` whom it loses in the first part."""
        total = self.scheme.running_sum(self._parts[index])
        if index == 0:
            self._frames = {site: [] for site in alive}
        fields = {"round": self.round, "part": index, **said}
        body: Body = Message(fields)
        if offers is not None:
            body = {
                site: Message(fields, {sender: tensor_of(offers[sender][site]) for sender in offers if sender != site})
                for site in alive
            }
        lost = {}
        for answer in self._gather(list(alive), "upload", body):
            try:
                frame = self._frame_of(answer, index, int(str(said["attempt"])))
                total.add(frame, 1 if masked else self.weights[answer.site])
                self._frames[answer.site].append(hashlib.sha256(frame).digest())
            except WireError as error:
                lost[answer.site] = str(error)
        if lost and index:
            raise SitesLost(lost)  # they are in the parts before
        self.failed |= lost
        alive[:] = [site for site in alive if site not in lost]
        return total

    def _frame_of(self, answer: Answer, part: int, attempt: int) -> bytes:
        message = _message_of(answer)
        frame = bytes_of(message, "frame")
        if self.roster is not None:
            self.roster.check_frame(answer.site, self.round, attempt, part, frame, message)
        return frame

    def _unmask(self, attempt: Attempt, threshold: int, alive: Sequence[str], parts: Sequence[FrameSum]) -> None:
        survivors = SurvivorList(attempt, threshold, tuple(alive))
        said = {"round": self.round, "attempt": attempt.number, "survivors": list(alive)}
        signatures = self._signatures(survivors, Message(said))
        reveals = {}
        signed = Message(said, {site: tensor_of(signature) for site, signature in signatures.items()})
        for answer in self._gather(alive, "reveal", signed):
            try:
                reveals[answer.site] = Reveal.from_bytes(bytes_of(_message_of(answer), "reveal"))
            except WireError as error:
                self.events.append(f"site {answer.site} revealed nothing in round {self.round}: {error}")
        try:
            masks = unmask(survivors, reveals)
        except WireError as error:
            raise QuorumLost(f"round {self.round} does not open: {error}; go on with --resume") from None
        self.events += masks.doubts.values()
        for index, total in enumerate(parts):
            part = self._parts[index]
            first, count = self.scheme.words_before(part), self.scheme.num_words(part)
            total.subtract_plain(masks.words(first, count, self.scheme.word_bits))

    def _signatures(self, survivors: SurvivorList, body: Message) -> dict[str, bytes]:
        """Let every survivor sign the list; one that trained from another state than most is lost."""
        weights = self._weights(survivors.attempt.cohort)
        signatures, starts, lost = dict[str, bytes](), dict[str, str](), dict[str, str]()
        for answer in self._gather(survivors.survivors, "agree", body):
            try:
                message = _message_of(answer)
                start, signed = _start_of(message), bytes_of(message, "signature")
                if self.roster is not None:
                    examples, signature = read_examples(signed)
                    claim = survivors_claim(survivors.message(), weights, start, examples)
                    self.roster.check_list(answer.site, claim, signature)
                    self._check_examples(answer.site, examples)
                starts[answer.site], signatures[answer.site] = start, signed
            except WireError as error:
                lost[answer.site] = str(error)
        common = Counter(starts.values()).most_common(1)
        others = (site for site, start in starts.items() if start != common[0][0])
        lost |= dict.fromkeys(others, "it trained from another state than most sites")
        if lost:
            raise SitesLost(lost)
        return signatures

    def _check_examples(self, site: str, examples: int) -> None:
        # The weights follow from what it said when it joined; with other numbers no survivor would reveal.
        joined_with = self.examples.get(site, examples)
        if examples != joined_with:
            raise WireError(f"site {site} signs for {examples} training examples and joined with {joined_with}")

    def _weights(self, sites: Sequence[str]) -> dict[str, int]:
        return {site: self.weights[site] for site in sites}

    def _summed(self, alive: Sequence[str], parts: list[FrameSum]) -> GroupSum:
        digests = {site: frames_digest(self._frames[site]) for site in alive}
        number = self._number if self.plan.pipeline.masks else 0
        return GroupSum(tuple(alive), sum(self.weights[site] for site in alive), parts, number, digests)

    def _attempt(self, sites: Sequence[str]) -> Attempt:
        run = self.roster.run if self.roster else b""
        return Attempt(run, self.round, self._number, tuple(sites))

    def _threshold(self, sites: Sequence[str]) -> int:
        if self._whole:
            return len(sites)
        masks = self.plan.pipeline.masks
        wanted = masks.threshold if masks else 0
        if wanted > len(sites):
            raise QuorumLost(
                f"{len(sites)} sites are left in round {self.round}, the masks' threshold is {wanted}: nothing was "
                "opened; mend the sites and go on with --resume"
            )
        return default_threshold(len(sites), wanted)

    @property
    def _parts(self) -> list[slice]:
        return self.scheme.parts(self.num_values)

    @property
    def _num_parts(self) -> int:
        return len(self._parts)

    def _gather(self, sites: Sequence[str], op: str, body: Body) -> Iterator[Answer]:
        return self.fabric.gather(sites, op, body, self.timeout_s)


def _start_of(message: Message) -> str:
    start = message.fields.get("start")
    if not isinstance(start, str) or digits(start) != start:
        raise WireError("the answer names no state that the update is from")
    return start


def _message_of(answer: Answer) -> Message:
    if answer.message is None:
        raise WireError(answer.failure or "the site gave no answer")
    return answer.message
