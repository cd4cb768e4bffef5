"""In miniature what `experiments/sealed-sum-secrecy` measures: a sealed upload tells nothing but its length."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rigged
import tiny
from handshakes import Consortium
from rigged import Memory
from scipy import stats

from wardround.core.codec import Message
from wardround.protect.attempt import Attempt
from wardround.protect.lattice import LatticeKey, Sealer
from wardround.protect.lattice_parameters import SEED_BYTES
from wardround.protect.offers import MaskSecrets
from wardround.protect.packing import widen
from wardround.protect.scheme import Scheme
from wardround.rounds.coordinator import Coordinator

PARTS = slice(0, 8192)
SITE = "north"
UPLOADS = 160
PIPELINES = ("masked", "packed", "packed and masked")


class Sealed:
    """One site's uploads, each in a round of its own."""

    def __init__(self, pipeline: str) -> None:
        plan = tiny.plan(protect=tiny.PIPELINES[pipeline]).pipeline
        self.scheme = Scheme.of(plan, 64)
        self.masked = plan.masks is not None
        self.keys = Consortium().shake()
        self.sealer = None
        if self.scheme.lattice is not None:
            self.sealer = Sealer(self.scheme.lattice, LatticeKey.new(self.scheme.lattice))
        self.round = 0

    def words(self, values: np.ndarray) -> np.ndarray:
        return self.scheme.words(values, 1)

    def frame(self, values: np.ndarray) -> bytes:
        words = self.words(values)
        if self.masked:
            words = self.scheme.masked(words, self.mask(words.size))
        return self.scheme.seal(words, self.sealer)

    def mask(self, count: int) -> np.ndarray:
        cohort = tuple(sorted(self.keys))
        self.round += 1
        attempt = Attempt(bytes(32), self.round, 0, cohort)
        secrets = {site: MaskSecrets.new(attempt, site, 2, self.keys[site]) for site in cohort}
        offers = {site: one.offers(self.keys[site])[SITE] for site, one in secrets.items() if site != SITE}
        received = secrets[SITE].accept(offers, self.keys[SITE])
        return secrets[SITE].mask(received).words(0, count, self.scheme.word_bits)

    def numbers(self, frame: bytes) -> np.ndarray:
        """Return the numbers of a frame as shares of their modulus."""
        lattice, layout = self.scheme.lattice, self.scheme.layout
        if lattice is None:
            return widen(frame, layout.word_bytes) / layout.modulus
        chunks = np.frombuffer(frame, np.uint8).reshape(-1, lattice.upload_chunk_bytes)
        return widen(chunks[:, SEED_BYTES:].tobytes(), lattice.residue_bytes[0]) / lattice.data_primes[0]

    def opened(self, frame: bytes) -> np.ndarray:
        """Return what a single upload opens to with the key that the sites share."""
        if self.sealer is None:
            return widen(frame, self.scheme.layout.word_bytes)
        alone = self.scheme.running_sum(PARTS)
        alone.add(frame)
        return self.sealer.open(alone.frame(), 1)


def update(seed: int) -> np.ndarray:
    """Return integers like those of a quantised update."""
    return np.random.default_rng(seed).normal(0, 900, PARTS.stop).astype(np.int64)


@cache
def auc(pipeline: str) -> float:
    """Return how well one who knows both updates tells by a frame's numbers which of them is in it."""
    sealed, both = Sealed(pipeline), (update(0), update(1))
    known = [sealed.words(values) / sealed.scheme.layout.modulus for values in both]
    labels = np.arange(UPLOADS) % 2

    def likeness(numbers: np.ndarray) -> float:
        turn = 2 * math.pi
        return float(np.sum(np.cos(turn * (numbers - known[1])) - np.cos(turn * (numbers - known[0]))))

    scores = np.array([likeness(sealed.numbers(sealed.frame(both[label]))) for label in labels])
    greater = scores[labels == 1][:, None] > scores[labels == 0][None]
    return float(greater.mean())


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_nobody_can_tell_which_of_two_known_updates_was_sealed(pipeline: str) -> None:
    deviation = math.sqrt((UPLOADS + 1) / (3 * UPLOADS**2))  # of the AUC of scores that know nothing
    assert abs(auc(pipeline) - 0.5) < 5 * deviation


def test_in_the_clear_it_is_plain_to_see() -> None:
    """The positive control of the test above."""
    assert auc("quantised") == 1.0


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_same_update_gives_other_bytes_of_the_same_length(pipeline: str) -> None:
    sealed, values = Sealed(pipeline), update(0)
    left, right = (np.frombuffer(sealed.frame(values), np.uint8) for _ in range(2))
    assert np.mean(left == right) < 0.03  # one in 256, and one in 16 of the bytes that hold four bits
    largest = sealed.scheme.layout.largest
    contents = (np.zeros_like(values), np.full_like(values, largest), np.full_like(values, -largest), update(2))
    assert {len(sealed.frame(content)) for content in contents} == {left.size}


def p_values(words: np.ndarray, word_bits: int) -> tuple[float, float]:
    """Test that words are uniform, by their bits and by their size."""
    ones = np.array([np.count_nonzero(words >> np.uint64(bit) & np.uint64(1)) for bit in range(word_bits)])
    deviations = (ones - words.size / 2) ** 2 / (words.size / 4)
    by_size = stats.kstest(words / 2.0**word_bits, "uniform").pvalue
    return float(stats.chi2.sf(deviations.sum(), word_bits)), float(by_size)


@pytest.mark.parametrize(("pipeline", "uniform"), [("masked", True), ("packed and masked", True), ("packed", False)])
def test_a_single_upload_that_is_opened_is_noise_if_it_was_masked(pipeline: str, uniform: bool) -> None:
    sealed = Sealed(pipeline)
    found = p_values(sealed.opened(sealed.frame(update(0))), sealed.scheme.word_bits)
    assert min(found) > 1e-7 if uniform else max(found) < 1e-12


class Stopped(Exception):
    """Stands for SIGKILL."""


def stopping_after(uploads: int) -> Callable[[str, str, Message], Message]:
    left = [uploads]

    def tamper(op: str, site: str, answer: Message) -> Message:
        left[0] -= op == "upload"
        if not left[0]:
            raise Stopped
        return answer

    return tamper


@pytest.mark.parametrize("pipeline", ["packed", "packed and masked"])
def test_no_seed_repeats_over_rounds_and_resumes(tmp_path: Path, pipeline: str) -> None:
    plan: Any = tiny.plan(rounds=4, protect=tiny.PIPELINES[pipeline], training={"steps": 1})
    journal, asked = Memory(), list[rigged.Tampering]()
    for uploads in (2, 5, 4, -1):
        asked.append(rigged.Tampering(tiny.fabric(plan, tmp_path), stopping_after(uploads)))
        if uploads > 0:
            with pytest.raises(Stopped):
                Coordinator(plan, asked[-1], journal).run()
        else:
            Coordinator(plan, asked[-1], journal).run()
    wire = [frame for fabric in asked for op, who, frame in fabric.wire if op == "upload" and who != "coordinator"]
    frames = {rigged.tensors_of(frame)["frame"].tobytes() for frame in wire}
    assert len(wire) > len(frames) == 4 * len(tiny.NAMES)  # some were sent again, as they were
    step = Scheme.of(plan.pipeline, plan.weight_total).lattice.upload_chunk_bytes
    seeds = [frame[start : start + SEED_BYTES] for frame in frames for start in range(0, len(frame), step)]
    assert len(set(seeds)) == len(seeds) >= len(frames)
