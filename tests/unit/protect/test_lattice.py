"""The encrypted sum: exact at the worst noise the proof allows, and closed to malformed bytes.

Two oracles: decryption with the secret polynomial and big integers (see `lattice_oracle`), and SEAL's own arithmetic.
"""

from __future__ import annotations

import itertools
import math
import random
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lattice_oracle import N, phase, polynomial, residues_of

from wardround.errors import PlanError, RunError, WireError
from wardround.protect.lattice import LatticeKey, RunningSum, Sealer
from wardround.protect.lattice_parameters import (
    BFV,
    LARGEST_REAL,
    PRIME_SETS,
    LatticeParameters,
    choose,
    noise_capacity,
    published_ckks,
)
from wardround.protect.residues import narrow_residues, read_residues
from wardround.protect.seal_bytes import MemoryFile, ring


def at_capacity(primes: tuple[int, ...], plain_bits: int) -> LatticeParameters:
    """Parameters whose weight_total is all that the noise allows."""
    return LatticeParameters(BFV, N, primes, noise_capacity(math.prod(primes[:-1] or primes), plain_bits), plain_bits)


ONE_PRIME = choose(16, 64)[0]
TWO_PRIMES = choose(16, 1000)[0]
REAL = published_ckks(64)
SMALLEST, _, USUAL, LARGEST, THREE, FOUR = PRIME_SETS
TIGHT = [(SMALLEST, 32), (SMALLEST, 30), (USUAL, 44), (LARGEST, 48), (THREE, 56), (FOUR, 59)]

KEYS = {parameters: LatticeKey.new(parameters) for parameters in (ONE_PRIME, TWO_PRIMES, REAL)}
SEALERS = {parameters: Sealer(parameters, key) for parameters, key in KEYS.items()}


def words_of(parameters: LatticeParameters, chunks: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**parameters.message_bits, chunks * N, dtype=np.uint64)


def summed(parameters: LatticeParameters, uploads: list[tuple[bytes, int]], chunks: int) -> RunningSum:
    total = RunningSum(parameters, chunks)
    for frame, weight in uploads:
        total.add(frame, weight)
    return total


# --- noise -------------------------------------------------------------------------------------------------------


