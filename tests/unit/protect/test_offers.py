"""Offers: they arrive whole, from whom they say, for this attempt, or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from masked_round import NAMES, Keys, attempt_of, damaged, keys_of, play

from wardround.errors import SiteError, WireError
from wardround.protect.attempt import Attempt
from wardround.protect.offers import MaskSecrets, Received, commits_to, public_mask_key, unwrapped
from wardround.protect.shamir import combine

HEAD = 4  # bytes of the index that a record starts with


def dealt(attempt: Attempt, keys: dict[str, Keys], threshold: int = 2) -> tuple[MaskSecrets, dict[str, bytes]]:
    """Return alba's secrets, and what its peers offer to it."""
    own = MaskSecrets.new(attempt, "alba", threshold, keys["alba"])
    peers = attempt.peers("alba")
    offers = {peer: MaskSecrets.new(attempt, peer, threshold, keys[peer]).offers(keys[peer])["alba"] for peer in peers}
    return own, offers


def test_shares_held_by_all_open_both_seeds_of_everyone() -> None:
    played = play(attempt_of(4), 3)
    for place, (subject, secrets) in enumerate(played.secrets.items()):
        held = {played.attempt.index(site): one for site, one in played.received.items()}
        assert combine({i: one.mask_shares[place] for i, one in held.items()}, 3) == secrets.mask_seed
        assert combine({i: one.self_shares[place] for i, one in held.items()}, 3) == secrets.self_seed
        for one in held.values():
            shown = one.shown[place]
            assert shown == played.received["alba"].shown[place]
            assert shown.mask_key == public_mask_key(secrets.mask_seed, played.attempt, subject)
            assert commits_to(shown, secrets.self_seed, played.attempt, subject)
            assert not commits_to(shown, secrets.mask_seed, played.attempt, subject)
            wrapped = dict(zip(played.attempt.peers(subject), secrets.pair_secrets, strict=True))
            assert unwrapped(shown, secrets.mask_seed, played.attempt, subject) == wrapped
            assert unwrapped(shown, secrets.self_seed, played.attempt, subject) is None


def test_both_ends_hold_the_same_pair_secret_and_nobody_else() -> None:
    played = play(attempt_of(4))
    found = {
        (site, peer): secret
        for site, one in played.secrets.items()
        for peer, secret in zip(played.attempt.peers(site), one.pair_secrets, strict=True)
    }
    assert all(found[site, peer] == found[peer, site] for site, peer in found)
    assert len(set(found.values())) == 6


def test_secrets_are_new_every_time_and_not_shown() -> None:
    keys = keys_of(NAMES[:3])
    left, right = (MaskSecrets.new(attempt_of(3), "alba", 2, keys["alba"]) for _ in range(2))
    assert not {left.mask_seed, left.self_seed, *left.mask_shares} & {
        right.mask_seed,
        right.self_seed,
        *right.mask_shares,
    }
    played = play(attempt_of(3))
    for text in (repr(left), repr(played.received["alba"])):
        assert "seed" not in text
        assert "shares" not in text
        assert "pair_secrets" not in text


def test_what_is_stored_comes_back() -> None:
    played = play(attempt_of(5), 3)
    for site in played.attempt.cohort:
        secrets = MaskSecrets.from_bytes(played.secrets[site].to_bytes())
        received = Received.from_bytes(played.received[site].to_bytes())
        assert dataclasses.astuple(secrets) == dataclasses.astuple(played.secrets[site])
        assert dataclasses.astuple(received) == dataclasses.astuple(played.received[site])
        assert secrets.mask(received) == played.masks[site]


def test_offers_sent_again_after_a_restart_say_the_same() -> None:
    keys = keys_of(NAMES[:3])
    attempt = attempt_of(3)
    own, offers = dealt(attempt, keys)
    brno = MaskSecrets.new(attempt, "brno", 2, keys["brno"])
    first = own.accept({**offers, "brno": brno.offers(keys["brno"])["alba"]}, keys["alba"])
    again = MaskSecrets.from_bytes(brno.to_bytes()).offers(keys["brno"])["alba"]
    assert own.accept({**offers, "brno": again}, keys["alba"]).to_bytes() == first.to_bytes()


@pytest.mark.parametrize("kind", [MaskSecrets, Received])
def test_a_damaged_store_is_refused(kind: type[MaskSecrets] | type[Received]) -> None:
    played = play(attempt_of(4))
    one = played.secrets["alba"] if kind is MaskSecrets else played.received["alba"]
    data = one.to_bytes()
    rng = np.random.default_rng(2)
    for _ in range(500):
        changed = damaged(data, rng)
        if changed != data:
            with pytest.raises(WireError):
                kind.from_bytes(changed)
    with pytest.raises(WireError):
        kind.from_bytes(
            played.received["alba"].to_bytes() if kind is MaskSecrets else played.secrets["alba"].to_bytes()
        )


def test_a_damaged_offer_is_refused() -> None:
    keys = keys_of(NAMES[:3])
    own, offers = dealt(attempt_of(3), keys)
    rng = np.random.default_rng(3)
    for _ in range(500):
        changed = damaged(offers["brno"], rng)
        if changed != offers["brno"]:
            with pytest.raises(WireError):
                own.accept({**offers, "brno": changed}, keys["alba"])
    own.accept(offers, keys["alba"])


