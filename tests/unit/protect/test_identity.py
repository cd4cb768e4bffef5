"""Identities: two signatures, both needed, bound to their signer and to what they are for."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.errors import WireError
from wardround.protect.identity import (
    BOTH_SIGNATURES_BYTES,
    PUBLIC_BYTES,
    SIGNATURE_BYTES,
    Identity,
    PublicIdentity,
    digits,
    grouped,
)

ME, OTHER = Identity.new(), Identity.new()
MESSAGE = b"a survivor list"
ALONE, BOTH = ME.sign(MESSAGE), ME.sign_both(MESSAGE)


def test_signatures_verify_and_have_one_length() -> None:
    assert len(ALONE) == SIGNATURE_BYTES == 64
    assert len(BOTH) == BOTH_SIGNATURES_BYTES == 64 + 3309
    assert ME.public.verify(MESSAGE, ALONE)
    assert ME.public.verify_both(MESSAGE, BOTH)
    assert len(ME.sign_both(b"")) == len(BOTH)


def test_another_message_or_signer_is_refused() -> None:
    assert not ME.public.verify(MESSAGE + b"!", ALONE)
    assert not ME.public.verify_both(MESSAGE + b"!", BOTH)
    assert not OTHER.public.verify(MESSAGE, ALONE)
    assert not OTHER.public.verify_both(MESSAGE, BOTH)


@given(at=st.integers(0, BOTH_SIGNATURES_BYTES - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused(at: int, bit: int) -> None:
    damaged = bytearray(BOTH)
    damaged[at] ^= 1 << bit
    assert not ME.public.verify_both(MESSAGE, bytes(damaged))
    if at < SIGNATURE_BYTES:
        alone = bytearray(ALONE)
        alone[at] ^= 1 << bit
        assert not ME.public.verify(MESSAGE, bytes(alone))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_signature_are_refused_without_an_error(noise: bytes) -> None:
    assert not ME.public.verify(MESSAGE, noise)
    assert not ME.public.verify_both(MESSAGE, noise)
    assert not ME.public.verify_both(MESSAGE, BOTH + noise[:1] if noise else BOTH[:-1])


def test_both_signatures_are_needed() -> None:
    forged = OTHER.sign_both(MESSAGE)
    assert not ME.public.verify_both(MESSAGE, BOTH[:64] + forged[64:])
    assert not ME.public.verify_both(MESSAGE, forged[:64] + BOTH[64:])
    # Whoever broke one of the two schemes, and has the other key themselves, still signs for nobody.
    ed25519, ml_dsa = ME.to_bytes()[5:37], ME.to_bytes()[37:]
    half = Identity(ed25519, OTHER.to_bytes()[37:])
    assert not ME.public.verify_both(MESSAGE, half.sign_both(MESSAGE))
    other_half = Identity(OTHER.to_bytes()[5:37], ml_dsa)
    assert not ME.public.verify_both(MESSAGE, other_half.sign_both(MESSAGE))


def test_the_halves_and_the_single_signature_do_not_stand_in_for_each_other() -> None:
    assert not ME.public.verify(MESSAGE, BOTH[:64])
    assert not ME.public.verify_both(MESSAGE, ALONE + BOTH[64:])


def test_a_pair_with_one_key_exchanged_does_not_fit_the_other_half() -> None:
    # Each half alone still holds against the old key; the fingerprint under it does not.
    mixed = PublicIdentity(ME.public.ed25519, OTHER.public.ml_dsa)
    assert not mixed.verify(MESSAGE, ALONE)
    assert mixed.fingerprint not in (ME.public.fingerprint, OTHER.public.fingerprint)


def test_private_and_public_bytes_round_trip() -> None:
    again = Identity.from_bytes(ME.to_bytes())
    assert again.public == ME.public
    assert ME.public.verify_both(MESSAGE, again.sign_both(MESSAGE))
    assert PublicIdentity.from_bytes(ME.public.to_bytes()) == ME.public
    assert len(ME.public.to_bytes()) == PUBLIC_BYTES


@given(st.binary(max_size=80))
def test_bytes_that_are_no_identity_are_wire_errors(noise: bytes) -> None:
    for reads in (Identity.from_bytes, PublicIdentity.from_bytes):
        with pytest.raises(WireError):
            reads(noise)


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b"X" + b[1:], lambda b: b""])
def test_length_and_version_are_exact(change) -> None:
    with pytest.raises(WireError, match="public identity"):
        PublicIdentity.from_bytes(change(ME.public.to_bytes()))
    with pytest.raises(WireError, match="private identity"):
        Identity.from_bytes(change(ME.to_bytes()))
    with pytest.raises(WireError, match="version"):
        PublicIdentity.from_bytes(b"WRIP\x02" + ME.public.to_bytes()[5:])


def test_fingerprint_is_the_digest_it_is_said_to_be() -> None:
    ed25519, ml_dsa = bytes(range(32)), bytes(1952)
    by_hand = b"wardround/1/fingerprint\0" + b"\0\0\0\x20" + ed25519 + (1952).to_bytes(4, "big") + ml_dsa
    assert PublicIdentity(ed25519, ml_dsa).fingerprint == hashlib.sha256(by_hand).hexdigest()
    assert len({ME.public.fingerprint, OTHER.public.fingerprint, Identity.new().public.fingerprint}) == 3


def test_no_secret_is_shown() -> None:
    secret = ME.to_bytes()[5:].hex()
    assert ME.public.fingerprint in repr(ME)
    assert secret[:16] not in repr(ME) + str(vars(ME))


def test_fingerprints_are_read_out_in_groups_and_read_back() -> None:
    plain = ME.public.fingerprint
    assert grouped(plain).split() == [plain[i : i + 4] for i in range(0, 64, 4)]
    for written in (grouped(plain), plain.upper(), ":".join(grouped(plain).split()), plain + "\n"):
        assert digits(written) == plain
    for wrong in ("", plain[:-1], plain + "0", "g" + plain[1:], plain.replace(plain[0], "é")):
        assert digits(wrong) is None
