"""Shares against published vectors, an interpolation written out by hand, and wrong shares."""

from __future__ import annotations

import itertools
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.errors import WireError
from wardround.protect.shamir import combine, split

# Made by the program ssss (hex mode, no diffusion), as published with PyCryptodome: threshold, secret, shares 1 to 4.
PUBLISHED = [
    (
        "d9fe73909bae28b3757854c0af7ad405",
        "594ae8964294174d95c33756d2504170",
        "d897459d29da574eb40e93ec552ffe6e",
        "5823de9bf0e068b054b5f07a28056b1b",
        "db2c1f8bff46d748f795da995bd080cb",
    ),
    (
        "bf4f902d9a7efafd1f3ffd9291fd5de9",
        "557bd3b0748064b533469722d1cc7935",
        "6b2717164783c66d47cd28f2119f14d0",
        "8113548ba97d58256bb4424251ae300c",
        "179e9e5a218483ddaeda57539139cf04",
    ),
]
FIELD = 1 + 2 + 4 + 128 + 2**128


def times(left: int, right: int) -> int:
    """Multiply in GF(2^128), bit by bit."""
    product = 0
    for bit in range(128):
        product ^= (left << bit) * (right >> bit & 1)
    for bit in range(product.bit_length() - 1, 127, -1):
        if product >> bit & 1:
            product ^= FIELD << (bit - 128)
    return product


def inverse(value: int) -> int:
    """Raise to 2^128 − 2."""
    result = 1
    for _ in range(127):
        value = times(value, value)
        result = times(result, value)
    return result


def at(points: dict[int, int], where: int) -> int:
    """Evaluate the polynomial through `points` (Lagrange)."""
    total = 0
    for index, value in points.items():
        term = value
        for other in points:
            if other != index:
                term = times(term, times(where ^ other, inverse(index ^ other)))
        total ^= term
    return total


def halves(shares: dict[int, bytes], half: int) -> dict[int, int]:
    return {index: int.from_bytes(share[16 * half : 16 * half + 16], "big") for index, share in shares.items()}


def test_published_vectors_combine() -> None:
    secret = bytes.fromhex(PUBLISHED[0][0] + PUBLISHED[1][0])
    shares = {}
    for index in range(1, 5):
        # ssss adds x^threshold to each share, we do not.
        extra = times(index, index).to_bytes(16, "big")
        blocks = (bytes.fromhex(vector[index]) for vector in PUBLISHED)
        shares[index] = b"".join(bytes(a ^ b for a, b in zip(block, extra, strict=True)) for block in blocks)
    for chosen in itertools.combinations(shares, 2):
        assert combine({index: shares[index] for index in chosen}, 2) == secret


@given(
    st.integers(2, 7).flatmap(lambda n: st.tuples(st.just(n), st.integers(2, n))), st.binary(min_size=32, max_size=32)
)
@settings(max_examples=25, deadline=None)
def test_any_threshold_of_shares_give_the_secret(numbers: tuple[int, int], secret: bytes) -> None:
    count, threshold = numbers
    shares = dict(enumerate(split(secret, threshold, count), start=1))
    for chosen in itertools.combinations(shares, threshold):
        assert combine({index: shares[index] for index in chosen}, threshold) == secret
    assert combine(shares, threshold) == secret


@pytest.mark.parametrize(("threshold", "count"), [(2, 2), (2, 4), (3, 5), (4, 5)])
def test_shares_lie_on_one_polynomial_of_full_degree(threshold: int, count: int) -> None:
    secret = os.urandom(32)
    shares = dict(enumerate(split(secret, threshold, count), start=1))
    for half in (0, 1):
        values = halves(shares, half)
        known = {index: values[index] for index in range(1, threshold + 1)}
        assert at(known, 0) == int.from_bytes(secret[16 * half :][:16], "big")
        for index in range(threshold + 1, count + 1):
            assert at(known, index) == values[index]
        # One share less is a polynomial of a lower degree: it does not give the secret.
        del known[1]
        assert at(known, 0) != int.from_bytes(secret[16 * half :][:16], "big")


def test_a_share_less_fits_every_secret() -> None:
    shares = dict(enumerate(split(os.urandom(32), 3, 3), start=1))
    for half in (0, 1):
        known = halves({1: shares[1], 2: shares[2]}, half)
        for guess in (0, 1, 2**128 - 1, 12345):
            third = at({0: guess, **known}, 3)
            assert at({3: third, **known}, 0) == guess


def test_a_wrong_share_gives_another_secret() -> None:
    secret = os.urandom(32)
    shares = dict(enumerate(split(secret, 3, 3), start=1))
    for index in shares:
        changed = bytes([shares[index][0] ^ 1]) + shares[index][1:]
        assert combine({**shares, index: changed}, 3) != secret


def test_a_secret_is_never_shared_the_same_way_twice() -> None:
    assert not set(split(bytes(32), 2, 3)) & set(split(bytes(32), 2, 3))


@pytest.mark.parametrize(
    "shares",
    [
        {},
        {1: bytes(32)},
        {1: bytes(32), 2: bytes(31)},
        {1: bytes(32), 2: bytes(33)},
        {1: bytes(32), 2: b""},
        {0: bytes(32), 1: bytes(32)},
        {1: bytes(32), 256: bytes(32)},
        {1: bytes(32), -1: bytes(32)},
        {1: bytes(32), 2**128: bytes(32)},
    ],
)
def test_what_split_never_returns_is_refused(shares: dict[int, bytes]) -> None:
    with pytest.raises(WireError):
        combine(shares, 2)


@pytest.mark.parametrize(("threshold", "count"), [(0, 3), (1, 3), (4, 3), (2, 256), (-1, -1)])
def test_numbers_out_of_range_are_refused(threshold: int, count: int) -> None:
    with pytest.raises(ValueError, match="threshold"):
        split(bytes(32), threshold, count)


def test_a_secret_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="31 bytes"):
        split(bytes(31), 2, 3)
