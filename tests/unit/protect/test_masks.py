"""Masks against a slow computation with another library, and what a single masked upload looks like."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest
from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.Protocol.DH import import_x25519_private_key, key_agreement
from Crypto.Protocol.KDF import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st
from masked_round import NAMES, RUN, Played, attempt_of, keys_of, play, uploads
from scipy import stats

from wardround.errors import WireError
from wardround.protect import masks
from wardround.protect.attempt import Attempt
from wardround.protect.masks import Mask

UNIFORM_P = 1e-6
"""A test for uniformity fails by chance this often."""


def slow_word(key: bytes, index: int) -> int:
    """Return word `index` of a stream: one AES call per word, as the counter mode is defined."""
    block = AES.new(key, AES.MODE_ECB).encrypt((index // 2).to_bytes(16, "big"))
    return int.from_bytes(block[8 * (index % 2) :][:8], "little")


def slow_key(secret: bytes, attempt: Attempt, purpose: str, *names: str) -> bytes:
    parts = b"".join(len(name.encode()).to_bytes(4, "big") + name.encode() for name in names)
    info = b"wardround/1/" + purpose.encode() + b"\0" + parts
    return HKDF(secret, 32, attempt.binding(), SHA256, 1, info)


def slow_mask(played: Played, site: str, index: int, word_bits: int, pair_keys: dict[str, bytes]) -> int:
    """Return one word of a site's mask, from its seeds and its peers' private mask keys."""
    attempt = played.attempt
    private = {
        name: import_x25519_private_key(slow_key(one.mask_seed, attempt, "mask key", name))
        for name, one in played.secrets.items()
    }
    total = slow_word(slow_key(played.secrets[site].self_seed, attempt, "self mask", site), index)
    for peer in attempt.cohort:
        if peer == site:
            continue
        first, second = sorted((site, peer))
        shared = key_agreement(static_priv=private[site], static_pub=private[peer].public_key(), kdf=lambda x: x)
        parts = [attempt.binding(), first.encode(), second.encode()]
        info = b"wardround/1/mask pair secret\0" + b"".join(len(one).to_bytes(4, "big") + one for one in parts)
        pair_secret = expanded(pair_keys[peer], info)
        word = slow_word(slow_key(shared + pair_secret, attempt, "pair mask", first, second), index)
        total += word if site < peer else -word
    return total % 2**word_bits


def expanded(key: bytes, info: bytes) -> bytes:
    """HKDF-Expand to one block (RFC 5869 §2.3)."""
    from Crypto.Hash import HMAC

    return HMAC.new(key, info + b"\x01", SHA256).digest()


@pytest.mark.parametrize("word_bits", [1, 16, 32, 48, 63, 64])
def test_masks_agree_with_a_slow_computation(word_bits: int) -> None:
    keys = keys_of(NAMES[:3])
    played = play(attempt_of(3), keys=keys)
    for site, mask in played.masks.items():
        for first in (0, 1, 2**15 - 1, 2**15, 2**40 + 1):
            slow = [slow_mask(played, site, first + k, word_bits, dict(keys[site].pair_keys)) for k in range(3)]
            assert mask.words(first, 3, word_bits).tolist() == slow


def test_a_stream_stays_as_it_was_released() -> None:
    attempt = Attempt(RUN, 3, 0, NAMES[:3])
    mask = Mask((masks.self_stream_key(bytes(32), attempt, "alba"),), ())
    key = slow_key(bytes(32), attempt, "self mask", "alba")
    assert mask.words(5, 4, 64).tolist() == [slow_word(key, index) for index in range(5, 9)]
    assert mask.words(5, 1, 64).tolist() == [15609210843393195149]


@given(st.lists(st.integers(0, 90_000), min_size=1, max_size=6), st.integers(1, 64), st.integers(0, 2**61))
@settings(max_examples=30, deadline=None)
def test_parts_in_any_order_make_the_whole(cuts: list[int], word_bits: int, first: int) -> None:
    mask = Mask((os.urandom(32), os.urandom(32)), (os.urandom(32),))
    bounds = sorted({0, 90_000, *cuts})
    whole = mask.words(first, 90_000, word_bits)
    parts = [(start, mask.words(first + start, end - start, word_bits)) for start, end in itertools.pairwise(bounds)]
    for start, part in reversed(parts):
        assert np.array_equal(whole[start : start + part.size], part)
    assert sum(part.size for _, part in parts) == whole.size
    assert whole.dtype == np.uint64
    assert word_bits == 64 or whole.max() < 2**word_bits


@given(st.integers(2, 7), st.integers(1, 64), st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_pair_masks_cancel_and_self_masks_remain(num_sites: int, word_bits: int, first: int) -> None:
    played = play(attempt_of(num_sites))
    total = sum(mask.words(first, 5, word_bits) for mask in played.masks.values()) & np.uint64(2**word_bits - 1)
    own = Mask(tuple(mask.added[0] for mask in played.masks.values()), ())
    assert np.array_equal(total, own.words(first, 5, word_bits))


def test_two_sites_use_one_stream_with_opposite_signs() -> None:
    played = play(attempt_of(5))
    for left, right in itertools.combinations(played.attempt.cohort, 2):
        assert masks.adds(left, right) != masks.adds(right, left)
        both = set(played.masks[left].added[1:]) & set(played.masks[right].subtracted)
        assert len(both) == 1
        assert not set(played.masks[left].subtracted) & set(played.masks[right].added)


def test_no_stream_serves_two_attempts_rounds_or_runs() -> None:
    keys = keys_of(NAMES[:4])
    attempts = [
        attempt_of(3),
        attempt_of(3),  # the same again: its secrets are new all the same
        attempt_of(3, number=1),
        attempt_of(3, round_index=4),
        attempt_of(3, run=bytes(32)),
        attempt_of(4),
    ]
    streams = [
        stream
        for played in (play(attempt, keys=keys) for attempt in attempts)
        for mask in played.masks.values()
        for stream in (*mask.added, *mask.subtracted)
    ]
    # Each pair stream is held by its two sites, each self stream by one.
    pairs = 5 * 3 + 6
    assert len(set(streams)) == pairs + 5 * 3 + 4
    assert len(streams) == 2 * pairs + 5 * 3 + 4


def test_keys_follow_from_the_attempt_and_the_names() -> None:
    attempts = [attempt_of(3), attempt_of(3, number=1), attempt_of(3, round_index=4), attempt_of(3, run=bytes(32))]
    secret = bytes(32)
    derived = [
        one
        for attempt in attempts
        for one in (
            masks.pair_secret_of(secret, attempt, "alba", "brno"),
            masks.pair_secret_of(secret, attempt, "alba", "cork"),
            masks.pair_stream_key(secret, secret, attempt, "alba", "brno"),
            masks.pair_stream_key(secret, secret, attempt, "alba", "cork"),
            masks.self_stream_key(secret, attempt, "alba"),
            masks.self_stream_key(secret, attempt, "brno"),
            masks.wrapping_key(secret, attempt, "alba"),
            masks.mask_key(secret, attempt, "alba").private_bytes_raw(),
            masks.mask_key(secret, attempt, "brno").private_bytes_raw(),
        )
    ]
    assert len(set(derived)) == len(derived)
    first = masks.pair_stream_key(secret, secret, attempts[0], "alba", "brno")
    assert first == masks.pair_stream_key(secret, secret, attempts[0], "brno", "alba")
    assert first != masks.pair_stream_key(os.urandom(32), secret, attempts[0], "alba", "brno")
    assert first != masks.pair_stream_key(secret, os.urandom(32), attempts[0], "alba", "brno")


# Points of order 1, 2, 4 and 8 (RFC 7748 §6.1, and the list at cr.yp.to/ecdh.html).
LOW_ORDER = [
    bytes(32),
    bytes([1]) + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    (2**255 - 20).to_bytes(32, "little"),
    (2**255 - 19).to_bytes(32, "little"),
    (2**255 - 18).to_bytes(32, "little"),
]


@pytest.mark.parametrize("point", LOW_ORDER)
def test_a_mask_key_of_low_order_is_refused(point: bytes) -> None:
    with pytest.raises(WireError, match="'cork'"):
        masks.exchange(masks.mask_key(os.urandom(32), attempt_of(3), "alba"), point, "cork")


@pytest.mark.parametrize(("first", "count", "bits"), [(-1, 1, 8), (0, -1, 8), (0, 1, 0), (0, 1, 65), (2**62, 1, 8)])
def test_no_range_of_a_mask(first: int, count: int, bits: int) -> None:
    with pytest.raises(ValueError, match="no range"):
        Mask((bytes(32),), ()).words(first, count, bits)


def byte_p(words: np.ndarray, word_bits: int) -> float:
    """Chi-square over the values of all bytes."""
    octets = words.astype("<u8").view(np.uint8).reshape(-1, 8)[:, : word_bits // 8]
    return float(stats.chisquare(np.bincount(octets.reshape(-1), minlength=256)).pvalue)


def bit_p(words: np.ndarray, word_bits: int) -> float:
    """Smallest of the two-sided p-values that each bit is fair, times the number of bits."""
    ones = [int((words >> np.uint64(bit) & np.uint64(1)).sum()) for bit in range(word_bits)]
    return min(stats.binomtest(count, words.size).pvalue for count in ones) * word_bits


def pair_p(words: np.ndarray, word_bits: int) -> float:
    """Chi-square over the top four bits of neighbours."""
    top = (words >> np.uint64(word_bits - 4)).astype(np.int64)
    return float(stats.chisquare(np.bincount(16 * top[:-1:2] + top[1::2], minlength=256)).pvalue)


@pytest.mark.parametrize("word_bits", [32, 48, 64])
def test_one_masked_upload_is_uniform_and_plain_words_are_not(word_bits: int) -> None:
    played = play(attempt_of(3))
    rng = np.random.default_rng(1)
    fields = word_bits // 16
    count = 60_000
    # 14-bit values around the middle of fields of 16 bits: what quantised updates look like.
    values = np.clip(rng.normal(8192, 700, (fields, count)), 0, 16383).astype(np.uint64)
    plain = sum(values[field] << np.uint64(16 * field) for field in range(fields))
    words = {site: np.asarray(plain, np.uint64) for site in played.attempt.cohort}
    masked = uploads(played, words, word_bits)
    for upload in masked.values():
        for p_value in (byte_p, bit_p, pair_p):
            assert p_value(upload, word_bits) > UNIFORM_P
    for p_value in (byte_p, bit_p, pair_p):
        assert p_value(words["alba"], word_bits) < UNIFORM_P
    # The same update twice, and the uploads of two sites, have nothing in common.
    again = uploads(play(played.attempt), words, word_bits)
    assert byte_p(masked["alba"] - again["alba"] & np.uint64(2**word_bits - 1), word_bits) > UNIFORM_P
    assert byte_p(masked["alba"] - masked["brno"] & np.uint64(2**word_bits - 1), word_bits) > UNIFORM_P


def test_keys_are_not_shown() -> None:
    key = bytes(range(32))
    assert "added" not in repr(Mask((key,), (key,)))
