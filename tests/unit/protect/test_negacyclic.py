"""Opening sums in numpy: exact in the worst case of the proof, and what SEAL says, word for word."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from lattice_oracle import N, times_secret

from wardround.errors import RunError
from wardround.protect import negacyclic
from wardround.protect.lattice import LatticeKey, Sealer
from wardround.protect.lattice_parameters import (
    BFV,
    CKKS_PRIMES,
    PRIME_SETS,
    LatticeParameters,
    choose,
    noise_capacity,
    published_ckks,
)
from wardround.protect.negacyclic import MOST_DISTANCE, SecretProduct, WordOpener, product_error_bound
from wardround.protect.residues import narrow_residues

ONE_PRIME = {primes[0].bit_length(): primes for primes in PRIME_SETS if len(primes) == 1}
SIZES = [
    (primes, bits)
    for q_bits, primes in ONE_PRIME.items()
    for bits in (2, 3, 19, 20, 21, q_bits - 12, q_bits - 6)
    if noise_capacity(primes[0], bits)
]
ROOT_ERROR = 8 * 2.0**-53


def secrets() -> dict[str, np.ndarray]:
    """Secrets that make products as large as they get, or that a transform turns into one tall peak."""
    rng = np.random.default_rng(0)
    index = np.arange(N)
    return {
        "ones": np.ones(N, np.int8),
        "minus ones": -np.ones(N, np.int8),
        "first": np.where(index, -1, 1).astype(np.int8),
        "alternating": np.where(index % 2, -1, 1).astype(np.int8),
        "peak": np.sign(np.cos(np.pi * (2 * 700 + 1) * index / N)).astype(np.int8),
        "half": np.where(index < N // 2, 1, -1).astype(np.int8),
        "signs": rng.choice(np.array([-1, 1], np.int8), N),
        "usual": rng.integers(-1, 2, N).astype(np.int8),
        "none": np.zeros(N, np.int8),
        "one": (index == N - 1).astype(np.int8),
    }


def digits_against(secret: np.ndarray, most: int) -> np.ndarray:
    """Digits that are all maximal, maximal where that makes one coefficient as large as can be, and at random."""
    rng = np.random.default_rng(1)
    # Coefficient j is the sum of d_i s_(j-i), with the sign changed where j < i.
    rows = [np.full(N, most), rng.integers(0, most, N, endpoint=True), most * rng.integers(0, 2, N)]
    for coefficient, sign in itertools.product((0, N // 2, N - 1), (1, -1)):
        i = np.arange(N)
        factor = secret[(coefficient - i) % N] * np.where(i <= coefficient, 1, -1)
        rows.append(np.where(sign * factor > 0, most, 0))
    return np.array(rows, np.int64)


# --- the product -------------------------------------------------------------------------------------------------


def test_the_bound_of_the_proof_is_below_a_quarter() -> None:
    unit = 2.0**-53
    stated = 2.0**42 * (33 + 37 * math.sqrt(5) + 36 * 8) * unit
    assert stated <= product_error_bound(N, 30) < stated * (1 + 1e-10)
    assert product_error_bound(N, 30) < 0.198 < MOST_DISTANCE
    for q_bits in ONE_PRIME:
        assert product_error_bound(N, (q_bits + 1) // 2) <= product_error_bound(N, 30)
    assert product_error_bound(2 * N, 30) > MOST_DISTANCE


@pytest.mark.parametrize("name", secrets())
def test_the_product_is_exact_in_the_worst_case(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = secrets()[name]
    product = SecretProduct(secret)
    for bits in sorted({(q_bits + 1) // 2 for q_bits in ONE_PRIME}):
        # What is rounded lies within the bound, which for short digits is far less than what is let pass.
        monkeypatch.setattr(negacyclic, "MOST_DISTANCE", product_error_bound(N, bits))
        digits = digits_against(secret, 2**bits - 1)
        found = product.times(digits)
        modulus = 2**80
        for row, values in zip(digits[: 4 if bits < 30 else None], found, strict=False):
            expected = times_secret(row.tolist(), secret, modulus)
            assert [value % modulus for value in values.tolist()] == expected
        assert int(np.abs(found).max()) <= N * (2**bits - 1)
    if name in ("ones", "first"):
        assert int(np.abs(found).max()) == N * (2**30 - 1)


def test_numpy_transforms_with_roots_as_exact_as_the_proof_assumes() -> None:
    half = N // 2
    exact_pi = np.longdouble("3.14159265358979323846264338327950288")
    assert np.finfo(np.longdouble).eps < 2.0**-60
    index = np.arange(half, dtype=np.longdouble)
    angles = {1: -2 * exact_pi * index / half, 0: exact_pi * index / N}
    roots = {key: (np.cos(angle), np.sin(angle)) for key, angle in angles.items()}
    impulse = np.zeros(half, np.complex128)
    impulse[1] = 1
    # The transform of an impulse meets one root per pass, and there are four passes (8 x 8 x 8 x 4) or fewer.
    for found, (cosine, sine), most in (
        (np.fft.fft(impulse), roots[1], 4 * (ROOT_ERROR + math.sqrt(5) * 2.0**-53)),
        (np.fft.ifft(impulse, norm="forward").conj(), roots[1], 4 * (ROOT_ERROR + math.sqrt(5) * 2.0**-53)),
        (SecretProduct(np.ones(N, np.int8))._twist, roots[0], ROOT_ERROR),
    ):
        assert float(np.hypot(found.real - cosine, found.imag - sine).max()) < most


def test_what_is_no_integer_is_not_rounded() -> None:
    secret = secrets()["signs"]
    digits = digits_against(secret, 2**30 - 1)
    for disturbed in (1 + 2.0**-30, math.nan, math.inf):
        product = SecretProduct(secret)
        product._spectrum[7] *= disturbed
        with np.errstate(invalid="ignore"), pytest.raises(RunError, match="less exact"):
            product.times(digits)


# --- the words ---------------------------------------------------------------------------------------------------


def at(primes: tuple[int, ...], bits: int) -> LatticeParameters:
    return LatticeParameters(BFV, N, primes, 1, bits)


def exactly(parameters: LatticeParameters, phases: list[int]) -> list[int]:
    q, t = parameters.data_modulus, 2**parameters.message_bits
    return [(2 * t * phase + q) // (2 * q) % t for phase in phases]


@pytest.mark.parametrize(("primes", "bits"), SIZES)
def test_words_are_rounded_as_plain_integers_are(primes: tuple[int, ...], bits: int) -> None:
    parameters = at(primes, bits)
    q, t, rng = primes[0], 2**bits, np.random.default_rng(0)
    phases = [0, 1, q - 1, q, q + 1, 2 * q - 1, 3 * q - 1, -1, 1 - q, *rng.integers(1 - q, 3 * q, 3000).tolist()]
    for word in (0, 1, 2, t // 2, t - 2, t - 1, *rng.integers(0, t, 200).tolist()):
        boundary = (2 * word + 1) * q // (2 * t)
        for turn, step in itertools.product(range(-1, 3), (-2, -1, 0, 1, 2)):
            phases.append(max(1 - q, min(turn * q + boundary + step, 3 * q - 1)))
    opener = WordOpener(parameters, secrets()["usual"])
    assert opener._rounded(np.array(phases, np.int64)).tolist() == exactly(parameters, phases)


@pytest.mark.parametrize(("primes", "bits"), SIZES)
def test_any_residues_open_to_what_seal_says(primes: tuple[int, ...], bits: int) -> None:
    parameters, q = at(primes, bits), primes[0]
    rng = np.random.default_rng(0)
    residues = rng.integers(0, q, (6, 2, N), dtype=np.uint64)
    residues[1], residues[2, 0], residues[2, 1], residues[3] = q - 1, 0, q - 1, 1
    residues[4, 0] = 0
    residues[5, 1] = (1 << (q.bit_length() + 1) // 2) - 1
    for name in ("ones", "minus ones", "signs", "usual"):
        sealer = Sealer(parameters, LatticeKey(parameters, secrets()[name]))
        frame = b"".join(piece for row in residues.reshape(12, N) for piece in narrow_residues(row, parameters))
        found = sealer.open(frame, 6)
        assert sealer._opener is not None
        assert np.array_equal(found, sealer._open_by_seal(residues).reshape(-1))


@pytest.mark.parametrize(("primes", "bits"), SIZES)
def test_next_to_the_boundary_of_two_words_seal_says_the_same(primes: tuple[int, ...], bits: int) -> None:
    """The noise reaches as far as SEAL still opens right: see `lattice_parameters`, less than 2^-58 from the middle."""
    parameters, q, t = at(primes, bits), primes[0], 2**bits
    key = LatticeKey.new(parameters)
    sealer, rng = Sealer(parameters, key), np.random.default_rng(0)
    slack = 2 + (q >> bits + 1 >> 58)
    words = [0, 1, t // 2, t - 1, *rng.integers(0, t, N // 4 - 4).tolist()]
    boundaries = [(2 * word + 1) * q // (2 * t) for word in words]
    phases = [boundary + step for boundary in boundaries for step in (-slack - 1, -slack, slack, slack + 1)]
    c1 = rng.integers(0, q, N).tolist()
    product = times_secret(c1, key.secret, q)
    c0 = [(phase - value) % q for phase, value in zip(phases, product, strict=True)]
    residues = np.array([[c0, c1]], np.uint64)
    expected = [word + after for word in words for after in (0, 0, 1, 1)]
    found = WordOpener(parameters, key.secret).open(residues)[0].tolist()
    assert found == sealer._open_by_seal(residues)[0].tolist() == [word % t for word in expected]


def test_chunks_do_not_depend_on_each_other() -> None:
    parameters = choose(16, 64)[0]
    key, rng = LatticeKey.new(parameters), np.random.default_rng(0)
    residues = rng.integers(0, parameters.primes[0], (5, 2, N), dtype=np.uint64)
    opener, before = WordOpener(parameters, key.secret), residues.copy()
    together = opener.open(residues)
    assert all(np.array_equal(opener.open(residues[i : i + 1])[0], together[i]) for i in range(5))
    assert np.array_equal(residues, before)


def test_it_serves_what_the_proof_is_for_and_nothing_else() -> None:
    assert all(WordOpener.serves(at(*size)) for size in SIZES)
    assert not WordOpener.serves(choose(16, 1000)[0])
    assert not WordOpener.serves(published_ckks(64))
    assert not WordOpener.serves(LatticeParameters(BFV, 2 * N, CKKS_PRIMES[:1], 64, 44))
    assert not WordOpener.serves(LatticeParameters(BFV, N, (4294828033,), 1, 20))
    assert not WordOpener.serves(LatticeParameters(BFV, N, (2**56 - 2**21,), 1, 20))


def test_other_degrees_are_opened_by_seal() -> None:
    parameters = LatticeParameters(BFV, 2 * N, CKKS_PRIMES[:1], 64, 44)
    key = LatticeKey.new(parameters)
    sealer, residues = Sealer(parameters, key), np.zeros((1, 2, 2 * N), np.uint64)
    residues[0, 1, 0] = parameters.data_modulus >> 44
    frame = b"".join(piece for row in residues[0] for piece in narrow_residues(row, parameters))
    assert np.array_equal(sealer.open(frame, 1), key.secret.astype(np.int64).view(np.uint64) % 2**44)
