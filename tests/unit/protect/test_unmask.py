"""The sum of the survivors comes out exactly, and nothing else comes out at all."""

from __future__ import annotations

import dataclasses
import itertools
import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from masked_round import NAMES, Played, attempt_of, damaged, keys_of, play, uploads
from scipy import stats

from wardround.errors import QuorumLost, RunError, WireError
from wardround.protect.attempt import Attempt, SurvivorList
from wardround.protect.masks import Mask, self_stream_key
from wardround.protect.offers import Shown, public_mask_key
from wardround.protect.shamir import combine
from wardround.protect.unmask import MAX_TRIES, Reveal, unmask

COUNT = 40
BITS = 32


def sum_of(words: dict[str, np.ndarray], sites: tuple[str, ...], bits: int = BITS) -> np.ndarray:
    """Sum modulo 2^bits by plain big integers."""
    columns = zip(*(words[site].tolist() for site in sites), strict=True)
    return np.array([sum(column) % 2**bits for column in columns], np.uint64)


def plain_words(played: Played, seed: int, bits: int = BITS) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {site: rng.integers(0, 2**bits, COUNT, np.uint64, endpoint=False) for site in played.attempt.cohort}


def opened(masked: dict[str, np.ndarray], listed: SurvivorList, reveals: dict[str, Reveal], bits: int = BITS) -> Any:
    return sum_of(masked, listed.survivors, bits) - unmask(listed, reveals).words(0, COUNT, bits) & np.uint64(
        2**bits - 1
    )