def noise(key: LatticeKey, frame: bytes, words: np.ndarray) -> list[Fraction]:
    """Return what is left of the phase without the words, centred around 0."""
    q, t = key.parameters.data_modulus, 2**key.parameters.message_bits
    found = []
    for value, word in zip(phase(key, frame), words.tolist(), strict=True):
        rest = (t * value - word * q) % (t * q)
        found.append(Fraction(rest - t * q if rest > t * q // 2 else rest, t))
    return found


def with_error(key: LatticeKey, sealer: Sealer, words: np.ndarray, error: int) -> bytes:
    """Encrypt one chunk of words, then move c0 so that the encryption's own error is `error` in every coefficient."""
    parameters = key.parameters
    q, t = parameters.data_modulus, 2**parameters.message_bits
    frame = sealer.encrypt(words)
    found = phase(key, summed(parameters, [(frame, 1)], 1).frame())
    scaled = [(2 * word * q + t) // (2 * t) for word in words.tolist()]  # round(m q / t), halves up
    c0 = polynomial(parameters, frame[64:])
    moved = [c + rounded + error - value for c, rounded, value in zip(c0, scaled, found, strict=True)]
    return frame[:64] + residues_of(parameters, [value % q for value in moved])


def word_with_rounding(parameters: LatticeParameters, up: bool) -> int:
    """Return the word m for which round(m q / t) - m q / t is 1/2 (up), or 1/t more than -1/2 (down)."""
    t = 2**parameters.message_bits
    remainder = t // 2 if up else t // 2 - 1
    return remainder * pow(parameters.data_modulus, -1, t) % t


# --- exactness ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [ONE_PRIME, TWO_PRIMES], ids=["one prime", "two primes"])
def test_fresh_noise_is_within_the_bound_and_both_decryptions_agree(parameters: LatticeParameters) -> None:
    key, sealer, words = KEYS[parameters], SEALERS[parameters], words_of(parameters, 1)
    frame = summed(parameters, [(sealer.encrypt(words), 1)], 1).frame()
    q, t = parameters.data_modulus, 2**parameters.message_bits
    opened = [(2 * t * value + q) // (2 * q) % t for value in phase(key, frame)]
    assert opened == sealer.open(frame, 1).tolist() == words.tolist()
    found = noise(key, frame, words)
    assert max(abs(value) for value in found) <= Fraction(43, 2)
    deviation = math.sqrt(sum(value**2 for value in found) / N)
    assert 3.0 < deviation < 3.5  # binomial: sqrt(42 / 4), and a little for rounding


@given(st.sampled_from([(16, 64), (8, 8), (16, 1000), (32, 2**20), (4, 1), (12, 64)]), st.integers(0, 2**32))
@settings(max_examples=25)
def test_a_sum_equals_that_of_plain_integers(size: tuple[int, int], seed: int) -> None:
    parameters, layout = choose(*size)
    rng = np.random.default_rng(seed)
    sealer = Sealer(parameters, LatticeKey.new(parameters))
    count = int(rng.integers(1, 2 * layout.values_per_chunk))
    chunks = layout.num_chunks(count)
    cuts = np.unique([0, *rng.integers(0, layout.weight_total, 3), layout.weight_total])
    expected, total = np.zeros(count, object), RunningSum(parameters, chunks)
    for weight in np.diff(cuts).tolist():
        values = rng.integers(-layout.largest, layout.largest + 1, count)
        values[rng.random(count) < 0.5] = rng.choice([-layout.largest, layout.largest])
        total.add(sealer.encrypt(layout.pack(values)), weight)
        expected += values.astype(object) * weight
    assert total.total_weight == layout.weight_total
    opened = layout.unpack_sum(sealer.open(total.frame(), chunks), total.total_weight, count)
    assert opened.tolist() == expected.tolist()


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
@pytest.mark.parametrize(("primes", "plain_bits"), TIGHT)
def test_the_worst_noise_at_the_largest_weight_still_opens_right(
    primes: tuple[int, ...], plain_bits: int, up: bool
) -> None:
    parameters = at_capacity(primes, plain_bits)
    key, t, most = LatticeKey.new(parameters), 2**plain_bits, parameters.weight_total
    sealer, sign = Sealer(parameters, key), 1 if up else -1
    words = np.full(N, word_with_rounding(parameters, up), np.uint64)
    masks = np.full(N, word_with_rounding(parameters, not up), np.uint64)
    total = summed(parameters, [(with_error(key, sealer, words, sign * 21), most)], 1)
    for _ in range(min(most, 100)):
        total.subtract_plain(masks)
    expected = (most * words.astype(object) - min(most, 100) * masks.astype(object)) % t
    frame = total.frame()
    # The noise is as bad as the proof says, up to the part of 1/2 that cannot be reached in the other direction.
    reached = noise(key, frame, expected)
    claimed = Fraction(43 * most + min(most, 100), 2)
    assert min(sign * value for value in reached) >= claimed - Fraction(2 * most, t)
    assert max(sign * value for value in reached) <= claimed
    assert sealer.open(frame, 1).tolist() == expected.tolist()


@pytest.mark.parametrize(("primes", "plain_bits"), TIGHT)
def test_the_bound_is_not_vacuous(primes: tuple[int, ...], plain_bits: int) -> None:
    parameters = at_capacity(primes, plain_bits)
    key, most = LatticeKey.new(parameters), parameters.weight_total
    sealer = Sealer(parameters, key)
    words = np.full(N, word_with_rounding(parameters, True), np.uint64)
    limit = Fraction(parameters.data_modulus, 2 ** (plain_bits + 1))
    error = math.ceil(limit / most)  # times most, with the half: just past the limit
    assert error <= 22 * (most + 1) / most + 1  # little more than the 21 that SEAL draws
    total = summed(parameters, [(with_error(key, sealer, words, error), most)], 1)
    opened = sealer.open(total.frame(), 1)
    assert not np.any(opened == words * np.uint64(most) % np.uint64(2**plain_bits))


@pytest.mark.parametrize(("primes", "plain_bits"), TIGHT)
def test_opening_fails_exactly_where_the_proof_says(primes: tuple[int, ...], plain_bits: int) -> None:
    parameters = at_capacity(primes, plain_bits)
    key = LatticeKey.new(parameters)
    sealer, words = Sealer(parameters, key), np.zeros(N, np.uint64)
    limit = parameters.data_modulus // 2 ** (plain_bits + 1)
    slack = 1 + limit // 2**58
    for sign in (1, -1):
        within = summed(parameters, [(with_error(key, sealer, words, sign * (limit - slack)), 1)], 1)
        assert not sealer.open(within.frame(), 1).any()
        beyond = summed(parameters, [(with_error(key, sealer, words, sign * (limit + slack)), 1)], 1)
        assert sealer.open(beyond.frame(), 1).all()


@pytest.mark.parametrize("parameters", [ONE_PRIME, TWO_PRIMES], ids=["one prime", "two primes"])
def test_weights_beyond_the_total_are_refused_and_leave_the_sum(parameters: LatticeParameters) -> None:
    sealer, words = SEALERS[parameters], words_of(parameters, 1)
    frame = sealer.encrypt(words)
    total = summed(parameters, [(frame, parameters.weight_total - 1)], 1)
    before = total.frame()
    for weight in (2, -1, parameters.weight_total):
        with pytest.raises(PlanError, match="weight_total"):
            total.add(frame, weight)
    assert total.frame() == before
    total.add(frame)
    with pytest.raises(PlanError, match="weight_total"):
        total.add(frame)
    t = 2**parameters.message_bits
    expected = [value * parameters.weight_total % t for value in words.tolist()]
    assert sealer.open(total.frame(), 1).tolist() == expected


def test_weight_0_leaves_an_upload_out_but_checks_it() -> None:
    sealer = SEALERS[ONE_PRIME]
    frame = sealer.encrypt(words_of(ONE_PRIME, 1, 1))
    total = summed(ONE_PRIME, [(frame, 3)], 1)
    before = total.frame()
    total.add(sealer.encrypt(words_of(ONE_PRIME, 1, 2)), 0)
    assert (total.frame(), total.total_weight) == (before, 3)
    with pytest.raises(WireError):
        total.add(frame[:-1], 0)


@given(st.integers(1, 8), st.integers(0, 2**32))
@settings(max_examples=15)
def test_masks_under_the_encryption_come_off_exactly(sites: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parameters, layout = choose(8, 8)
    sealer = Sealer(parameters, LatticeKey.new(parameters))
    total, expected = RunningSum(parameters, 1), np.zeros(5000, np.int64)
    masks = rng.integers(0, layout.modulus, (sites, N), dtype=np.uint64)
    for mask in masks:
        values = rng.integers(-layout.largest, layout.largest + 1, 5000)
        total.add(sealer.encrypt(layout.add_mod(layout.pack(values), mask)))
        expected += values
    with pytest.raises(WireError):
        layout.unpack_sum(sealer.open(total.frame(), 1), sites, 5000)
    for mask in masks:
        total.subtract_plain(mask)
    opened = layout.unpack_sum(sealer.open(total.frame(), 1), sites, 5000)
    assert opened.tolist() == expected.tolist()


def test_more_subtractions_than_the_proof_counts_are_refused() -> None:
    parameters = choose(8, 8)[0]
    frame = Sealer(parameters, LatticeKey.new(parameters)).encrypt(words_of(parameters, 1))
    total, mask = summed(parameters, [(frame, 1)], 1), words_of(parameters, 1, 1)
    for _ in range(8):
        total.subtract_plain(mask)
    with pytest.raises(PlanError, match="add the masks first"):
        total.subtract_plain(mask)


# --- against SEAL ------------------------------------------------------------------------------------------------


def by_seal(parameters: LatticeParameters, uploads: list[tuple[bytes, int]], masks: list[np.ndarray]) -> bytes:
    """Add whole ciphertexts of one chunk in SEAL, doubling for weights, and take masks off there."""
    arithmetic, total = ring(parameters), None
    with MemoryFile() as file:
        for frame, weight in uploads:
            residues = read_residues(summed(parameters, [(frame, 1)], 1).frame(), parameters, range(1), 2, 0)
            times = arithmetic._doubled(arithmetic.load_full(file, residues), weight)
            if total is None:
                total = times
            else:
                arithmetic.evaluator.add_inplace(total, times)
        for mask in masks:
            arithmetic.evaluator.sub_plain_inplace(total, arithmetic.load_plain(file, mask))
        found = arithmetic.read_full(file, total).reshape(2, -1)
    return b"".join(piece for row in found for piece in narrow_residues(row, parameters))


@given(st.sampled_from([*TIGHT, (SMALLEST, 3), (FOUR, 2), (LARGEST, 54)]), st.data())
@settings(max_examples=40)
def test_a_sum_is_the_one_that_seal_would_make(size: tuple[tuple[int, ...], int], data: st.DataObject) -> None:
    parameters = at_capacity(*size)
    sealer, most = Sealer(parameters, LatticeKey.new(parameters)), parameters.weight_total
    weights = [data.draw(st.integers(1, most))]
    if most > weights[0]:
        weights.append(data.draw(st.integers(1, most - weights[0])))
    uploads = [(sealer.encrypt(words_of(parameters, 1, seed)), weight) for seed, weight in enumerate(weights)]
    masks = [words_of(parameters, 1, 10 + seed) for seed in range(data.draw(st.integers(0, min(2, most))))]
    total = summed(parameters, uploads, 1)
    for mask in masks:
        total.subtract_plain(mask)
    assert total.frame() == by_seal(parameters, uploads, masks)


def test_a_ckks_sum_is_the_one_that_seal_would_make() -> None:
    rng = np.random.default_rng(0)
    uploads = [(SEALERS[REAL].encrypt(rng.normal(size=4096)), weight) for weight in (1, 2, 19, 42)]
    assert summed(REAL, uploads, 1).frame() == by_seal(REAL, uploads, [])
    heavy = published_ckks(2**20)
    uploads = [
        (Sealer(heavy, LatticeKey.new(heavy)).encrypt(rng.normal(size=4096)), weight) for weight in (3, 2**20 - 3)
    ]
    assert summed(heavy, uploads, 1).frame() == by_seal(heavy, uploads, [])


def test_a_sum_goes_on_after_its_frame_was_taken() -> None:
    frames = [SEALERS[ONE_PRIME].encrypt(words_of(ONE_PRIME, 2, seed)) for seed in range(3)]
    total = summed(ONE_PRIME, [(frames[0], 3), (frames[1], 60)], 2)
    assert total.frame() == total.frame()
    total.add(frames[2])
    total.subtract_plain(words_of(ONE_PRIME, 2, 3))
    again = summed(ONE_PRIME, [(frames[2], 1), (frames[1], 60), (frames[0], 3)], 2)
    again.subtract_plain(words_of(ONE_PRIME, 2, 3))
    assert total.frame() == again.frame()


def test_sums_under_one_prime_open_without_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> Any:
        raise AssertionError("SEAL was asked")

    frames = {
        parameters: summed(parameters, [(SEALERS[parameters].encrypt(words_of(parameters, 20)), 1)], 20).frame()
        for parameters in (ONE_PRIME, TWO_PRIMES)
    }
    monkeypatch.setattr(MemoryFile, "write", refused)
    assert np.array_equal(SEALERS[ONE_PRIME].open(frames[ONE_PRIME], 20), words_of(ONE_PRIME, 20))
    with pytest.raises(AssertionError, match="SEAL was asked"):
        SEALERS[TWO_PRIMES].open(frames[TWO_PRIMES], 20)


# --- secrecy -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [ONE_PRIME, TWO_PRIMES, REAL], ids=["one prime", "two primes", "ckks"])
def test_the_same_update_twice_gives_other_bytes_and_other_seeds(parameters: LatticeParameters) -> None:
    values = np.zeros(3 * parameters.values_per_chunk, np.uint64 if parameters.scheme == BFV else np.float64)
    frames = [SEALERS[parameters].encrypt(values) for _ in range(4)]
    size = parameters.upload_chunk_bytes
    chunks = [frame[start : start + size] for frame in frames for start in range(0, len(frame), size)]
    assert len({chunk[:64] for chunk in chunks}) == len({chunk[64:] for chunk in chunks}) == 12


@given(st.sampled_from([0, 1, 2**43, 2**44 - 1]), st.integers(1, 3))
@settings(max_examples=12)
def test_frame_length_is_independent_of_content(word: int, chunks: int) -> None:
    frame = SEALERS[ONE_PRIME].encrypt(np.full(chunks * N, word, np.uint64))
    assert len(frame) == chunks * ONE_PRIME.upload_chunk_bytes
    total = summed(ONE_PRIME, [(frame, 5)], chunks)
    assert len(total.frame()) == chunks * ONE_PRIME.sum_chunk_bytes
    assert SEALERS[ONE_PRIME].open(total.frame(), chunks).tolist() == [word * 5 % 2**44] * (chunks * N)


def test_one_sealer_serves_two_threads() -> None:
    updates = [words_of(ONE_PRIME, 20, seed) for seed in range(4)]
    with ThreadPoolExecutor(2) as pool:
        frames = list(pool.map(SEALERS[ONE_PRIME].encrypt, updates))
        sums = list(pool.map(lambda frame: summed(ONE_PRIME, [(frame, 1)], 20).frame(), frames))
        opened = list(pool.map(lambda frame: SEALERS[ONE_PRIME].open(frame, 20), sums))
    assert all(np.array_equal(found, update) for found, update in zip(opened, updates, strict=True))


def test_zero_words_at_the_end_are_not_lost() -> None:
    words = np.zeros(N, np.uint64)
    words[5] = 7
    frame = summed(ONE_PRIME, [(SEALERS[ONE_PRIME].encrypt(words), 1)], 1).frame()
    assert SEALERS[ONE_PRIME].open(frame, 1).tolist() == words.tolist()


def test_another_key_opens_nothing() -> None:
    words = words_of(ONE_PRIME, 1)
    frame = summed(ONE_PRIME, [(SEALERS[ONE_PRIME].encrypt(words), 1)], 1).frame()
    opened = Sealer(ONE_PRIME, LatticeKey.new(ONE_PRIME)).open(frame, 1)
    assert np.count_nonzero(opened == words) == 0


def test_a_frame_made_to_open_to_the_key_is_no_sum() -> None:
    layout = choose(16, 64)[1]
    step = ONE_PRIME.data_modulus >> 44
    made = residues_of(ONE_PRIME, [0] * N) + residues_of(ONE_PRIME, [step] + [0] * (N - 1))
    opened = SEALERS[ONE_PRIME].open(made, 1)
    assert np.array_equal(opened, KEYS[ONE_PRIME].secret.astype(np.int64) % 2**44)
    with pytest.raises(WireError, match="cannot add up"):
        layout.unpack_sum(opened, 64, 5000)


# --- hostile bytes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [ONE_PRIME, TWO_PRIMES, REAL], ids=["one prime", "two primes", "ckks"])
def test_frames_of_another_length_are_refused(parameters: LatticeParameters) -> None:
    values = np.zeros(2 * parameters.values_per_chunk, np.uint64 if parameters.scheme == BFV else np.float64)
    upload = SEALERS[parameters].encrypt(values)
    total = summed(parameters, [(upload, 1)], 2)
    whole = total.frame()
    for frame in (b"", upload[:-1], upload + b"\0", upload[: len(upload) // 2], upload * 2, whole):
        with pytest.raises(WireError, match="should have"):
            total.add(frame)
    for frame in (b"", whole[:-1], whole + b"\0", whole[: len(whole) // 2], whole * 2, upload):
        with pytest.raises(WireError, match="should have"):
            SEALERS[parameters].open(frame, 2)
    assert total.frame() == whole


@pytest.mark.parametrize("parameters", [ONE_PRIME, TWO_PRIMES, REAL], ids=["one prime", "two primes", "ckks"])
def test_every_residue_is_checked(parameters: LatticeParameters) -> None:
    values = np.zeros(2 * parameters.values_per_chunk, np.uint64 if parameters.scheme == BFV else np.float64)
    upload = SEALERS[parameters].encrypt(values)
    total = summed(parameters, [(upload, 1)], 2)
    whole = total.frame()
    for frame, polynomials, seed_bytes in ((upload, 1, 64), (whole, 2, 0)):
        chunk_bytes = len(frame) // 2
        for chunk, part in itertools.product(range(2), range(polynomials)):
            start = chunk * chunk_bytes + seed_bytes + part * parameters.polynomial_bytes
            for prime, width in zip(parameters.data_primes, parameters.residue_bytes, strict=True):
                for place in (0, parameters.degree - 1):
                    at = start + place * width
                    for residue, legal in ((prime - 1, True), (prime, False), (2 ** (8 * width) - 1, False)):
                        bad = frame[:at] + residue.to_bytes(width, "little") + frame[at + width :]
                        if legal:
                            read(parameters, bad, seed_bytes > 0)
                        else:
                            with pytest.raises(WireError, match="not below its prime"):
                                read(parameters, bad, seed_bytes > 0)
                start += parameters.degree * width
    assert total.frame() == whole


def read(parameters: LatticeParameters, frame: bytes, is_upload: bool) -> None:
    if is_upload:
        RunningSum(parameters, 2).add(frame)
    else:
        SEALERS[parameters].open(frame, 2)


@pytest.mark.parametrize("parameters", [ONE_PRIME, TWO_PRIMES, REAL], ids=["one prime", "two primes", "ckks"])
def test_mutated_frames_are_refused_or_read_as_numbers(parameters: LatticeParameters) -> None:
    rng = random.Random(1)
    values = np.zeros(2 * parameters.values_per_chunk, np.uint64 if parameters.scheme == BFV else np.float64)
    upload = SEALERS[parameters].encrypt(values)
    whole = summed(parameters, [(upload, 1)], 2).frame()
    refused = 0
    for index in range(120):
        is_upload = index % 2 == 0
        frame = bytearray(upload if is_upload else whole)
        for _ in range(rng.choice([1, 3, 1000])):
            start = rng.randrange(len(frame))
            match rng.randrange(4):
                case 0:
                    frame[start] ^= 1 << rng.randrange(8)
                case 1:
                    frame[start : start + 8] = rng.choice([b"\0", b"\xff"]) * len(frame[start : start + 8])
                case 2:
                    frame[start : start + 64] = rng.randbytes(len(frame[start : start + 64]))
                case 3:
                    frame[start : start + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        try:
            read(parameters, bytes(frame), is_upload)
        except WireError:
            refused += 1
    assert 20 < refused < 120


@pytest.mark.parametrize("parameters", [ONE_PRIME, TWO_PRIMES, REAL], ids=["one prime", "two primes", "ckks"])
def test_a_sum_that_is_not_encrypted_is_refused(parameters: LatticeParameters) -> None:
    values = np.zeros(2 * parameters.values_per_chunk, np.uint64 if parameters.scheme == BFV else np.float64)
    whole = summed(parameters, [(SEALERS[parameters].encrypt(values), 1)], 2).frame()
    half = parameters.polynomial_bytes
    for frame in (whole[: 3 * half] + bytes(half), whole[:half] + bytes(half) + whole[2 * half :], bytes(4 * half)):
        with pytest.raises(WireError, match="not encrypted"):
            SEALERS[parameters].open(frame, 2)
    almost = whole[: 3 * half] + bytes([1]) + bytes(half - 1)
    SEALERS[parameters].open(almost, 2)


def test_an_addition_that_is_cut_short_is_not_taken_for_a_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def add_inplace(self, *_: Any) -> None:
            raise RuntimeError("result ciphertext is transparent")

    frame = SEALERS[ONE_PRIME].encrypt(words_of(ONE_PRIME, 1))
    total = summed(ONE_PRIME, [(frame, 1)], 1)
    with monkeypatch.context() as patch:
        patch.setattr(total._ring, "evaluator", Broken())
        with pytest.raises(WireError, match="transparent"):
            total.add(frame)
    for call in (total.frame, lambda: total.add(frame), lambda: total.subtract_plain(words_of(ONE_PRIME, 1))):
        with pytest.raises(RunError, match="start the round again"):
            call()


# --- keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [ONE_PRIME, TWO_PRIMES, REAL], ids=["one prime", "two primes", "ckks"])
def test_a_key_comes_back_from_bytes(parameters: LatticeParameters) -> None:
    key = LatticeKey.new(parameters)
    data = key.to_bytes()
    assert len(data) == 4 + 1 + 32 + parameters.degree // 4
    again = LatticeKey.from_bytes(data, parameters)
    assert np.array_equal(again.secret, key.secret)
    assert again.to_bytes() == data


def test_sites_with_the_same_key_open_each_others_uploads() -> None:
    key = LatticeKey.new(ONE_PRIME)
    other = Sealer(ONE_PRIME, LatticeKey.from_bytes(key.to_bytes(), ONE_PRIME))
    words = words_of(ONE_PRIME, 1)
    frame = summed(ONE_PRIME, [(Sealer(ONE_PRIME, key).encrypt(words), 1)], 1).frame()
    assert other.open(frame, 1).tolist() == words.tolist()


def test_keys_are_uniform_and_differ() -> None:
    first, second = LatticeKey.new(ONE_PRIME).secret, LatticeKey.new(ONE_PRIME).secret
    for secret in (first, second):
        counts = [np.count_nonzero(secret == value) for value in (-1, 0, 1)]
        assert sum(counts) == N
        # Six standard deviations of a binomial count.
        assert all(abs(count - N / 3) < 6 * math.sqrt(N * 2 / 9) for count in counts)
    assert not np.array_equal(first, second)


def test_malformed_keys_are_refused() -> None:
    data = KEYS[ONE_PRIME].to_bytes()
    for wrong in (b"", data[:-1], data + b"\0", bytes(len(data)), b"WRLK\x02" + data[5:], b"\xff" * len(data)):
        with pytest.raises(WireError, match="encryption key"):
            LatticeKey.from_bytes(wrong, ONE_PRIME)
    for place in (37, len(data) - 1):
        for shift in (0, 2, 4, 6):
            bad = data[:place] + bytes([data[place] | 3 << shift]) + data[place + 1 :]
            with pytest.raises(WireError, match="not -1, 0 or 1"):
                LatticeKey.from_bytes(bad, ONE_PRIME)


def test_a_key_for_other_parameters_is_refused() -> None:
    other = choose(8, 8)[0]
    with pytest.raises(WireError, match="other lattice parameters"):
        LatticeKey.from_bytes(KEYS[ONE_PRIME].to_bytes(), other)
    with pytest.raises(PlanError, match="other lattice parameters"):
        Sealer(other, KEYS[ONE_PRIME])


def test_a_key_does_not_print() -> None:
    text = repr(KEYS[ONE_PRIME]) + str(KEYS[ONE_PRIME]) + repr(SEALERS[ONE_PRIME])
    assert "secret" not in text
    assert "array" not in text


# --- ckks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e-6, 1.0, LARGEST_REAL])
def test_ckks_is_within_its_stated_error(size: float) -> None:
    rng, sealer = np.random.default_rng(0), SEALERS[REAL]
    total, expected = RunningSum(REAL, 2), np.zeros(2 * 4096)
    for weight in (1, 20, 43):
        values = rng.uniform(-size, size, 2 * 4096)
        values[::7] = size
        total.add(sealer.encrypt(values), weight)
        expected += weight * values
    error = np.max(np.abs(sealer.open(total.frame(), 2) - expected))
    assert 0 < error <= 64 * REAL.largest_error


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2 * LARGEST_REAL])
def test_ckks_refuses_numbers_it_does_not_hold(value: float) -> None:
    values = np.zeros(4096)
    values[9] = value
    with pytest.raises(ValueError, match="ckks"):
        SEALERS[REAL].encrypt(values)


def test_words_cannot_be_taken_from_a_ckks_sum() -> None:
    total = summed(REAL, [(SEALERS[REAL].encrypt(np.zeros(4096)), 1)], 1)
    with pytest.raises(PlanError, match="packed scheme"):
        total.subtract_plain(np.zeros(4096, np.uint64))


# --- misuse ------------------------------------------------------------------------------------------------------


def test_values_that_are_no_chunks_of_words_are_refused() -> None:
    sealer = SEALERS[ONE_PRIME]
    for values in (
        np.zeros(4095, np.uint64),
        np.zeros((1, 4096), np.uint64),
        np.zeros(4096, np.int64),
        np.zeros(4096),
        np.full(4096, 2**44, np.uint64),
    ):
        with pytest.raises(ValueError, match="values"):
            sealer.encrypt(values)


def test_an_empty_sum_has_no_frame() -> None:
    total = RunningSum(ONE_PRIME, 1)
    with pytest.raises(ValueError, match="nothing"):
        total.frame()
    with pytest.raises(ValueError, match="chunks"):
        total.subtract_plain(np.zeros(N, np.uint64))
