"""The key of two sites against a derivation written out with hashlib and hmac alone."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from wardround.errors import WireError
from wardround.protect.handshake_messages import Hello
from wardround.protect.identity import PublicIdentity
from wardround.protect.pairing import Ephemeral, Pair

RUN = hashlib.sha256(b"a run").digest()
IDENTITY = PublicIdentity(bytes(32), bytes(1952))


def parts(*each: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in each)


def hello(site: str, ephemeral: Ephemeral) -> Hello:
    x25519, ml_kem = ephemeral.x25519.public_key().public_bytes_raw(), ephemeral.ml_kem.public_key().public_bytes_raw()
    return Hello(site, IDENTITY, x25519, ml_kem, bytes(32))


def by_hand(run: bytes, first: Hello, second: Hello, ciphertext: bytes, shared: bytes) -> bytes:
    names = (first.site.encode(), second.site.encode())
    exchanged = (names[0], first.x25519, first.ml_kem, names[1], second.x25519, second.ml_kem, ciphertext)
    transcript = hashlib.sha256(b"wardround/1/pair\0" + parts(run, *exchanged)).digest()
    pseudorandom = hmac.new(run, shared, hashlib.sha256).digest()
    info = b"wardround/1/pair key\0" + parts(*names, transcript)
    return hmac.new(pseudorandom, info + b"\x01", hashlib.sha256).digest()


def test_golden_vector() -> None:
    first = Hello("north", IDENTITY, b"\x01" * 32, b"\x02" * 1184, bytes(32))
    second = Hello("südwest", IDENTITY, b"\x03" * 32, b"\x04" * 1184, bytes(32))
    shared, ciphertext = bytes(range(64)), b"\x05" * 1088
    key = Pair(RUN, first, second, ciphertext).key(shared)
    assert key == by_hand(RUN, first, second, ciphertext, shared)
    assert key.hex() == "d912a0c3a17f3759a813d76cb6d8b67540fe0196f4652251918d52cb2c7436a2"


def test_the_confirmation_is_the_hmac_it_is_said_to_be() -> None:
    first = Hello("north", IDENTITY, b"\x01" * 32, b"\x02" * 1184, bytes(32))
    pair = Pair(RUN, first, replace(first, site="south"), b"\x05" * 1088)
    key, check, names = b"\x06" * 32, b"\x07" * 32, (b"south", b"north")
    info = b"wardround/1/confirmation key\0" + parts(*names)
    own_key = hmac.new(key, info + b"\x01", hashlib.sha256).digest()
    message = b"wardround/1/confirmation\0" + parts(RUN, *names, pair.transcript(), check)
    assert pair.confirmation(key, "south", "north", check) == hmac.new(own_key, message, hashlib.sha256).digest()


def test_both_sides_find_one_key() -> None:
    north, south = Ephemeral.new(), Ephemeral.new()
    first, second = hello("north", north), hello("south", south)
    shared, ciphertext = north.initiate(second)
    assert south.respond(first, ciphertext) == shared
    assert shared[:32] == north.x25519.exchange(south.x25519.public_key())
    assert shared[32:] == south.ml_kem.decapsulate(ciphertext)
    assert north.initiate(second)[0] != shared
    pair = Pair(RUN, first, second, ciphertext)
    assert pair.key(shared) == by_hand(RUN, first, second, ciphertext, shared)


def test_the_key_depends_on_everything() -> None:
    north, south = Ephemeral.new(), Ephemeral.new()
    first, second = hello("north", north), hello("south", south)
    shared, ciphertext = north.initiate(second)
    pair = Pair(RUN, first, second, ciphertext)
    others = [
        replace(pair, run_id=bytes(32)),
        replace(pair, first=replace(first, site="east")),
        replace(pair, first=replace(first, x25519=bytes(32))),
        replace(pair, second=replace(second, ml_kem=bytes(1184))),
        replace(pair, first=second, second=first),
        replace(pair, ciphertext=bytes(1088)),
    ]
    keys = [each.key(shared) for each in (pair, *others)]
    keys += [pair.key(bytes(32) + shared[32:]), pair.key(shared[:32] + bytes(32))]
    assert len(set(keys)) == len(keys)


def test_confirmations_differ_by_direction_and_check() -> None:
    ephemeral = Ephemeral.new()
    pair = Pair(RUN, hello("north", ephemeral), hello("south", ephemeral), bytes(1088))
    macs = {
        pair.confirmation(key, *names, check)
        for key in (bytes(32), b"\1" * 32)
        for names in (("north", "south"), ("south", "north"))
        for check in (bytes(32), b"\1" * 32)
    }
    assert len(macs) == 8


@pytest.mark.parametrize("point", [bytes(32), b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_points_of_small_order_are_refused(point: bytes) -> None:
    ephemeral = Ephemeral.new()
    bad = replace(hello("south", Ephemeral.new()), x25519=point)
    for attempt in (lambda: ephemeral.initiate(bad), lambda: ephemeral.respond(bad, bytes(1088))):
        with pytest.raises(WireError, match="south shows an X25519 key of small order"):
            attempt()


def test_an_ml_kem_key_out_of_range_is_refused() -> None:
    # FIPS 203 §7.2: coefficients of the key must be below q = 3329.
    bad = replace(hello("south", Ephemeral.new()), ml_kem=b"\xff" * 1184)
    with pytest.raises(WireError, match="south shows an ML-KEM-768 key that is none"):
        Ephemeral.new().initiate(bad)


def test_no_secret_is_shown() -> None:
    ephemeral = Ephemeral(X25519PrivateKey.generate(), MLKEM768PrivateKey.generate())
    assert "x25519" not in repr(ephemeral).lower()
