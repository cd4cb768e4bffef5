"""A site's part in a round in which nobody reads its update: offer, upload, agree, reveal."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from wardround.core.codec import Message
from wardround.errors import SiteError, WireError
from wardround.protect.scheme import Scheme
from wardround.rounds.digests import frames_digest
from wardround.rounds.groups import Company
from wardround.rounds.keyring import Keyring, frame_claim
from wardround.rounds.logbook.contributions import Contribution, Contributions
from wardround.rounds.past import Cargo, Trial
from wardround.rounds.pending import Pending, PendingUpdates
from wardround.rounds.shelf import FrameShelf, Place
from wardround.rounds.trials import Behind, Trials
from wardround.rounds.wire import bytes_of, names_of, number_of, tensor_of, weights_in


class Sealing:
    """Sends a site's update as frames; with masks, only after its peers' offers, and unmasked only by agreement.

    Attributes:
        operations: what the coordinator may call.
    """

    def __init__(
        self,
        site: str,
        scheme: Scheme,
        pending: PendingUpdates,
        shelf: FrameShelf,
        keyring: Keyring | None,
        trials: Trials | None,
        contributions: Contributions,
        company: Company | None = None,
    ) -> None:
        self._site = site
        self._scheme = scheme
        self._pending = pending
        self._shelf = shelf
        self._keyring = keyring
        self._trials = trials
        self._contributions = contributions
        self._company = company
        self._digests: dict[Place, bytes] = {}
        self._ahead: dict[Place, Future[bytes]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="wardround-seal")
        self.operations: dict[str, Callable[[Message], Message]] = {"upload": self._upload}
        if trials is not None:
            self.operations |= {"offer": self._offer, "agree": self._agree, "reveal": self._reveal}

    def _offer(self, body: Message) -> Message:
        round_index, number, cohort = number_of(body, "round"), number_of(body, "attempt"), names_of(body, "cohort")
        if self._company is not None:
            self._company.require(round_index, self._pending.read(round_index).cohort, cohort)
        trial = self._masked.offer(round_index, number, cohort, body.fields.get("whole") is True)
        if isinstance(trial, Behind):
            return Message({"past": trial.number, "listed": list(trial.opened)})
        listed = {"listed": list(self._masked.signed_for)}
        return Message(listed, {peer: tensor_of(box) for peer, box in trial.boxes.items()})

    def _upload(self, body: Message) -> Message:
        round_index, number = number_of(body, "round"), number_of(body, "attempt")
        part = number_of(body, "part")
        update = self._pending.read(round_index)
        values = update.values
        parts = self._scheme.parts(values.size)
        if part >= len(parts):
            raise WireError(f"part {part} is none of the {len(parts)} parts of an update")
        trial = None
        if self._trials is not None:
            cargo = Cargo(weights_in(body, self._scheme.weight_total), update.start, update.digest, update.examples)
            offers = {peer: bytes_of(body, peer) for peer in body.tensors}
            trial = self._trials.receive(round_index, number, cargo, offers)
        run = self._keyring.keys.run_id if self._keyring is not None else b""
        place = Place(run.hex(), round_index, number, part, update.digest)
        frame = self._frame(place, values, trial)
        self._note(place, frame, update, len(parts), trial)
        if part + 1 < len(parts):  # the next part is made while this one travels
            following = replace(place, part=part + 1)
            self._ahead = {following: self._pool.submit(self._made, following, values, trial)}
        tensors = {"frame": tensor_of(frame)}
        if self._keyring is not None:
            claim = frame_claim(run, round_index, number, part, self._site, frame)
            tensors["signature"] = tensor_of(self._keyring.sign(claim))
        return Message({}, tensors)

    def _note(self, place: Place, frame: bytes, update: Pending, num_parts: int, trial: Trial | None) -> None:
        """Remember what the ledger must hold of this update, before its last frame leaves."""
        others = {key: held for key, held in self._digests.items() if replace(key, part=place.part) == place}
        self._digests = {**others, place: hashlib.sha256(frame).digest()}
        if place.part + 1 < num_parts:
            return
        digests = [self._digest(replace(place, part=part)) for part in range(num_parts)]
        self._contributions.note(
            Contribution(
                place.round,
                place.attempt,
                update.broadcast,
                frames_digest(digests),
                self._scheme.upload_bytes(update.values.size),
                float(trial.weights[self._site]) if trial else None,
                str(update.said.get("use_root", "")),
                int(update.said.get("use_count", 0)),
            )
        )

    def _digest(self, place: Place) -> bytes:
        if place not in self._digests:
            frame = self._shelf.read(place)
            if frame is None:
                raise SiteError(f"part {place.part} of the update was never asked for, but a later one is")
            self._digests[place] = hashlib.sha256(frame).digest()
        return self._digests[place]

    def _frame(self, place: Place, values: np.ndarray, trial: Trial | None) -> bytes:
        # All frames are made by one thread: one that is asked for out of order is not made twice at the same time.
        ahead = self._ahead.pop(place, None) or self._pool.submit(self._made, place, values, trial)
        return ahead.result()

    def _made(self, place: Place, values: np.ndarray, trial: Trial | None) -> bytes:
        """Return the frame that was made before, or make it: the same update is never encrypted or masked twice."""
        frame = self._shelf.read(place)
        if frame is not None:
            return frame
        part = self._scheme.parts(values.size)[place.part]
        words = self._scheme.words(values[part], trial.weights[self._site] if trial else 1)
        if trial is not None:
            first, count = self._scheme.words_before(part), self._scheme.num_words(part)
            words = self._scheme.masked(words, trial.mask_words(first, count, self._scheme.word_bits))
        frame = self._scheme.seal(words, self._keyring.sealer if self._keyring else None)
        self._shelf.write(place, frame)
        return frame

    def _agree(self, body: Message) -> Message:
        round_index, number = number_of(body, "round"), number_of(body, "attempt")
        survivors = names_of(body, "survivors")
        signature = self._masked.agree(round_index, number, survivors)
        if self._company is not None:
            self._contributions.grouped(round_index, number, survivors)
        start = self._masked.start(round_index, number)
        return Message({"start": start}, {"signature": tensor_of(signature)})

    def _reveal(self, body: Message) -> Message:
        signatures = {site: bytes_of(body, site) for site in body.tensors}
        round_index, number, survivors = (
            number_of(body, "round"),
            number_of(body, "attempt"),
            names_of(body, "survivors"),
        )
        revealed = self._masked.reveal(round_index, number, survivors, signatures)
        return Message({}, {"reveal": tensor_of(revealed)})

    @property
    def _masked(self) -> Trials:
        if self._trials is None:
            raise SiteError("this plan has no masks")
        return self._trials