def swapped_ends(attempt: Attempt, keys: dict[str, Keys]) -> bytes:
    return MaskSecrets.new(attempt, "alba", 2, keys["alba"]).offers(keys["alba"])["brno"]


REPLAYS: dict[str, Callable[[Attempt, dict[str, Keys]], bytes]] = {
    "of the attempt before": lambda attempt, keys: dealt(dataclasses.replace(attempt, number=7), keys)[1]["brno"],
    "of another round": lambda attempt, keys: dealt(dataclasses.replace(attempt, round=7), keys)[1]["brno"],
    "of another run": lambda attempt, keys: dealt(dataclasses.replace(attempt, run=bytes(32)), keys)[1]["brno"],
    "of a larger cohort": lambda attempt, keys: dealt(dataclasses.replace(attempt, cohort=NAMES[:4]), keys, 3)[1][
        "brno"
    ],
    "under another threshold": lambda attempt, keys: dealt(attempt, keys, 3)[1]["brno"],
    "from another peer": lambda attempt, keys: dealt(attempt, keys)[1]["cork"],
    "sent back to its sender": swapped_ends,
}


@pytest.mark.parametrize("replay", REPLAYS.values(), ids=REPLAYS)
def test_an_offer_made_for_something_else_does_not_open(replay: Callable[[Attempt, dict[str, Keys]], bytes]) -> None:
    keys = keys_of(NAMES[:4])
    own, offers = dealt(attempt_of(3), keys)
    own.accept(offers, keys["alba"])
    with pytest.raises(WireError, match="does not open"):
        own.accept({**offers, "brno": replay(attempt_of(3), keys)}, keys["alba"])


@pytest.mark.parametrize("change", [{"brno": None}, {"hull": b""}, {"alba": b""}])
def test_one_offer_of_each_peer(change: dict[str, bytes | None]) -> None:
    keys = keys_of(NAMES[:3])
    own, offers = dealt(attempt_of(3), keys)
    changed = {peer: offer for peer, offer in {**offers, **change}.items() if offer is not None}
    with pytest.raises(WireError, match="one of each"):
        own.accept(changed, keys["alba"])


TAMPERED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "too short": (lambda record: record[:-1], "cut short"),
    "empty": (lambda record: b"", "cut short"),
    "too long": (lambda record: record + b"\0", "too long"),
    "huge": (lambda record: record + bytes(2**20), "limit"),
    "for another index": (lambda record: b"\0\0\0\3" + record[4:], "another site"),
    "index zero": (lambda record: bytes(4) + record[4:], "another site"),
    "a key of low order": (lambda record: record[:HEAD] + bytes(32) + record[HEAD + 32 :], "'brno'.*no secret"),
}


@pytest.mark.parametrize(("change", "reason"), TAMPERED.values(), ids=TAMPERED)
def test_a_lying_peers_record_is_refused(change: Callable[[bytes], bytes], reason: str) -> None:
    keys = keys_of(NAMES[:3])
    own, offers = dealt(attempt_of(3), keys)
    lying = dataclasses.replace(keys["brno"], tamper=lambda peer, record: change(record))
    offers["brno"] = MaskSecrets.new(attempt_of(3), "brno", 2, lying).offers(lying)["alba"]
    with pytest.raises(WireError, match=reason):
        own.accept(offers, keys["alba"])


def test_a_peer_that_shows_another_sites_key_is_refused() -> None:
    keys = keys_of(NAMES[:3])
    attempt = attempt_of(3)
    own, offers = dealt(attempt, keys)
    cork = MaskSecrets.new(attempt, "cork", 2, keys["cork"])
    stolen = public_mask_key(cork.mask_seed, attempt, "cork")
    offers["cork"] = cork.offers(keys["cork"])["alba"]
    lying = dataclasses.replace(keys["brno"], tamper=lambda peer, record: record[:HEAD] + stolen + record[HEAD + 32 :])
    offers["brno"] = MaskSecrets.new(attempt, "brno", 2, lying).offers(lying)["alba"]
    with pytest.raises(WireError, match="same mask key"):
        own.accept(offers, keys["alba"])


def test_a_site_masks_only_with_the_offers_of_its_attempt() -> None:
    keys = keys_of(NAMES[:3])
    played = play(attempt_of(3), keys=keys)
    later = play(attempt_of(3, number=1), keys=keys)
    with pytest.raises(SiteError, match="another attempt"):
        played.secrets["alba"].mask(later.received["alba"])
    with pytest.raises(SiteError, match="another attempt"):
        played.secrets["alba"].mask(played.received["brno"])


def test_a_cohort_of_strangers_is_refused() -> None:
    keys = keys_of(NAMES[:3])
    with pytest.raises(WireError, match="shares no key"):
        MaskSecrets.new(attempt_of(4), "alba", 3, keys["alba"])
    with pytest.raises(SiteError, match="not in the cohort"):
        MaskSecrets.new(attempt_of(2), "cork", 2, keys["cork"])
    with pytest.raises(WireError, match="threshold"):
        MaskSecrets.new(attempt_of(3), "alba", 1, keys["alba"])
