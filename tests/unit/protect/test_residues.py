"""Residues: read from frames as a slow loop reads them, multiplied and added as plain integers are."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.errors import WireError
from wardround.protect.lattice_parameters import (
    BFV,
    PRIME_SETS,
    LatticeParameters,
    choose,
    noise_capacity,
    published_ckks,
)
from wardround.protect.residues import (
    ResidueSum,
    check_length,
    narrow_residues,
    read_residues,
    reduced,
    scaled,
    times,
)
from wardround.protect.seal_bytes import MemoryFile, ring

N = 4096
NARROW = LatticeParameters(BFV, N, (1032193, 4294828033, 1099511480321), 1, 4)
SETS = [LatticeParameters(BFV, N, primes, 1, 30) for primes in PRIME_SETS] + [NARROW, published_ckks(1)]
SIZES = [
    (primes, bits)
    for primes in PRIME_SETS
    for bits in (2, 3, 29, 30, 31, 44, 54, 59)
    if noise_capacity(math.prod(primes[:-1] or primes), bits)
]
PRIMES = sorted({prime for parameters in SETS for prime in parameters.primes} | {2**61 - 1, 3})


def names(parameters: LatticeParameters) -> str:
    return "-".join(str(width) for width in parameters.residue_bytes) + f" {parameters.scheme}"


@pytest.mark.parametrize("parameters", SETS, ids=names)
@pytest.mark.parametrize(("polynomials", "skip_bytes"), [(1, 64), (2, 0)])
def test_residues_are_read_as_a_loop_reads_them(
    parameters: LatticeParameters, polynomials: int, skip_bytes: int
) -> None:
    rng = random.Random(0)
    columns = list(zip(parameters.data_primes, parameters.residue_bytes, strict=True)) * polynomials
    written, expected = b"", []
    for _ in range(3):
        written += rng.randbytes(skip_bytes)
        for prime, width in columns:
            row = [prime - 1, *(rng.randrange(prime) for _ in range(parameters.degree - 2)), prime - 1]
            written += b"".join(value.to_bytes(width, "little") for value in row)
            expected.append(row)
    for chunks in (range(3), range(1, 3), range(2, 3), range(1)):
        found = read_residues(written, parameters, chunks, polynomials, skip_bytes)
        assert found.shape == (len(chunks), len(columns), parameters.degree)
        rows = found.reshape(-1, parameters.degree).tolist()
        assert rows == expected[chunks.start * len(columns) : chunks.stop * len(columns)]


@pytest.mark.parametrize("parameters", SETS, ids=names)
def test_what_is_written_is_read_again_and_a_prime_is_refused(parameters: LatticeParameters) -> None:
    rng, count = np.random.default_rng(0), len(parameters.data_primes)
    primes = np.array(parameters.data_primes, np.uint64)[:, None]
    residues = rng.integers(0, primes, (count, parameters.degree), dtype=np.uint64)
    frame = b"".join(narrow_residues(residues.reshape(-1), parameters))
    assert len(frame) == parameters.polynomial_bytes
    assert np.array_equal(read_residues(frame, parameters, range(1), 1, 0)[0], residues)
    for column in range(count):
        for place in (0, 1, N // 2, parameters.degree - 2, parameters.degree - 1):
            bad = residues.copy()
            bad[column, place] = primes[column, 0]
            with pytest.raises(WireError, match="not below its prime"):
                read_residues(b"".join(narrow_residues(bad.reshape(-1), parameters)), parameters, range(1), 1, 0)


def test_only_one_length_is_legal() -> None:
    check_length(b"123456", 2, 3)
    for frame in (b"", b"12345", b"1234567"):
        with pytest.raises(WireError, match="should have 6"):
            check_length(frame, 2, 3)


@given(st.sampled_from(PRIMES), st.integers(0, 2**70), st.integers(0, 2**32))
@settings(max_examples=80)
def test_products_are_those_of_plain_integers(prime: int, factor: int, seed: int) -> None:
    residues = np.random.default_rng(seed).integers(0, prime, 50, dtype=np.uint64)
    residues[:3] = prime - 1, 0, 1
    for by in (factor, factor % prime, prime - 1, 0, 1):
        assert times(residues, by, prime).tolist() == [value * by % prime for value in residues.tolist()]


@pytest.mark.parametrize("prime", PRIMES)
def test_words_are_reduced_as_plain_integers_are(prime: int) -> None:
    words = np.random.default_rng(0).integers(0, 2**64 - 1, 1000, dtype=np.uint64, endpoint=True)
    words[:5] = 0, prime - 1, prime, 2**64 - 1, (2**64 - 1) // prime * prime
    assert reduced(words, prime).tolist() == [word % prime for word in words.tolist()]


def words_next_to_halves(parameters: LatticeParameters) -> np.ndarray:
    """Words at the ends, words whose scaling is rounded by nearly 1/2 either way, and others."""
    t = 2**parameters.message_bits
    inverse = pow(parameters.data_modulus, -1, t)
    words = np.random.default_rng(0).integers(0, t, N, dtype=np.uint64)
    chosen = [remainder * inverse % t for remainder in (t // 2 - 1, t // 2, t // 2 + 1, 1, t - 1)]
    words[:10] = 0, 1, t // 2 - 1, t // 2, t - 1, *chosen
    return words


@pytest.mark.parametrize(("primes", "bits"), SIZES)
def test_words_are_scaled_bit_for_bit_as_seal_scales_them(primes: tuple[int, ...], bits: int) -> None:
    parameters = LatticeParameters(BFV, N, primes, 1, bits)
    words, t = words_next_to_halves(parameters), 2**bits
    found = scaled(words, parameters)
    values = [(word * parameters.data_modulus + t // 2) // t for word in words.tolist()]
    assert found.tolist() == [[value % prime for value in values] for prime in parameters.data_primes]
    arithmetic = ring(parameters)
    with MemoryFile() as file:
        empty = np.zeros((2, len(parameters.data_primes), N), np.uint64)
        empty[1] = 1  # SEAL refuses to work on what is not encrypted
        cipher = arithmetic.load_full(file, empty)
        arithmetic.evaluator.add_plain_inplace(cipher, arithmetic.load_plain(file, words))
        assert np.array_equal(found.reshape(-1), arithmetic.read_full(file, cipher)[: found.size])


@given(st.sampled_from([choose(16, 64)[0], choose(16, 1000)[0], choose(16, 120)[0], choose(4, 2**30)[0]]), st.data())
@settings(max_examples=40)
def test_running_sums_are_those_of_plain_integers(parameters: LatticeParameters, data: st.DataObject) -> None:
    total, primes = ResidueSum(parameters, 2), np.array(parameters.data_primes, np.uint64)[:, None]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    expected = np.zeros((2, len(primes), N), object)
    for _ in range(data.draw(st.integers(1, 12))):
        match data.draw(st.sampled_from(["add", "largest", "subtract", "read"])):
            case "add":
                residues = rng.integers(0, primes, expected.shape, dtype=np.uint64)
                weight = data.draw(st.integers(1, parameters.weight_total))
                total.add(residues, weight)
                expected += residues.astype(object) * weight
            case "largest":
                total.add(np.broadcast_to(primes - np.uint64(1), expected.shape), parameters.weight_total)
                expected += (primes.astype(object) - 1) * parameters.weight_total
            case "subtract":
                words = rng.integers(0, 2**parameters.message_bits, (2, N), dtype=np.uint64)
                total.subtract_words(words)
                expected -= np.stack([scaled(row, parameters) for row in words]).astype(object)
            case "read":
                assert total.read().tolist() == (expected % primes.astype(object)).tolist()
    assert total.read().tolist() == (expected % primes.astype(object)).tolist()


def test_nothing_overflows_at_the_very_edge() -> None:
    for bits, weights in ((60, [7, 7, 1]), (60, [8, 8, 1]), (60, [8, 8, 4]), (56, [127, 127, 3]), (56, [127] * 5)):
        (prime,) = next(primes for primes in PRIME_SETS if primes[0].bit_length() == bits)
        parameters = LatticeParameters(BFV, N, (prime,), 64, 40)
        total = ResidueSum(parameters, 1)
        for weight in weights:
            total.add(np.full((1, 1, N), prime - 1, np.uint64), weight)
        assert set(total.read().reshape(-1).tolist()) == {-sum(weights) % prime}
