"""A site's memory of attempts: what it does again when asked again, and what it never does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from desks import NAMES, STATE, Consortium, Drawer
from hypothesis import given
from hypothesis import strategies as st

from wardround.errors import SiteError, WireError
from wardround.protect.attempt import SurvivorList
from wardround.protect.commitment import MAX_ATTEMPTS
from wardround.protect.offers import MaskSecrets
from wardround.protect.pipeline import Masks
from wardround.protect.unmask import unmask
from wardround.rounds.past import Cargo, Past, survivors_claim
from wardround.rounds.trials import PAST, Behind

THREE, SIX = NAMES[:3], NAMES[:6]
ALBA, BRNO, CORK = THREE


@pytest.fixture
def three() -> Consortium:
    return Consortium(THREE)


def test_the_masks_of_the_survivors_come_off(three: Consortium) -> None:
    offered = three.offers()
    trials = three.receive(offered)
    survivors = (ALBA, CORK)
    reveals = three.reveal(offered, three.agree(offered, survivors))
    listed = SurvivorList(offered[ALBA].attempt, 2, survivors)
    total = sum(trials[site].mask_words(5, 100, 40) for site in survivors) & np.uint64(2**40 - 1)
    assert (total == unmask(listed, reveals).words(5, 100, 40)).all()
    assert total.any()


@pytest.mark.parametrize("restarted", [False, True])
def test_asked_again_a_site_does_the_same_again(three: Consortium, restarted: bool) -> None:
    def again() -> None:
        if restarted:
            three.restart()

    offered = three.offers()
    again()
    assert {site: one.boxes for site, one in three.offers().items()} == {s: o.boxes for s, o in offered.items()}
    masks = {site: one.mask_words(0, 9, 64).tolist() for site, one in three.receive(offered).items()}
    again()
    assert {site: one.mask_words(0, 9, 64).tolist() for site, one in three.receive(offered).items()} == masks
    signatures = three.agree(offered)
    again()
    assert three.agree(offered) == signatures
    reveals = three.reveal(offered, signatures)
    again()
    assert three.reveal(offered, signatures) == reveals
    assert three.trials[ALBA].signed_for == THREE


def test_every_attempt_has_secrets_of_its_own(three: Consortium) -> None:
    seeds = set()
    for number in range(3):
        offered = three.offers(number=number)
        seeds |= {secret for one in offered.values() for secret in (one.secrets.mask_seed, one.secrets.self_seed)}
    assert len(seeds) == 18


def test_who_is_asked_for_an_earlier_attempt_says_where_it_is(three: Consortium) -> None:
    three.offers(number=4)
    for number in range(5):
        cohort = THREE if number < 4 else (ALBA, BRNO)
        assert three.trials[ALBA].offer(0, number, cohort, False) == Behind(4, ())
    assert three.trials[ALBA].offer(0, 4, THREE, True) == Behind(4, ())  # of another kind
    three.opened(THREE, (ALBA, CORK), number=5)
    three.restart()
    assert three.trials[ALBA].offer(0, 0, THREE, False) == Behind(5, (ALBA, CORK))
    assert three.trials[BRNO].offer(0, 0, THREE, False) == Behind(5, ())  # it was lost


def test_only_the_latest_attempt_goes_on(three: Consortium) -> None:
    old = three.offers()
    three.receive(old)
    three.offers(number=1)
    for operation in (three.receive, three.agree):
        with pytest.raises(SiteError, match="attempt 0 of round 0 is not the latest that this site offered"):
            operation(old)  # type: ignore[operator]


def test_nothing_is_signed_or_revealed_before_an_update_left(three: Consortium) -> None:
    offered = three.offers()
    with pytest.raises(SiteError, match="sent no update in attempt 0 of round 0"):
        three.agree(offered)
    with pytest.raises(SiteError, match="before its peers' offers are in"):
        offered[ALBA].mask_words(0, 1, 64)
    with pytest.raises(SiteError, match="before its peers' offers are in"):
        _ = offered[ALBA].weights
    three.receive(offered)
    with pytest.raises(SiteError, match="only for the list that it signed"):
        three.reveal(offered, dict.fromkeys(THREE, b""))


class TestWhatIsKept:
    """A disk that refuses: what could not be kept did not happen, and never leaves."""

    @pytest.mark.parametrize("step", ["offer", "receive", "agree", "reveal"])
    @pytest.mark.parametrize("restarted", [False, True])
    def test_before_it_leaves(self, three: Consortium, step: str, restarted: bool) -> None:
        steps: dict[str, Callable[[Any], Any]] = {
            "offer": lambda _: three.trials[ALBA].offer(0, 0, THREE, False),
            "receive": lambda offered: three.receive(offered, ALBA),
            "agree": lambda offered: three.trials[ALBA].agree(0, 0, THREE),
            "reveal": lambda offered: three.reveal(offered, self.signatures, ALBA),
        }
        offered: Any = None
        for name, take in steps.items():
            three.desks[ALBA].broken = name == step
            if name == step:
                before = dict(three.desks[ALBA].vault.held)
                with pytest.raises(OSError, match="the disk is full"):
                    take(offered)
                assert three.desks[ALBA].vault.held == before
                if restarted:
                    three.restart(ALBA)
                three.desks[ALBA].broken = False
                if step == "agree":  # what it did not sign, it is not bound to
                    assert three.trials[ALBA].signed_for == ()
                    assert three.trials[ALBA].agree(0, 0, (ALBA, BRNO))
                    return
            take(offered)
            if name == "offer":
                offered = three.offers()
            elif name == "receive":
                three.receive(offered)
            elif name == "agree":
                self.signatures = three.agree(offered)

    signatures: dict[str, bytes]

    def test_read_again_it_is_the_same(self, three: Consortium) -> None:
        found = []
        offered = three.offers()
        found.append(self.past(three))
        three.receive(offered)
        found.append(self.past(three))
        signatures = three.agree(offered)
        found.append(self.past(three))
        three.reveal(offered, signatures)
        found.append(self.past(three))
        assert [one.opened for one in found] == [None, None, None, THREE]
        assert [one.matters for one in found] == [False, True, True, True]
        assert [bool(one.pinned) for one in found] == [False, False, True, True]
        for one in found:
            assert Past.from_bytes(one.to_bytes()).to_bytes() == one.to_bytes()
        assert Past.from_bytes(Past().to_bytes()) == Past()

    def past(self, of: Consortium) -> Past:
        return Past.from_bytes(of.desks[ALBA].vault.read(PAST))

    @given(st.data())
    def test_what_is_something_else_is_refused_by_name(self, data: st.DataObject) -> None:
        good = self.kept()
        start = data.draw(st.integers(0, len(good) - 1))
        end = data.draw(st.integers(start, min(len(good), start + 9)))
        damaged = good[:start] + data.draw(st.binary(max_size=9)) + good[end:]
        try:
            Past.from_bytes(damaged)
        except (SiteError, WireError):
            return

    @pytest.mark.parametrize("other", [b"", b"[]", b"{}", b"7", b'{"trial":3,"commitment":4,"pinned":5}', b"\xff"])
    def test_so_is_what_never_was_it(self, other: bytes) -> None:
        with pytest.raises(SiteError, match="what this site kept of its attempts cannot be read"):
            Past.from_bytes(other)

    made: bytes = b""

    def kept(self) -> bytes:
        if not TestWhatIsKept.made:
            three = Consortium(THREE)
            three.opened()
            TestWhatIsKept.made = three.desks[ALBA].vault.read(PAST)
        return TestWhatIsKept.made

    def test_secrets_are_in_no_representation(self, three: Consortium) -> None:
        (trial, *_) = three.receive(three.offers()).values()
        shown = repr(trial)
        for secret in (trial.secrets.mask_seed, trial.secrets.self_seed, *trial.secrets.mask_shares):
            assert repr(secret) not in shown
            assert secret.hex() not in shown


class TestOtherRounds:
    def test_going_on_forgets_the_secrets_and_keeps_the_promises(self, three: Consortium) -> None:
        three.opened()
        secrets = Past.from_bytes(three.desks[ALBA].vault.read(PAST)).trial
        assert secrets is not None
        three.offers(round_index=1)
        left = Past.from_bytes(three.desks[ALBA].vault.read(f"{PAST}-000000"))
        assert left.trial is None
        assert left.opened == THREE
        assert left.pinned == "1 of alba"
        assert all(
            secrets.secrets.mask_seed.hex() not in held.decode() for held in three.desks[ALBA].vault.held.values()
        )

    def test_a_round_that_nothing_left_in_leaves_nothing_behind(self, three: Consortium) -> None:
        for round_index in range(5):
            three.offers(round_index=round_index)
        assert set(three.desks[ALBA].vault.held) == {PAST}

    def test_numbers_go_on_where_they_were(self, three: Consortium) -> None:
        """An attempt that an update left in is never begun again with other secrets."""
        three.receive(three.offers(number=3))
        three.offers(round_index=1)
        assert three.trials[ALBA].offer(0, 3, THREE, False) == Behind(3, ())
        three.offers(number=4)

    def test_what_was_signed_binds_after_another_round(self, three: Consortium) -> None:
        three.opened()
        three.offers(round_index=1)
        with pytest.raises(SiteError, match=r"a sum of round 0 over alba, brno, cork was opened before"):
            three.trials[ALBA].offer(0, 1, (ALBA, BRNO), False)
        three.offers(number=1)
        three.offers(round_index=2)
        with pytest.raises(SiteError, match=r"a sum of round 0 over alba, brno, cork was opened before"):
            three.trials[ALBA].offer(0, 2, (ALBA, BRNO), False)


class TestTheSameRound:
    def test_what_was_opened_may_be_opened_again_in_full_only(self, three: Consortium) -> None:
        three.opened()
        offered = three.offers(number=1)
        three.receive(offered)
        with pytest.raises(SiteError, match="would give away the difference"):
            three.trials[ALBA].agree(0, 1, (ALBA, BRNO))
        three.reveal(offered, three.agree(offered))
        three.start_run()
        three.opened()
        three.start_run()
        offered = three.offers()
        three.receive(offered)
        with pytest.raises(SiteError, match="would give away the difference"):
            three.trials[ALBA].agree(0, 0, (ALBA, BRNO))

    def test_its_halves_may_follow_also_in_another_run(self) -> None:
        six = Consortium(SIX)
        six.opened()
        six.opened(SIX[:3], number=1, whole=True)
        six.start_run()
        six.opened(SIX[3:], whole=True)
        for cohort, whole in ((SIX[:2], True), (SIX[:4], True), (SIX[:3], False), (SIX[1:3], True)):
            with pytest.raises(SiteError, match="only its halves by name, without drop-outs"):
                six.trials[BRNO].offer(0, 7, cohort, whole)

    def test_before_anything_opened_a_lost_site_may_be_left_out(self, three: Consortium) -> None:
        offered = three.offers()
        three.receive(offered)
        three.agree(offered)
        three.start_run()
        three.opened((ALBA, BRNO))

    def test_weight_and_update_stay(self, three: Consortium) -> None:
        offered = three.offers()
        three.receive(offered)
        three.agree(offered)  # from here on
        for run in (False, True):
            if run:
                three.start_run()
            later = three.offers(number=1)
            for cargo in (three.cargo(ALBA, alba=2), three.cargo(ALBA, "another")):
                with pytest.raises(SiteError, match="with another weight or update"):
                    three.receive_as(later, ALBA, cargo)
            three.receive_as(later, ALBA, three.cargo(ALBA, brno=2))  # its own are what matters to it

    def test_within_an_attempt_all_of_it_stays(self, three: Consortium) -> None:
        offered = three.offers()
        three.receive(offered)
        good = three.cargo(ALBA)
        for cargo in (
            three.cargo(ALBA, brno=2),
            Cargo(good.weights, "6" * 64, good.update, good.examples),
            Cargo(good.weights, STATE, good.update, 7),
        ):
            with pytest.raises(SiteError, match="other weights were announced for attempt 0 of round 0, or another"):
                three.receive_as(offered, ALBA, cargo)

    def test_there_is_an_end_to_it(self) -> None:
        pair = Consortium(NAMES[:2])
        for number in range(MAX_ATTEMPTS):
            offered = pair.offers(number=number)
            pair.receive(offered)
            pair.agree(offered)
        for run in (False, True):
            if run:
                pair.start_run()
            with pytest.raises(SiteError, match=f"signed {MAX_ATTEMPTS} lists in round 0, no more"):
                pair.offers(number=MAX_ATTEMPTS)
        pair.restart()
        pair.offers(round_index=1)


class TestWhatSurvivorsSign:
    def test_weights_state_and_examples(self) -> None:
        claims = {
            survivors_claim(message, weights, start, examples)
            for message in (b"list", b"other")
            for weights in ({"a": 1, "b": 2}, {"a": 2, "b": 1})
            for start in ("5" * 64, "6" * 64)
            for examples in (1, 2)
        }
        assert len(claims) == 16
        assert survivors_claim(b"", {"a": 1, "b": 2}, "", 0) == survivors_claim(b"", {"b": 2, "a": 1}, "", 0)

    def test_one_that_signed_for_something_else_keeps_all_from_revealing(self, three: Consortium) -> None:
        offered = three.offers()
        three.receive(offered, ALBA, BRNO)
        other = Cargo({ALBA: 1, BRNO: 1, CORK: 1}, "6" * 64, "of cork", 100)
        three.receive_as(offered, CORK, other)
        signatures = three.agree(offered)
        for site in THREE:
            with pytest.raises(WireError, match="does not fit the list of survivors"):
                three.reveal(offered, signatures, site)

    @pytest.mark.parametrize(("uniform", "weights", "good"), [
        (False, (8, 12, 16), True),
        (False, (1, 1, 62), False),
        (False, (20, 20, 20), False),
        (True, (1, 1, 1), True),
        (True, (8, 12, 16), False),
    ])  # fmt: skip
    def test_weights_follow_from_signed_examples(self, uniform: bool, weights: tuple[int, ...], good: bool) -> None:
        three = Consortium(THREE, uniform=uniform)
        three.examples = dict(zip(THREE, (80, 120, 160), strict=True))
        three.weights = dict(zip(THREE, weights, strict=True))
        offered = three.offers()
        three.receive(offered)
        signatures = three.agree(offered)
        if good:
            three.reveal(offered, signatures)
            return
        for site in THREE:
            with pytest.raises(WireError, match="do not follow from the survivors' numbers of training examples"):
                three.reveal(offered, signatures, site)
        assert Past.from_bytes(three.desks[ALBA].vault.read(PAST)).opened is None


class TestSmallSums:
    def test_fewer_than_the_plan_asks_for_are_not_signed(self) -> None:
        four = Consortium(NAMES[:4], Masks(least_sites=4))
        offered = four.offers()
        four.receive(offered)
        with pytest.raises(SiteError, match="a sum over 3 sites hides too little: the plan asks for least_sites = 4"):
            four.agree(offered, NAMES[:3])
        four.agree(offered)

    def test_nothing_is_bisected_unless_the_plan_says_so(self) -> None:
        six = Consortium(SIX, Masks())
        six.opened()
        with pytest.raises(SiteError, match="does not say bisect = true"):
            six.offers(SIX[:3], number=1, whole=True)


def test_attempts_that_are_none_change_nothing(three: Consortium) -> None:
    three.receive(three.offers())
    before = dict(three.desks[ALBA].vault.held)
    bad: tuple[tuple[tuple[str, ...], str], ...] = (
        ((ALBA,), "at least 2 sites"),
        ((BRNO, CORK), "not in the cohort"),
        ((ALBA, "nowhere"), "shares no key"),
        ((BRNO, ALBA), "not sorted"),
    )
    for cohort, sentence in bad:
        with pytest.raises((SiteError, WireError), match=sentence):
            three.trials[ALBA].offer(0, 1, cohort, False)
    assert three.desks[ALBA].vault.held == before
    assert three.agree(three.offers())


def test_secrets_come_from_the_operating_system_each_time(three: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[MaskSecrets] = []
    new = MaskSecrets.new

    def noting(*words: Any) -> MaskSecrets:
        made.append(new(*words))
        return made[-1]

    monkeypatch.setattr(MaskSecrets, "new", noting)
    three.offers()
    three.offers()
    three.restart()
    three.offers()
    assert len(made) == 3  # one for each site, once
    assert isinstance(three.desks[ALBA].vault, Drawer)
