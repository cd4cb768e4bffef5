"""Which lattice is chosen: secure by the tables, big enough by the proof, and the cheapest that is."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.errors import PlanError
from wardround.protect.lattice_parameters import (
    BFV,
    CKKS_DEGREE,
    CKKS_PRIMES,
    MOST_FIELDS,
    PRIME_SETS,
    LatticeParameters,
    choose,
    largest_weight,
    noise_capacity,
    published_ckks,
    table,
)
from wardround.protect.packing import Layout

SETS = [(4096, primes) for primes in PRIME_SETS] + [(CKKS_DEGREE, CKKS_PRIMES)]


def is_prime(number: int) -> bool:
    """Miller-Rabin with the bases that decide it for every number below 2^64 (Sorenson, Webster 2015)."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
        powers = [pow(base, odd << k, number) for k in range(twos)]
        if powers[0] != 1 and number - 1 not in powers:
            return False
    return True


@pytest.mark.parametrize(("degree", "primes"), SETS, ids=str)
def test_primes_are_those_that_seal_would_choose(degree: int, primes: tuple[int, ...]) -> None:
    from tenseal import sealapi

    chosen = sealapi.CoeffModulus.Create(degree, [prime.bit_length() for prime in primes])
    assert tuple(prime.value() for prime in chosen) == primes
    assert len(set(primes)) == len(primes)
    assert all(is_prime(prime) and prime % (2 * degree) == 1 for prime in primes)


@given(st.integers(2, 59), st.sampled_from(PRIME_SETS))
def test_capacity_is_the_largest_weight_below_the_bound(plain_bits: int, primes: tuple[int, ...]) -> None:
    modulus = 1
    for prime in primes[:-1] or primes:
        modulus *= prime
    bound = Fraction(modulus, 2 * 2**plain_bits) * (1 - Fraction(1, 2**58))
    capacity = noise_capacity(modulus, plain_bits)
    assert 22 * capacity < bound <= 22 * (capacity + 1)


def test_plaintexts_that_seal_does_not_take_hold_nothing() -> None:
    assert noise_capacity(2**80, 59) > 0
    assert noise_capacity(2**80, 60) == noise_capacity(2**80, 1) == 0


def test_the_published_targets_are_met() -> None:
    parameters, layout = choose(16, 64)
    assert (layout.fields, layout.word_bits, parameters.total_bits) == (2, 44, 56)
    assert parameters.bytes_per_value(layout) == 3.5 + 64 / 8192 <= 3.9
    parameters, layout = choose(8, 8)
    assert (layout.fields, layout.word_bits, parameters.total_bits) == (4, 44, 56)
    assert parameters.bytes_per_value(layout) == 1.75 + 64 / 16384 <= 2.0


@given(st.integers(2, 32), st.integers(1, 2**20))
def test_the_choice_holds_its_weight_and_nothing_cheaper_does(bits: int, weight_total: int) -> None:
    parameters, layout = choose(bits, weight_total)
    assert (layout.bits, layout.weight_total, parameters.weight_total) == (bits, weight_total, weight_total)
    assert parameters.message_bits == layout.word_bits
    assert weight_total <= noise_capacity(parameters.data_modulus, layout.word_bits)
    for primes in PRIME_SETS:
        for fields in range(1, MOST_FIELDS + 1):
            try:
                other_layout = Layout(bits, weight_total, fields)
                other = LatticeParameters(BFV, 4096, primes, weight_total, other_layout.word_bits)
            except PlanError:
                continue
            assert parameters.bytes_per_value(layout) <= other.bytes_per_value(other_layout)


@given(st.sampled_from(PRIME_SETS), st.integers(2, 32), st.integers(1, 8), st.data())
def test_every_weight_up_to_the_largest_fits_and_one_more_does_not(
    primes: tuple[int, ...], bits: int, fields: int, data: st.DataObject
) -> None:
    def fits(weight: int) -> bool:
        word_bits = fields * (bits + (weight - 1).bit_length())
        modulus = 1
        for prime in primes[:-1] or primes:
            modulus *= prime
        return weight <= noise_capacity(modulus, word_bits)

    most = largest_weight(primes, bits, fields)
    assert not fits(most + 1)
    if most:
        assert fits(most)
        assert fits(data.draw(st.integers(1, most)))