@st.composite
def rounds(draw: st.DrawFn) -> tuple[Played, SurvivorList, list[str]]:
    """An attempt, who survives of it, and which survivors reveal: at least as many as the threshold."""
    num_sites = draw(st.integers(2, 7))
    threshold = draw(st.integers(num_sites // 2 + 1, num_sites))
    played = play(attempt_of(num_sites), threshold)
    survivors = sorted(draw(st.sets(st.sampled_from(played.attempt.cohort), min_size=threshold)))
    revealing = draw(st.permutations(survivors))[: draw(st.integers(threshold, len(survivors)))]
    return played, SurvivorList(played.attempt, threshold, tuple(survivors)), revealing


@given(rounds(), st.integers(1, 64), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_the_sum_of_the_survivors_comes_out(one: tuple[Played, SurvivorList, list[str]], bits: int, seed: int) -> None:
    played, listed, revealing = one
    weights = dict(zip(played.attempt.cohort, itertools.cycle([1, 5, 2, 3]), strict=False))
    words = plain_words(played, seed, bits)
    # A site multiplies by its weight before it masks.
    weighted = {site: words[site] * np.uint64(weights[site]) & np.uint64(2**bits - 1) for site in words}
    reveals = played.reveals(listed)
    found = opened(uploads(played, weighted, bits), listed, {site: reveals[site] for site in revealing}, bits)
    expected = sum(words[site].astype(object) * weights[site] for site in listed.survivors) % 2**bits
    assert found.tolist() == expected.tolist()


def test_parts_of_the_unmasker_make_the_whole() -> None:
    played = play(attempt_of(4))
    unmasker = unmask(played.listed("brno"), played.reveals(played.listed("brno")))
    whole = unmasker.words(0, 70_001, BITS)
    for start, end in [(40_000, 70_001), (0, 7), (7, 40_000)]:
        assert np.array_equal(unmasker.words(start, end - start, BITS), whole[start:end])


@pytest.mark.parametrize(("num_sites", "threshold"), [(3, 2), (5, 3), (5, 4), (6, 4)])
def test_any_threshold_of_reveals_suffice_and_one_less_opens_nothing(num_sites: int, threshold: int) -> None:
    played = play(attempt_of(num_sites), threshold)
    listed = played.listed("brno")
    words = plain_words(played, 0)
    masked, reveals = uploads(played, words, BITS), played.reveals(listed)
    for revealing in itertools.combinations(listed.survivors, threshold):
        found = opened(masked, listed, {site: reveals[site] for site in revealing})
        assert np.array_equal(found, sum_of(words, listed.survivors))
    for revealing in itertools.combinations(listed.survivors, threshold - 1):
        with pytest.raises(QuorumLost, match="nothing opens"):
            unmask(listed, {site: reveals[site] for site in revealing})
    assert issubclass(QuorumLost, RunError)


def test_shares_below_the_threshold_say_nothing() -> None:
    played = play(attempt_of(5), 4)
    listed = played.listed("brno")
    reveals = list(played.reveals(listed).values())[:3]
    for place, site in enumerate(played.attempt.cohort):
        seeds = played.secrets[site].self_seed, played.secrets[site].mask_seed
        assert combine({one.index: one.shares[place] for one in reveals}, 3) not in seeds


def test_a_live_site_declared_dropped_stays_masked() -> None:
    """The coordinator has the upload of brno and all reveals, but calls brno dropped."""
    played = play(attempt_of(4))
    count = 60_000
    words = {site: np.full(count, 8192, np.uint64) for site in played.attempt.cohort}
    upload = uploads(played, words, BITS)["brno"]
    listed = played.listed("brno")
    reveals = played.reveals(listed)
    place = played.attempt.index("brno") - 1
    shares = {one.index: one.shares[place] for one in reveals.values()}
    assert combine(shares, listed.threshold) == played.secrets["brno"].mask_seed
    own = played.masks["brno"]
    without_pairs = upload - Mask(own.added[1:], own.subtracted).words(0, count, BITS) & np.uint64(2**BITS - 1)
    assert uniform_p(without_pairs) > 1e-6
    # Positive control: with the self seed, which no reveal holds a share of, the upload would be open.
    own_mask = Mask((self_stream_key(played.secrets["brno"].self_seed, played.attempt, "brno"),), ())
    assert np.array_equal(without_pairs - own_mask.words(0, count, BITS) & np.uint64(2**BITS - 1), words["brno"])
    assert uniform_p(words["brno"]) < 1e-6
    held = {played.received[site].self_shares[place] for site in played.attempt.cohort}
    assert not held & {share for one in reveals.values() for share in one.shares}


def test_a_survivor_stays_masked_under_the_masks_it_shares_with_the_others() -> None:
    played = play(attempt_of(4))
    count = 60_000
    words = {site: np.full(count, 8192, np.uint64) for site in played.attempt.cohort}
    listed = played.listed("brno")
    seed = combine({one.index: one.shares[0] for one in played.reveals(listed).values()}, listed.threshold)
    assert seed == played.secrets["alba"].self_seed
    own = Mask((self_stream_key(seed, played.attempt, "alba"),), ()).words(0, count, BITS)
    assert uniform_p(uploads(played, words, BITS)["alba"] - own & np.uint64(2**BITS - 1)) > 1e-6


def uniform_p(words: np.ndarray) -> float:
    octets = words.astype("<u4").view(np.uint8)
    return float(stats.chisquare(np.bincount(octets, minlength=256)).pvalue)


def with_share(reveal: Reveal, place: int, share: bytes) -> Reveal:
    return dataclasses.replace(reveal, shares=(*reveal.shares[:place], share, *reveal.shares[place + 1 :]))


@pytest.mark.parametrize("liar", NAMES[:4])
@pytest.mark.parametrize("subject", range(5))
def test_one_wrong_share_among_more_than_the_threshold_is_worked_around(liar: str, subject: int) -> None:
    played = play(attempt_of(5), 3)
    listed = played.listed("essen")
    words = plain_words(played, 1)
    masked, reveals = uploads(played, words, BITS), played.reveals(listed)
    reveals[liar] = with_share(reveals[liar], subject, os.urandom(32))
    assert np.array_equal(opened(masked, listed, reveals), sum_of(words, listed.survivors))
    doubts = unmask(listed, reveals).doubts
    # Where the first three agree, the fourth is not asked.
    assert set(doubts) == ({liar} if liar != "davos" else set())


def test_one_liar_is_worked_around_however_many_sets_of_sites_there_are() -> None:
    # In plain order, the first set without the first site would be number 463 of 792.
    played = play(Attempt(bytes(32), 0, 0, tuple(f"{index:02}" for index in range(12))), 7)
    listed = played.listed()
    reveals = played.reveals(listed)
    reveals["00"] = with_share(reveals["00"], 3, os.urandom(32))
    assert set(unmask(listed, reveals).doubts) == {"00"}


@pytest.mark.parametrize("subject", range(4))
def test_one_wrong_share_among_just_enough_is_detected(subject: int) -> None:
    played = play(attempt_of(4), 3)
    listed = played.listed("davos")
    reveals = played.reveals(listed)
    wrong = bytearray(reveals["brno"].shares[subject])
    wrong[31] ^= 1
    reveals["brno"] = with_share(reveals["brno"], subject, bytes(wrong))
    with pytest.raises(WireError, match=NAMES[subject]):
        unmask(listed, reveals)


def lies(shown: Shown) -> list[Shown]:
    key = public_mask_key(os.urandom(32), attempt_of(5), "alba")
    noise = os.urandom(len(shown.wrapped))
    changes: list[dict[str, bytes]] = [
        {"mask_key": key},
        {"mask_key": bytes(32)},
        {"commitment": bytes(32)},
        {"mask_key": key, "commitment": bytes(32)},
        {"wrapped": noise},
    ]
    return [dataclasses.replace(shown, **change) for change in changes]


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("lie", range(5))
def test_a_lie_about_what_others_showed_changes_nothing(place: int, lie: int) -> None:
    played = play(attempt_of(5), 4)
    listed = played.listed("cork")
    words = plain_words(played, 2)
    reveals = played.reveals(listed)
    shown = list(reveals["brno"].shown)
    truth = shown[place]
    shown[place] = lies(truth)[lie]
    reveals["brno"] = dataclasses.replace(reveals["brno"], shown=tuple(shown))
    masked = uploads(played, words, BITS)
    assert np.array_equal(opened(masked, listed, reveals), sum_of(words, listed.survivors))
    lied = shown[place] != truth
    # The commitment of a dropped site plays no part, but a lie it is.
    assert set(unmask(listed, reveals).doubts) == ({"brno"} if lied else set())


def test_a_site_that_dealt_wrong_shares_voids_the_attempt_by_name() -> None:
    attempt = attempt_of(4)
    keys = keys_of(attempt.cohort)
    lying = dataclasses.replace(keys["brno"], tamper=lambda peer, record: record[:100] + os.urandom(32) + record[132:])
    played = play(attempt, keys={**keys, "brno": lying})
    with pytest.raises(WireError, match="'brno'"):
        unmask(played.listed(), played.reveals(played.listed()))


def test_a_dropped_site_whose_key_is_not_the_one_of_its_seed_voids_the_attempt_by_name() -> None:
    attempt = attempt_of(4)
    keys = keys_of(attempt.cohort)
    other = public_mask_key(os.urandom(32), attempt, "brno")
    lying = dataclasses.replace(keys["brno"], tamper=lambda peer, record: record[:4] + other + record[36:])
    played = play(attempt, keys={**keys, "brno": lying})
    with pytest.raises(WireError, match="'brno'"):
        unmask(played.listed("brno"), played.reveals(played.listed("brno")))


def test_reveals_for_something_else_count_for_nothing() -> None:
    keys = keys_of(NAMES[:4])
    played = play(attempt_of(4), keys=keys)
    later = play(attempt_of(4, number=1), keys=keys)
    listed, other = played.listed("davos"), played.listed("cork")
    good = played.reveals(listed)
    for foreign in (
        later.reveals(later.listed("davos"))["brno"],
        played.reveals(other)["brno"],
        good["alba"],
        dataclasses.replace(good["brno"], shares=good["brno"].shares[:3], shown=good["brno"].shown[:3]),
        dataclasses.replace(good["brno"], shown=played.received["brno"].shown),
    ):
        with pytest.raises(QuorumLost, match=r"2 of 3 survivors.*'brno'"):
            unmask(listed, {**good, "brno": foreign})
    with pytest.raises(QuorumLost, match=r"2 of 3 survivors.*'davos'"):
        unmask(listed, {"alba": good["alba"], "brno": good["brno"], "davos": good["cork"]})


def test_damaged_reveals_are_refused_or_change_nothing() -> None:
    played = play(attempt_of(5), 3)
    listed = played.listed("alba")
    words = plain_words(played, 3)
    masked, reveals = uploads(played, words, BITS), played.reveals(listed)
    expected = sum_of(words, listed.survivors)
    data = reveals["brno"].to_bytes()
    rng = np.random.default_rng(4)
    refused = 0
    for _ in range(400):
        try:
            read = Reveal.from_bytes(damaged(data, rng))
        except WireError:
            refused += 1
        else:
            assert np.array_equal(opened(masked, listed, {**reveals, "brno": read}), expected)
    assert 100 < refused < 400


def test_noise_is_no_reveal() -> None:
    rng = np.random.default_rng(5)
    start = play(attempt_of(2)).listed()
    for _ in range(2000):
        with pytest.raises(WireError):
            Reveal.from_bytes(b"WRMV\x01" + bytes(32) + rng.bytes(int(rng.integers(80))))
    for hostile in (b"", bytes(2**22 + 1), b"WRMV\x01" + b"\xff" * 100, start.message()):
        with pytest.raises(WireError):
            Reveal.from_bytes(hostile)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_reveal_or_a_wire_error(data: bytes) -> None:
    try:
        Reveal.from_bytes(b"WRMV\x01" + data)
    except WireError:
        return


def test_the_search_for_honest_shares_is_bounded() -> None:
    # All but just too few lie: every set is tried up to the limit, and then it is over.
    played = play(attempt_of(8), 5)
    listed = played.listed()
    reveals = played.reveals(listed)
    for liar in NAMES[:4]:
        reveals[liar] = with_share(reveals[liar], 0, os.urandom(32))
    with pytest.raises(WireError, match="'alba'"):
        unmask(listed, reveals)
    assert MAX_TRIES >= 56


def test_secret_shares_are_not_shown() -> None:
    played = play(attempt_of(3))
    assert "shares" not in repr(played.reveals(played.listed())["alba"])
