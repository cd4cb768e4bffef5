"""Handshakes through a coordinator that swaps, replays, drops and alters what it carries."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import pytest
from handshakes import NAMES, NONCE, PLAN, SECRET, Consortium, addressed, shake
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.errors import TrustError, WireError
from wardround.protect.handshake import Handshake
from wardround.protect.handshake_messages import (
    CONFIRMATION_BYTES,
    MAX_HELLO_BYTES,
    MAX_INTRODUCTION_BYTES,
    MAX_SECRET_BYTES,
    Hello,
    Introduction,
)
from wardround.protect.identity import Identity
from wardround.protect.run_keys import RunKeys
from wardround.protect.trust import StudyTrust, Trust

EAST, NORTH, SOUTHWEST = NAMES
LEADER = EAST
SITES = Consortium()


def no_secret() -> bytes:
    raise AssertionError("asked a site that does not lead")


# An honest coordinator.


@pytest.mark.parametrize("count", [2, 3, 7])
def test_all_sites_hold_the_same_keys(count: int) -> None:
    names = [f"site-{index}" for index in range(count)]
    keys = Consortium(names).shake()
    assert len({each.run_id for each in keys.values()}) == 1
    assert len({each.group_key for each in keys.values()}) == 1
    assert {each.secret for each in keys.values()} == {SECRET}
    assert {each.leader for each in keys.values()} == {"site-0"}
    assert all(list(each.roster) == names for each in keys.values())
    pair_keys = {
        frozenset((a, b)): (keys[a].pair_keys[b], keys[b].pair_keys[a]) for a in names for b in names if a != b
    }
    assert all(one == other for one, other in pair_keys.values())
    assert len({one for one, _ in pair_keys.values()}) == count * (count - 1) // 2


def test_a_new_run_has_new_keys() -> None:
    one, other = SITES.shake(), SITES.shake()
    assert one[NORTH].run_id != other[NORTH].run_id
    assert one[NORTH].group_key != other[NORTH].group_key
    assert one[NORTH].pair_keys[EAST] != other[NORTH].pair_keys[EAST]


def test_the_run_s_name_is_the_digest_it_is_said_to_be() -> None:
    sites = SITES.begin()
    hellos = {name: site.hello for name, site in sites.items()}
    parts = (NONCE, bytes.fromhex(PLAN), *(hellos[name] for name in NAMES))
    by_hand = b"wardround/1/run\0" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    assert shake(sites)[NORTH].run_id == hashlib.sha256(by_hand).digest()


def test_only_the_leader_makes_the_secret() -> None:
    sites = SITES.begin()
    hellos = {name: site.hello for name, site in sites.items()}
    asked = []
    for name in NAMES:
        sites[name].meet(hellos, lambda name=name: asked.append(name) or SECRET)  # type: ignore[func-returns-value]
    assert asked == [LEADER]


@pytest.mark.parametrize("size_bytes", [0, 1, MAX_SECRET_BYTES])
def test_secrets_of_any_legal_size_arrive(size_bytes: int) -> None:
    secret = os.urandom(size_bytes)
    assert {keys.secret for keys in shake(SITES.begin(), secret=secret).values()} == {secret}


def test_a_secret_that_is_too_long_is_the_caller_s_error() -> None:
    with pytest.raises(ValueError, match="exceeds 65536"):
        shake(SITES.begin(), secret=bytes(MAX_SECRET_BYTES + 1))


def test_messages_have_bounds() -> None:
    longest = Consortium(["a" * 128, "b" * 128])
    sites = longest.begin()
    hellos = {name: site.hello for name, site in sites.items()}
    assert {len(hello) for hello in hellos.values()} == {MAX_HELLO_BYTES}
    introductions = {name: site.meet(hellos, lambda: bytes(MAX_SECRET_BYTES)) for name, site in sites.items()}
    assert len(introductions["a" * 128]["b" * 128]) == MAX_INTRODUCTION_BYTES
    confirmations = {name: site.bind(addressed(introductions, name)) for name, site in sites.items()}
    assert {len(message) for each in confirmations.values() for message in each.values()} == {CONFIRMATION_BYTES}


def test_the_secret_does_not_travel_in_the_clear() -> None:
    carried: list[bytes] = []

    def listen(sender: str, receiver: str, message: bytes) -> bytes:
        carried.append(message)
        return message

    keys = SITES.shake(hello=listen, introduction=listen, confirmation=listen)
    everything = b"".join(carried)
    for secret in (SECRET, keys[EAST].group_key, *keys[EAST].pair_keys.values()):
        assert secret not in everything
    assert SECRET[:22] not in everything


# A coordinator that plays false.


def test_its_own_identity_in_a_site_s_place_is_refused_by_fingerprint() -> None:
    mallory = Identity.new()
    trusts_all = StudyTrust(SOUTHWEST, {name: key.public.fingerprint for name, key in SITES.identities.items()})
    false = Handshake(SOUTHWEST, mallory, trusts_all, NONCE, PLAN)

    def swap(sender: str, receiver: str, message: bytes) -> bytes:
        return false.hello if sender == SOUTHWEST and receiver != SOUTHWEST else message

    with pytest.raises(TrustError) as caught:
        SITES.shake(hello=swap)
    known = SITES.identities[SOUTHWEST].public.fingerprint
    assert all(word in str(caught.value) for word in (SOUTHWEST, mallory.public.fingerprint, known))


@pytest.mark.parametrize("key", ["x25519", "ml_kem", "fresh"])
def test_exchanged_ephemeral_keys_are_refused_by_signature(key: str) -> None:
    own = Hello.from_bytes("own", SITES.begin()[NORTH].hello)

    def swap(sender: str, receiver: str, message: bytes) -> bytes:
        if sender != NORTH or receiver == NORTH:
            return message
        return replace(Hello.from_bytes("", message), **{key: getattr(own, key)}).to_bytes()

    with pytest.raises(TrustError, match=f"hello of {NORTH} is not signed by {NORTH} for this run"):
        SITES.shake(hello=swap)


@pytest.mark.parametrize(("nonce", "plan"), [(b"another nonce 16", PLAN), (NONCE, "cd" * 32)])
def test_a_hello_of_another_run_or_plan_is_refused(nonce: bytes, plan: str) -> None:
    old = SITES.begin(nonce, plan)

    def replay(sender: str, receiver: str, message: bytes) -> bytes:
        return old[sender].hello if sender == NORTH != receiver else message

    with pytest.raises(TrustError, match=f"hello of {NORTH} is not signed by {NORTH} for this run and plan"):
        SITES.shake(hello=replay)


def test_sites_with_different_plans_do_not_meet() -> None:
    sites = SITES.begin()
    sites[NORTH] = Handshake(NORTH, SITES.identities[NORTH], SITES.trust(NORTH, "cd" * 32), NONCE, "cd" * 32)
    with pytest.raises(TrustError, match=f"{NORTH} runs another plan"):
        shake(sites)


def test_an_old_hello_under_the_same_nonce_gives_no_keys() -> None:
    # The signature holds, because the coordinator repeats the nonce; nobody confirms.
    old = SITES.begin()

    def replay(sender: str, receiver: str, message: bytes) -> bytes:
        return old[sender].hello if sender == NORTH != receiver else message

    with pytest.raises(TrustError, match="is not signed by"):
        SITES.shake(hello=replay)


def test_a_site_that_is_away_cannot_be_played_from_its_old_messages() -> None:
    two = Consortium([EAST, NORTH])
    old = two.begin()
    heard = shake_and_listen(old)
    east = two.begin()[EAST]
    east.meet({EAST: east.hello, NORTH: old[NORTH].hello}, lambda: SECRET)
    east.bind({})
    with pytest.raises(TrustError, match=f"{NORTH} does not confirm the key that {EAST} has"):
        east.confirm({NORTH: heard[NORTH, EAST]})


def shake_and_listen(sites: dict[str, Handshake]) -> dict[tuple[str, str], bytes]:
    """Return the last message that each site sent to each other in a whole handshake."""
    heard: dict[tuple[str, str], bytes] = {}

    def listen(sender: str, receiver: str, message: bytes) -> bytes:
        heard[sender, receiver] = message
        return message

    shake(sites, confirmation=listen)
    return heard


def test_sites_that_are_told_of_different_rosters_do_not_pair() -> None:
    sites = SITES.begin()
    hellos = {name: site.hello for name, site in sites.items()}
    all_three = sites[EAST].meet(hellos, lambda: SECRET)
    sites[NORTH].meet({EAST: hellos[EAST], NORTH: hellos[NORTH]}, no_secret)
    with pytest.raises(TrustError, match=f"introduction from {EAST} is not signed by {EAST} for {NORTH} in this run"):
        sites[NORTH].bind({EAST: all_three[NORTH]})


def test_swapped_introductions_are_refused() -> None:
    sites = SITES.begin()
    hellos = {name: site.hello for name, site in sites.items()}
    sent = {name: site.meet(hellos, lambda: SECRET) for name, site in sites.items()}
    with pytest.raises(TrustError, match=f"introduction from {EAST} is not signed by {EAST} for {NORTH}"):
        sites[NORTH].bind({EAST: sent[EAST][SOUTHWEST]})
    with pytest.raises(TrustError, match="is not signed"):
        sites[SOUTHWEST].bind({EAST: sent[NORTH][SOUTHWEST], NORTH: sent[EAST][SOUTHWEST]})


def test_an_introduction_of_another_run_is_refused() -> None:
    old = SITES.begin()
    stale = old[EAST].meet({name: site.hello for name, site in old.items()}, lambda: SECRET)
    with pytest.raises(TrustError, match=f"introduction from {EAST} is not signed"):
        SITES.shake(introduction=lambda sender, to, message: stale[to] if sender == EAST else message)


@pytest.mark.parametrize("kind", ["introduction", "confirmation"])
def test_a_lost_message_is_named(kind: str) -> None:
    def drop(sender: str, receiver: str, message: bytes) -> bytes | None:
        return None if sender == NORTH and receiver == SOUTHWEST else message

    with pytest.raises(WireError, match=f"the {kind} from {NORTH} did not arrive"):
        SITES.shake(**{kind: drop})


def test_messages_from_nowhere_are_refused() -> None:
    sites = SITES.begin()
    hellos = {name: site.hello for name, site in sites.items()}
    sent = sites[EAST].meet(hellos, lambda: SECRET)
    sites[NORTH].meet(hellos, no_secret)
    with pytest.raises(WireError, match="'west' has no introduction to send here"):
        sites[NORTH].bind({EAST: sent[NORTH], "west": sent[NORTH]})
    with pytest.raises(WireError, match="has no introduction to send here"):
        sites[EAST].bind({NORTH: sent[NORTH]})


def test_swapped_and_returned_confirmations_are_refused() -> None:
    sites = SITES.begin()
    heard = shake_and_listen(sites)
    for senders in ((SOUTHWEST, NORTH), (NORTH, NORTH)):
        again = iter(senders)
        with pytest.raises(TrustError, match="does not confirm the key"):
            SITES.shake(confirmation=lambda sender, to, message, again=again: heard[next(again), EAST])
    # A site's own confirmation, sent back to it, proves nothing of its peer.
    sites = SITES.begin()
    hellos = {name: site.hello for name, site in sites.items()}
    sent = {name: site.meet(hellos, lambda: SECRET) for name, site in sites.items()}
    confirmations = {name: site.bind(addressed(sent, name)) for name, site in sites.items()}
    with pytest.raises(TrustError, match="does not confirm the key"):
        sites[NORTH].confirm({EAST: confirmations[NORTH][EAST], SOUTHWEST: confirmations[NORTH][SOUTHWEST]})


def test_the_own_hello_must_come_back_as_it_was() -> None:
    second = SITES.begin()
    for change in (
        lambda sender, to, message: second[sender].hello if sender == to == NORTH else message,
        lambda sender, to, message: None if sender == to == NORTH else message,
    ):
        with pytest.raises(TrustError, match=f"the hello of {NORTH} came back altered or not at all"):
            SITES.shake(hello=change)


def test_relabelled_and_doubled_sites_are_refused() -> None:
    sites = SITES.begin()
    hellos = {name: site.hello for name, site in sites.items()}
    with pytest.raises(TrustError, match=f"came as that of {NORTH} is {EAST}'s"):
        sites[SOUTHWEST].meet(hellos | {NORTH: hellos[EAST]}, no_secret)
    # One identity under two names, which a careless trust.toml could hold.
    twin = Consortium([EAST, NORTH, "twin"], {EAST: SITES.identities[EAST], "twin": SITES.identities[EAST]})
    with pytest.raises(TrustError, match=f"{EAST} and twin show one identity"):
        twin.shake()


@pytest.mark.parametrize("count", [0, 1, 201])
def test_the_number_of_sites_is_bounded(count: int) -> None:
    sites = SITES.begin()
    hellos = {f"site-{index}": b"" for index in range(count)}
    with pytest.raises(WireError, match=f"{count} hellos arrived: a run has 2 to 200 sites"):
        sites[NORTH].meet(hellos, no_secret)


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 129, 7])
def test_names_that_no_site_has_are_refused(name: str) -> None:
    sites = SITES.begin()
    with pytest.raises(WireError, match="which is no site name"):
        sites[NORTH].meet({NORTH: sites[NORTH].hello, name: b""}, no_secret)


KINDS = ("hello", "introduction", "confirmation")


@settings(max_examples=150)
@given(kind=st.sampled_from(KINDS), at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_refused_by_name(kind: str, at: float, bit: int) -> None:
    def flip(sender: str, receiver: str, message: bytes) -> bytes:
        if (sender, receiver) != (EAST, NORTH):
            return message
        damaged = bytearray(message)
        damaged[int(at * len(message))] ^= 1 << bit
        return bytes(damaged)

    with pytest.raises((WireError, TrustError), match=EAST):
        SITES.shake(**{kind: flip})


@settings(max_examples=150)
@given(kind=st.sampled_from(KINDS), data=st.data())
def test_cut_lengthened_and_invented_messages_are_refused(kind: str, data: st.DataObject) -> None:
    def replaced(sender: str, receiver: str, message: bytes) -> bytes:
        if (sender, receiver) != (EAST, NORTH):
            return message
        cut = st.integers(0, len(message) - 1).map(lambda length: message[:length])
        spliced = st.tuples(cut, st.binary(max_size=40)).map(b"".join).filter(lambda made: made != message)
        return data.draw(
            st.one_of(cut, spliced, st.binary(max_size=60), st.just(message + b"\0"), st.just(message * 60))
        )

    with pytest.raises((WireError, TrustError), match=EAST):
        SITES.shake(**{kind: replaced})


@pytest.mark.parametrize("nothing", [None, 7, "text", [1]])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_bytes_is_a_wire_error(kind: str, nothing: object) -> None:
    with pytest.raises(WireError, match=f"from {EAST}|of {EAST}"):
        SITES.shake(**{kind: lambda sender, to, message: [nothing][0] or [] if sender == EAST != to else message})  # type: ignore[dict-item]


# Sites that play false.


def test_a_leader_that_gives_two_secrets_is_named() -> None:
    sites = SITES.begin()
    hellos = {name: site.hello for name, site in sites.items()}
    sent = {name: site.meet(hellos, lambda: SECRET) for name, site in sites.items()}
    leader = sites[LEADER]
    leader._secret = leader._secret + b"\0"
    sent[LEADER][SOUTHWEST] = leader._introduce(SOUTHWEST)
    confirmations = {name: site.bind(addressed(sent, name)) for name, site in sites.items()}
    for name in (NORTH, SOUTHWEST):
        with pytest.raises(TrustError, match=f"the run secret that {LEADER} made is not the same at {name} and"):
            sites[name].confirm(addressed(confirmations, name))


def test_a_leader_s_short_secret_does_not_pass_for_one_with_zeros() -> None:
    # HMAC alone takes both for the same key.
    checks = set()
    for secret in (b"k" * 40, b"k" * 40 + b"\0"):
        site = SITES.begin()[NORTH]
        site._secret = secret
        checks.add(site._check())
    assert len(checks) == 2


def signed_again(sites: dict[str, Handshake], sender: str, receiver: str, introduction: Introduction) -> bytes:
    site = sites[sender]
    message = introduction.signed(site._run_id, site._hellos[sender], site._hellos[receiver])
    return replace(introduction, signature=SITES.identities[sender].sign_both(message)).to_bytes()


def test_secrets_from_another_than_the_leader_and_none_from_the_leader_are_refused() -> None:
    sites = SITES.begin()
    hellos = {name: site.hello for name, site in sites.items()}
    sent = {name: site.meet(hellos, lambda: SECRET) for name, site in sites.items()}
    boxes = {name: Introduction.from_bytes("", sent[name][SOUTHWEST]) for name in (EAST, NORTH)}
    usurped = signed_again(sites, NORTH, SOUTHWEST, replace(boxes[NORTH], box=boxes[EAST].box))
    with pytest.raises(WireError, match=f"introduction from {NORTH} holds a run secret, which {EAST} alone makes"):
        sites[SOUTHWEST].bind({EAST: sent[EAST][SOUTHWEST], NORTH: usurped})
    to_north = Introduction.from_bytes("", sent[EAST][NORTH])
    for box in (b"", boxes[EAST].box):
        again = SITES.begin()
        hellos = {name: site.hello for name, site in again.items()}
        messages = {name: site.meet(hellos, lambda: SECRET) for name, site in again.items()}
        to_north = Introduction.from_bytes("", messages[EAST][NORTH])
        with pytest.raises(TrustError, match=f"the run secret from {EAST} does not open"):
            again[NORTH].bind({EAST: signed_again(again, EAST, NORTH, replace(to_north, box=box))})


def test_a_secret_without_a_group_key_is_refused() -> None:
    sites = SITES.begin()
    hellos = {name: site.hello for name, site in sites.items()}
    leader = sites[LEADER]
    leader.meet(hellos, lambda: SECRET)
    leader._secret = b"short"
    sites[NORTH].meet(hellos, no_secret)
    with pytest.raises(TrustError, match=f"the run secret from {LEADER} does not open"):
        sites[NORTH].bind({LEADER: leader._introduce(NORTH)})


def test_the_signature_of_an_introduction_is_over_all_of_it() -> None:
    hello = Hello.from_bytes("", SITES.begin()[NORTH].hello)
    other = replace(hello, site="other")
    introduction = Introduction(bytes(1088), b"box")
    messages = [
        introduction.signed(bytes(32), hello, other),
        introduction.signed(b"\1" * 32, hello, other),
        introduction.signed(bytes(32), other, hello),
        *(introduction.signed(bytes(32), replace(hello, **{key: b"k"}), other) for key in ("x25519", "ml_kem")),
        *(introduction.signed(bytes(32), hello, replace(other, **{key: b"k"})) for key in ("x25519", "ml_kem")),
        replace(introduction, box=b"").signed(bytes(32), hello, other),
        replace(introduction, ciphertext=b"").signed(bytes(32), hello, other),
    ]
    assert len(set(messages)) == len(messages)


def test_another_ciphertext_than_the_sender_s_own_is_found_by_confirmation() -> None:
    sites = SITES.begin()
    hellos = {name: site.hello for name, site in sites.items()}
    sent = {name: site.meet(hellos, lambda: SECRET) for name, site in sites.items()}
    false = replace(Introduction.from_bytes("", sent[NORTH][SOUTHWEST]), ciphertext=os.urandom(1088))
    sent[NORTH][SOUTHWEST] = signed_again(sites, NORTH, SOUTHWEST, false)
    confirmations = {name: site.bind(addressed(sent, name)) for name, site in sites.items()}
    with pytest.raises(TrustError, match=f"{NORTH} does not confirm the key that {SOUTHWEST} has"):
        sites[SOUTHWEST].confirm(addressed(confirmations, SOUTHWEST))


def test_a_peer_with_a_key_of_small_order_is_refused_by_name() -> None:
    # Signed by its owner, so that the key itself must be refused.
    sites = SITES.begin()
    own = replace(Hello.from_bytes("", sites[EAST].hello), x25519=bytes(32))
    signature = SITES.identities[EAST].sign_both(own.signed(NONCE, bytes.fromhex(PLAN)))
    hellos = {name: site.hello for name, site in sites.items()} | {EAST: replace(own, signature=signature).to_bytes()}
    before = {EAST: Hello.from_bytes("", hellos[EAST])}
    sites[NORTH].meet(hellos, no_secret)
    introduction = Introduction(bytes(1088), bytes(28))
    message = introduction.signed(sites[NORTH]._run_id, before[EAST], sites[NORTH]._hellos[NORTH])
    signed = replace(introduction, signature=SITES.identities[EAST].sign_both(message)).to_bytes()
    with pytest.raises(WireError, match=f"{EAST} shows an X25519 key of small order"):
        sites[NORTH].bind({EAST: signed})


# What a site refuses at the start, and the order of steps.


def test_a_plan_that_is_not_approved_is_refused_before_anything_is_signed() -> None:
    with pytest.raises(TrustError, match=f"{NORTH} has not approved the plan {'cd' * 32}.*wardround site approve"):
        Handshake(NORTH, SITES.identities[NORTH], SITES.trust(NORTH), NONCE, "cd" * 32)


def test_the_name_must_be_the_site_s_own() -> None:
    with pytest.raises(TrustError, match=f"asked to be site '{EAST}', but its keys are those of {NORTH}"):
        Handshake(EAST, SITES.identities[NORTH], SITES.trust(NORTH), NONCE, PLAN)


@pytest.mark.parametrize(
    ("nonce", "plan"),
    [(b"", PLAN), (bytes(17), PLAN), (None, PLAN), ("x" * 16, PLAN), (NONCE, ""), (NONCE, "AB" * 32), (NONCE, None)],
)
def test_nonce_and_digest_are_exact(nonce: bytes, plan: str) -> None:
    with pytest.raises(WireError, match=r"not 16 bytes|not 64 hexadecimal digits"):
        Handshake(NORTH, SITES.identities[NORTH], StudyTrust(NORTH, {}), nonce, plan)


def test_steps_come_once_and_in_order() -> None:
    sites = SITES.begin()
    hellos = {name: site.hello for name, site in sites.items()}
    with pytest.raises(WireError, match="to bind, but what comes next is meet: begin anew"):
        sites[NORTH].bind({})
    with pytest.raises(WireError, match="what comes next is nothing"):
        sites[NORTH].meet(hellos, no_secret)
    sites[EAST].meet(hellos, lambda: SECRET)
    with pytest.raises(WireError, match="to meet, but what comes next is bind"):
        sites[EAST].meet(hellos, lambda: SECRET)
    with pytest.raises(WireError, match="to confirm, but what comes next is nothing"):
        sites[EAST].confirm({})


def test_after_an_error_a_handshake_is_over() -> None:
    sites = SITES.begin()
    hellos = {name: site.hello for name, site in sites.items()}
    with pytest.raises(WireError):
        sites[NORTH].meet({**hellos, EAST: b""}, no_secret)
    with pytest.raises(WireError, match="what comes next is nothing: begin anew"):
        sites[NORTH].meet(hellos, no_secret)


def test_private_ephemeral_keys_are_gone_before_the_run_begins() -> None:
    sites = SITES.begin()
    shake(sites)
    assert not any("_ephemeral" in vars(site) for site in sites.values())


def test_no_secret_is_shown() -> None:
    sites = SITES.begin()
    keys: RunKeys = shake(sites)[NORTH]
    shown = repr(keys) + repr(sites[NORTH])
    for secret in (keys.secret, keys.group_key, *keys.pair_keys.values()):
        assert repr(secret)[2:20] not in shown
        assert secret.hex()[:16] not in shown


def test_a_site_that_trusts_nobody_meets_nobody() -> None:
    sites = SITES.begin()
    hellos = {name: site.hello for name, site in sites.items()}
    alone = Handshake(NORTH, SITES.identities[NORTH], Trust(NORTH, (PLAN,)), NONCE, PLAN)
    with pytest.raises(TrustError, match=f"{NORTH} does not know {EAST}"):
        alone.meet(hellos | {NORTH: alone.hello}, no_secret)