def test_beyond_all_capacity_the_largest_weight_is_named() -> None:
    choose(32, 2097152)
    for weight_total in (2097153, 0):
        with pytest.raises(PlanError, match="1 to 2097152"):
            choose(32, weight_total)


@pytest.mark.parametrize("bits", [2, 4, 8, 12, 16, 20, 24, 32])
def test_everything_in_the_table_is_secure_and_holds_what_it_says(bits: int) -> None:
    rows = table(bits)
    assert rows
    for parameters, layout in rows:
        assert min(parameters.classical_bits, parameters.quantum_bits) >= 128
        assert parameters.weight_total == layout.weight_total <= parameters.capacity
    assert choose(bits, 3)[0].primes in {parameters.primes for parameters, _ in rows}


@pytest.mark.parametrize(
    ("degree", "bits", "classical", "quantum"),
    [
        (4096, (40,), 256, 256),
        (4096, (56,), 256, 192),
        (4096, (60,), 192, 192),
        (4096, (40, 40, 20), 128, 128),
        (8192, (60, 40, 40, 60), 128, 128),
        (8192, (60, 40, 40), 192, 192),
        (8192, (60, 48), 256, 256),
    ],
)
def test_security_is_as_tabled(degree: int, bits: tuple[int, ...], classical: int, quantum: int) -> None:
    primes = tuple(2**size - 1 for size in bits)  # security looks at sizes only
    parameters = LatticeParameters(BFV, degree, primes, 1, 17)
    assert (parameters.total_bits, parameters.classical_bits, parameters.quantum_bits) == (
        sum(bits),
        classical,
        quantum,
    )


@pytest.mark.parametrize(
    ("degree", "bits"),
    [
        (4096, (51, 51)),  # 102 bits: enough against classical attacks (109), not against quantum ones (101)
        (4096, (60, 60)),
        (2048, (56,)),
        (8192, (60, 60, 60, 60)),
        (4000, (40,)),  # not in the tables at all
        (65536, (40,)),
    ],
)
def test_less_than_128_bits_are_refused(degree: int, bits: tuple[int, ...]) -> None:
    with pytest.raises(PlanError, match="128 bits of security"):
        LatticeParameters(BFV, degree, tuple(2**size - 1 for size in bits), 1, 17)


def test_more_than_the_noise_allows_is_refused() -> None:
    LatticeParameters(BFV, 4096, PRIME_SETS[2], 93, 44)
    for weight_total in (94, 0):
        with pytest.raises(PlanError, match="1 to 93"):
            LatticeParameters(BFV, 4096, PRIME_SETS[2], weight_total, 44)


def test_unknown_schemes_are_refused() -> None:
    with pytest.raises(PlanError, match="'bgv'"):
        LatticeParameters("bgv", 4096, PRIME_SETS[2], 1, 44)


def test_sizes_on_the_wire() -> None:
    one, _ = choose(16, 64)
    assert (one.upload_chunk_bytes, one.sum_chunk_bytes, one.values_per_chunk) == (64 + 7 * 4096, 2 * 7 * 4096, 4096)
    two, _ = choose(16, 1000)
    assert (two.residue_bytes, two.upload_chunk_bytes) == ((4, 5), 64 + 9 * 4096)
    real = published_ckks(64)
    assert (real.residue_bytes, real.upload_chunk_bytes) == ((8, 5, 5), 64 + 18 * 8192)
    assert (real.values_per_chunk, real.total_bits) == (4096, 200)


def test_the_digest_tells_parameters_apart() -> None:
    options = [choose(16, 64)[0], choose(16, 63)[0], choose(8, 8)[0], published_ckks(64), published_ckks(63)]
    assert len({option.digest for option in options}) == len(options)
    assert options[0].digest == choose(16, 64)[0].digest


def test_a_ckks_weight_out_of_range_is_refused() -> None:
    for weight_total in (0, 2**20 + 1):
        with pytest.raises(PlanError, match="weight_total"):
            published_ckks(weight_total)
