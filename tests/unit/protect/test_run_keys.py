"""The keys of a run: boxes that open for one site, one direction and one place; bytes for the vault."""

from __future__ import annotations

import pytest
from handshakes import NAMES, Consortium
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.errors import WireError
from wardround.protect.run_keys import RunKeys

EAST, NORTH, SOUTHWEST = NAMES
SITES = Consortium()
KEYS, OTHER_RUN = SITES.shake(), SITES.shake()
PLACE = b"offer, round 3, attempt 0"


@given(plaintext=st.binary(max_size=100), place=st.binary(max_size=20))
def test_a_box_opens_at_its_receiver(plaintext: bytes, place: bytes) -> None:
    box = KEYS[EAST].seal(NORTH, plaintext, place)
    assert len(box) == len(plaintext) + 28
    assert KEYS[NORTH].open_(EAST, box, place) == plaintext
    shared = KEYS[EAST].seal_for_roster(plaintext, place)
    assert {KEYS[name].open_from_roster(shared, place) for name in NAMES} == {plaintext}


def test_a_box_opens_nowhere_else() -> None:
    box = KEYS[EAST].seal(NORTH, b"a share", PLACE)
    for site, sender, place in (
        (SOUTHWEST, EAST, PLACE),  # another receiver
        (NORTH, SOUTHWEST, PLACE),  # another sender
        (EAST, NORTH, PLACE),  # sent back
        (NORTH, EAST, b"offer, round 3, attempt 1"),  # another place
    ):
        with pytest.raises(WireError, match=f"a box from {sender} does not open"):
            KEYS[site].open_(sender, box, place)
    with pytest.raises(WireError, match="does not open"):
        OTHER_RUN[NORTH].open_(EAST, box, PLACE)
    shared = KEYS[EAST].seal_for_roster(b"a model", PLACE)
    for keys, place in ((OTHER_RUN[EAST], PLACE), (KEYS[NORTH], b"")):
        with pytest.raises(WireError, match="a box for all sites does not open"):
            keys.open_from_roster(shared, place)
    for kind, keys in ((box, KEYS[NORTH].open_from_roster), (shared, lambda b, p: KEYS[NORTH].open_(EAST, b, p))):
        with pytest.raises(WireError):
            keys(kind, PLACE)


def test_the_same_content_gives_different_boxes() -> None:
    assert len({KEYS[EAST].seal(NORTH, b"a share", PLACE) for _ in range(100)}) == 100
    assert len({KEYS[EAST].seal_for_roster(b"a share", PLACE) for _ in range(100)}) == 100


@given(at=st.integers(0, 34), bit=st.integers(0, 7), noise=st.binary(max_size=60))
def test_altered_boxes_do_not_open(at: int, bit: int, noise: bytes) -> None:
    box = bytearray(KEYS[EAST].seal(NORTH, b"a share", PLACE))
    box[at] ^= 1 << bit
    for false in (bytes(box), noise, bytes(box[:at])):
        with pytest.raises(WireError):
            KEYS[NORTH].open_(EAST, false, PLACE)
        with pytest.raises(WireError):
            KEYS[NORTH].open_from_roster(false, PLACE)


@pytest.mark.parametrize("stranger", ["west", NORTH, ""])
def test_only_other_sites_of_the_run_are_peers(stranger: str) -> None:
    assert KEYS[NORTH].peers == (EAST, SOUTHWEST)
    with pytest.raises(WireError, match="is no other site of this run"):
        KEYS[NORTH].seal(stranger, b"", PLACE)
    with pytest.raises(WireError, match="is no other site of this run"):
        KEYS[NORTH].open_(stranger, bytes(40), PLACE)


def test_a_resumed_run_goes_on_with_the_same_keys() -> None:
    again = {name: RunKeys.from_bytes(keys.to_bytes()) for name, keys in KEYS.items()}
    assert again == KEYS
    assert again[NORTH].open_(EAST, KEYS[EAST].seal(NORTH, b"a share", PLACE), PLACE) == b"a share"
    message = b"a survivor list"
    assert again[NORTH].roster[EAST].verify(message, SITES.identities[EAST].sign(message))


def test_a_site_twice_out_of_order_or_missing_is_refused() -> None:
    keys = KEYS[NORTH]
    entries = [keys._entry(name) for name in NAMES]
    written = keys.to_bytes()
    assert b"".join(entries) in written
    for false in (
        written.replace(b"".join(entries), entries[2] + entries[1] + entries[0]),
        written.replace(b"".join(entries), entries[0] + entries[1] + entries[0]),
        written.replace(b"\0\x03" + b"".join(entries), b"\0\x02" + entries[0] + entries[2]),
        written.replace(b"\0\x03" + b"".join(entries), b"\0\x01" + entries[1]),
    ):
        with pytest.raises(WireError, match="not those of one site among others"):
            RunKeys.from_bytes(false)


WRITTEN = KEYS[NORTH].to_bytes()


@settings(max_examples=60)
@given(length=st.integers(60, len(WRITTEN) - 1), noise=st.binary(max_size=50))
def test_bytes_that_are_no_keys_are_wire_errors(length: int, noise: bytes) -> None:
    for false in (WRITTEN[:length], noise, WRITTEN + noise + b"\0", noise + WRITTEN[length:]):
        with pytest.raises(WireError):
            RunKeys.from_bytes(false)


@settings(max_examples=60)
@given(at=st.integers(0, len(WRITTEN) - 1), bit=st.integers(0, 7))
def test_altered_keys_are_refused_or_read_as_what_they_say(at: int, bit: int) -> None:
    damaged = bytearray(WRITTEN)
    damaged[at] ^= 1 << bit
    try:
        read = RunKeys.from_bytes(bytes(damaged))
    except WireError:
        return
    assert read.to_bytes() == bytes(damaged)
