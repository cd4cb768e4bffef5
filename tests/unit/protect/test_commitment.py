"""A site keeps its word: one list per attempt, shares only when all signed it, and all of that across restarts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from masked_round import NAMES, Played, attempt_of, damaged, keys_of, play, sign_as, verify

from wardround.errors import SiteError, WireError
from wardround.protect.attempt import SurvivorList
from wardround.protect.commitment import MAX_ATTEMPTS, Commitment
from wardround.protect.unmask import Reveal, unmask


def begun(played: Played, site: str = "alba") -> Commitment:
    return Commitment(site, played.attempt, played.threshold)


def signed(played: Played, listed: SurvivorList, site: str = "alba") -> Commitment:
    return begun(played, site).sign(listed, played.received[site], sign_as(site))[0]


def signatures(listed: SurvivorList) -> dict[str, bytes]:
    return {site: sign_as(site)(listed.message()) for site in listed.survivors}


def restarted(commitment: Commitment) -> Commitment:
    again = Commitment.from_bytes(commitment.to_bytes())
    assert again == commitment
    return again


def test_a_round_of_commitments_opens_the_sum() -> None:
    played = play(attempt_of(4))
    listed = played.listed("cork")
    kept, given = {}, {}
    for site in listed.survivors:
        kept[site], given[site] = begun(played, site).sign(listed, played.received[site], sign_as(site))
    reveals = {}
    for site in listed.survivors:
        after, reveals[site] = restarted(kept[site]).release(listed, given, verify, played.received[site])
        assert after.signed[-1].released
    unmask(listed, reveals)


def test_a_second_list_is_refused() -> None:
    played = play(attempt_of(4))
    first, second = played.listed("cork"), played.listed()
    for state in (signed(played, first), restarted(signed(played, first))):
        with pytest.raises(SiteError, match="already signed another"):
            state.sign(second, played.received["alba"], sign_as("alba"))
        with pytest.raises(SiteError, match="only for the list that it signed"):
            state.release(second, signatures(second), verify, played.received["alba"])


def test_the_same_list_is_signed_and_released_again() -> None:
    played = play(attempt_of(4))
    listed = played.listed("cork")
    received = played.received["alba"]
    once, signature = begun(played).sign(listed, received, sign_as("alba"))
    twice, again = restarted(once).sign(listed, received, sign_as("alba"))
    assert (once, signature) == (twice, again)
    after, reveal = once.release(listed, signatures(listed), verify, received)
    later, same = restarted(after).release(listed, signatures(listed), verify, received)
    assert (after, reveal.to_bytes()) == (later, same.to_bytes())
    assert later.sign(listed, received, sign_as("alba"))[0] == later


def test_never_both_shares_of_one_site() -> None:
    """The coordinator asks for the self share of cork on one list and for its mask-key share on another."""
    played = play(attempt_of(4))
    alive, dropped = played.listed(), played.listed("cork")
    place = played.attempt.index("cork") - 1
    received = played.received["alba"]
    for first, second in ((alive, dropped), (dropped, alive)):
        after, reveal = signed(played, first).release(first, signatures(first), verify, received)
        both = {received.self_shares[place], received.mask_shares[place]}
        assert len(both & set(reveal.shares)) == 1
        for state in (after, restarted(after)):
            with pytest.raises(SiteError):
                state.sign(second, received, sign_as("alba"))
            with pytest.raises(SiteError):
                state.release(second, signatures(second), verify, received)


def test_a_reveal_holds_the_own_share_too_and_just_one_of_each_site() -> None:
    played = play(attempt_of(4))
    listed = played.listed("cork")
    received = played.received["alba"]
    _, reveal = signed(played, listed).release(listed, signatures(listed), verify, received)
    own, pair = received.self_shares, received.mask_shares
    assert reveal.shares == (own[0], own[1], pair[2], own[3])


def test_nothing_is_released_before_everyone_signed_the_same() -> None:
    played = play(attempt_of(4))
    listed, other = played.listed("cork"), played.listed()
    good = signatures(listed)
    foreign = {
        "missing": {site: good[site] for site in ("alba", "brno")},
        "none": {},
        "of one more": {**good, "cork": sign_as("cork")(listed.message())},
        "by another site": {**good, "brno": good["davos"]},
        "of another list": {**good, "brno": sign_as("brno")(other.message())},
        "of another attempt": {
            **good,
            "brno": sign_as("brno")(
                SurvivorList(attempt_of(4, number=1), played.threshold, listed.survivors).message()
            ),
        },
        "of nothing": {**good, "brno": b""},
        "own one wrong": {**good, "alba": good["brno"]},
    }
    state = signed(played, listed)
    for given in foreign.values():
        with pytest.raises(WireError, match="signature"):
            state.release(listed, given, verify, played.received["alba"])
    assert not state.signed[-1].released


def test_nothing_is_released_for_a_list_that_the_site_did_not_sign() -> None:
    played = play(attempt_of(4))
    listed = played.listed()
    with pytest.raises(SiteError, match="only for the list that it signed"):
        begun(played).release(listed, signatures(listed), verify, played.received["alba"])


def test_a_dropped_site_signs_and_releases_nothing() -> None:
    played = play(attempt_of(4))
    listed = played.listed("cork")
    with pytest.raises(SiteError, match="dropped out"):
        begun(played, "cork").sign(listed, played.received["cork"], sign_as("cork"))
    with pytest.raises(SiteError, match="only for the list"):
        begun(played, "cork").release(listed, signatures(listed), verify, played.received["cork"])


def test_lists_of_another_attempt_threshold_or_site() -> None:
    keys = keys_of(NAMES[:4])
    played, later = play(attempt_of(4), keys=keys), play(attempt_of(4, number=1), keys=keys)
    strict = play(attempt_of(4), 4, keys)
    received = played.received["alba"]
    for listed in (later.listed(), strict.listed()):
        with pytest.raises(SiteError, match="only in attempt 0"):
            begun(played).sign(listed, received, sign_as("alba"))
    for foreign in (later.received["alba"], strict.received["alba"], played.received["brno"]):
        with pytest.raises(SiteError, match="another attempt"):
            begun(played).sign(played.listed(), foreign, sign_as("alba"))
        with pytest.raises(SiteError, match="another attempt"):
            signed(played, played.listed()).release(played.listed(), signatures(played.listed()), verify, foreign)


def test_a_later_attempt_ends_the_earlier_one() -> None:
    keys = keys_of(NAMES[:4])
    played, later = play(attempt_of(4), keys=keys), play(attempt_of(4, number=2), keys=keys)
    listed = played.listed("cork")
    state = signed(played, listed).follow(later.attempt, later.threshold)
    for one in (state, restarted(state)):
        with pytest.raises(SiteError, match="only in attempt 2"):
            one.release(listed, signatures(listed), verify, played.received["alba"])
        with pytest.raises(SiteError, match="only in attempt 2"):
            one.sign(listed, played.received["alba"], sign_as("alba"))
        with pytest.raises(SiteError, match="past attempt 0"):
            one.follow(played.attempt, played.threshold)
        with pytest.raises(SiteError, match="past attempt 2"):
            one.follow(later.attempt, 4)
        assert one.follow(later.attempt, later.threshold) == one
        one.sign(later.listed(), later.received["alba"], sign_as("alba"))


def test_attempts_of_other_rounds_runs_or_cohorts_do_not_follow() -> None:
    played = play(attempt_of(4))
    state = begun(played)
    for other in (attempt_of(4, number=1, round_index=4), attempt_of(4, number=1, run=bytes(32))):
        with pytest.raises(SiteError, match="another round or run"):
            state.follow(other, 3)
    without = dataclasses.replace(attempt_of(4, number=1), cohort=NAMES[1:4])
    with pytest.raises(SiteError, match="not in the cohort"):
        state.follow(without, 2)
    with pytest.raises(WireError, match="threshold"):
        state.follow(attempt_of(4, number=1), 2)
    with pytest.raises(SiteError, match="not in the cohort"):
        Commitment("hull", played.attempt, 3)


def test_after_a_release_only_halves_follow_also_after_a_restart() -> None:
    played = play(attempt_of(5))
    listed = played.listed()
    state, _ = signed(played, listed).release(listed, signatures(listed), verify, played.received["alba"])
    half = dataclasses.replace(played.attempt, number=1, cohort=NAMES[:2])
    for one in (state, restarted(state)):
        for cohort in (NAMES[:3], NAMES[:4], NAMES[:5], ("alba", "cork")):
            with pytest.raises(SiteError, match="halves"):
                one.follow(dataclasses.replace(half, cohort=cohort), len(cohort))
        assert one.follow(half, 2).attempt == half


def test_the_number_of_lists_is_bounded() -> None:
    played = play(attempt_of(3))
    state = signed(played, played.listed())
    full = dataclasses.replace(state, signed=state.signed * MAX_ATTEMPTS)
    assert restarted(full) == full
    with pytest.raises(SiteError, match="64 lists"):
        full.follow(attempt_of(3, number=1), 2)


def test_a_damaged_store_is_refused() -> None:
    played = play(attempt_of(4))
    listed = played.listed("cork")
    state, _ = signed(played, listed).release(listed, signatures(listed), verify, played.received["alba"])
    data = state.to_bytes()
    rng = np.random.default_rng(6)
    for _ in range(1000):
        changed = damaged(data, rng)
        if changed != data:
            with pytest.raises(WireError):
                Commitment.from_bytes(changed)
    # Every single bit, among them the one that says whether shares were released.
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(WireError):
            Commitment.from_bytes(bytes(flipped))


def test_a_reveal_is_not_a_commitment() -> None:
    played = play(attempt_of(3))
    with pytest.raises(WireError):
        Commitment.from_bytes(played.reveals(played.listed())["alba"].to_bytes())
    with pytest.raises(WireError):
        Reveal.from_bytes(begun(played).to_bytes())
