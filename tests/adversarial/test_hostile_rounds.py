"""Coordinators that ask for a round again, of other sites or with something else: the difference gives a site away."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from hostile import Ward, plan_of, trained, weighted

from wardround.core.codec import Message
from wardround.core.update import Tensors
from wardround.errors import SiteError, WardroundError, WireError
from wardround.protect.commitment import Commitment
from wardround.rounds import past, trials
from wardround.rounds.past import Cargo
from wardround.rounds.trials import Trials

EAST, NORTH, WEST = tiny.NAMES
SIX = ("alba", "brno", "cork", "dijon", "evora", "faro")


@pytest.fixture
def masked(tmp_path: Path) -> Ward:
    return trained(tmp_path)


Sums = Callable[[], np.ndarray]
"""What a coordinator finds out by asking for sums."""


def is_refused(attack: Sums, *sentences: str) -> None:
    with pytest.raises(WardroundError) as refusal:
        attack()
    assert any(sentence in str(refusal.value) for sentence in sentences), refusal.value


def gives_away(attack: Sums, update: np.ndarray) -> None:
    assert update.any()
    assert (attack() == update).all()


def anything_may_follow(self: Trials, before: Any, attempt: Any, threshold: int) -> Commitment:
    """Stand in for a site that keeps no account of what it signed."""
    return Commitment(self._site, attempt, threshold)


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sites that keep no account of what they signed: the control of what follows."""
    monkeypatch.setattr(Trials, "_following", anything_may_follow)
    monkeypatch.setattr(past.Past, "opened", None)


class TestTheSameRoundAgain:
    """Two sums of one round over different sites are the update of whoever is in one of them."""

    def by_attempt(self, of: Ward) -> np.ndarray:
        whole = of.opened(of.names)
        return whole - of.opened((EAST, NORTH), number=1)

    def by_a_detour(self, of: Ward) -> np.ndarray:
        """Another round in between; then a list that is signed and not opened, and a later attempt of that."""
        whole = of.opened(of.names)
        of.train(1)
        of.offers(of.names, round_index=1)
        of.train(0)
        boxes = of.offers(of.names, number=1)
        for site in of.names:
            of.upload(site, boxes, number=1)
            of.sign(site, of.names, number=1)
        return whole - of.opened((EAST, NORTH), number=2)

    def by_a_restart_of_the_run(self, of: Ward) -> np.ndarray:
        whole = of.opened(of.names)
        of.agree_on_keys()
        return whole - of.opened((EAST, NORTH))

    def by_drop_outs_of_a_new_run(self, of: Ward) -> np.ndarray:
        whole = of.opened(of.names)
        of.agree_on_keys()
        return whole - of.opened(of.names, (EAST, NORTH))

    def by_a_restart_of_run_and_sites(self, of: Ward) -> np.ndarray:
        whole = of.opened(of.names)
        of.restart(*of.names)
        of.agree_on_keys()
        return whole - of.opened((EAST, NORTH), number=7)

    ways = ("by_attempt", "by_a_detour", "by_a_restart_of_the_run", "by_drop_outs_of_a_new_run")
    ways = (*ways, "by_a_restart_of_run_and_sites")

    @pytest.mark.parametrize("way", ways)
    def test_it_is_refused(self, masked: Ward, way: str) -> None:
        is_refused(partial(getattr(self, way), masked), "would give away the difference", "was opened")

    @pytest.mark.parametrize("way", ways)
    def test_where_sites_forget_it_gives_one_away(self, masked: Ward, way: str, forgetful: None) -> None:
        update = masked.weights[WEST] * masked.values(WEST)
        gives_away(partial(getattr(self, way), masked), update)

    def eight(self, folder: Path) -> tuple[Ward, tuple[str, ...]]:
        made = trained(folder, names=(*SIX, "gent", "hull"))
        return made, made.names

    def those_who_gave_no_shares(self, of: Ward, names: tuple[str, ...]) -> np.ndarray:
        """Five of eight open the sum; after a detour the other three, who did not, open theirs; so does a half."""
        whole = of.opened(names, revealing=names[:5])
        of.train(1, *names[5:])
        for site in names[5:]:
            said = {"round": 1, "attempt": 0, "cohort": list(names), "whole": False}
            of.call(site, "offer", Message(said))
        of.train(0, *names[5:])
        three = of.opened(names[5:], number=1)
        return whole - three - of.opened(names[:4], number=1, whole=True)

    def test_a_list_binds_also_those_who_gave_no_shares_for_it(self, tmp_path: Path) -> None:
        made, names = self.eight(tmp_path)
        is_refused(lambda: self.those_who_gave_no_shares(made, names), "leaves out 5 sites")

    def test_if_it_did_not_a_site_would_be_given_away(self, tmp_path: Path, forgetful: None) -> None:
        made, names = self.eight(tmp_path)
        update = made.weights[names[4]] * made.values(names[4])
        gives_away(lambda: self.those_who_gave_no_shares(made, names), update)

    @pytest.mark.parametrize("new_run", [False, True])
    def test_the_same_sum_may_be_formed_again(self, masked: Ward, new_run: bool) -> None:
        """It tells nothing new, and a coordinator that was stopped in between needs it."""
        whole = masked.opened(masked.names)
        if new_run:
            masked.restart(*masked.names)
            masked.agree_on_keys()
        assert (masked.opened(masked.names, number=1) == whole).all()


class TestTheSameSitesWithSomethingElse:
    """Sums over the same sites differ by what one of them put in."""

    def by_weight(self, of: Ward) -> np.ndarray:
        """One site counts once more the second time."""
        whole = of.opened(of.names)
        of.agree_on_keys()
        of.weights = {**of.weights, WEST: of.weights[WEST] + 1}
        return of.opened(of.names) - whole

    def by_weight_after_signing(self, of: Ward) -> np.ndarray:
        """The same with a list of which this site did not give its own shares: two of three are enough."""
        whole = of.opened(of.names, revealing=(EAST, NORTH))
        of.restart(WEST)
        of.agree_on_keys()
        of.weights = {**of.weights, WEST: of.weights[WEST] + 1}
        return of.opened(of.names) - whole

    ways = ("by_weight", "by_weight_after_signing")

    @pytest.mark.parametrize("way", ways)
    def test_another_weight_is_refused(self, masked: Ward, way: str) -> None:
        is_refused(partial(getattr(self, way), masked), "with another weight or update")

    @pytest.mark.parametrize("way", ways)
    def test_with_another_weight_the_update_is_the_difference(
        self, masked: Ward, way: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Cargo, "of", lambda self, site: "")
        gives_away(partial(getattr(self, way), masked), masked.values(WEST))

    def by_halves(self, of: Ward) -> np.ndarray:
        """One site counts once more in its half of a sum that the coordinator calls void."""
        whole, rest = of.opened(SIX), of.opened(SIX[3:], number=1, whole=True)
        of.weights = {**of.weights, "cork": of.weights["cork"] + 1}
        return of.opened(SIX[:3], number=1, whole=True) - (whole - rest)

    @pytest.mark.parametrize("stopped", [True, False])
    def test_nor_may_a_weight_change_in_a_half(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
    ) -> None:
        made = trained(tmp_path, names=SIX)
        attack = partial(self.by_halves, made)
        if stopped:
            is_refused(attack, "with another weight or update")
        else:
            monkeypatch.setattr(Cargo, "of", lambda self, site: "")
            gives_away(attack, made.values("cork"))

    def by_training_again(self, of: Ward) -> np.ndarray:
        """West is sent another model, on which its update is what the coordinator knows."""
        whole = of.opened(of.names)
        of.agree_on_keys()
        of.train(0, WEST, broadcast=dead_model(of))
        return whole - of.opened(of.names)

    def test_an_update_may_not_change(self, masked: Ward) -> None:
        is_refused(partial(self.by_training_again, masked), "with another weight or update")

    def test_if_it_could_it_would_be_the_difference(self, masked: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Cargo, "of", lambda self, site: "")
        monkeypatch.setattr(trials, "survivors_claim", lambda message, *_: message)
        update = masked.weights[WEST] * masked.values(WEST)
        found = self.by_training_again(masked)
        known = last_bias(masked)  # all that trains in the other model
        assert (found[~known] == update[~known]).all()
        assert update[~known].any()

    def test_within_an_attempt_neither_changes(self, masked: Ward) -> None:
        boxes = masked.offers(masked.names)
        frame = masked.upload(WEST, boxes)
        said = "other weights were announced for attempt 0 of round 0, or another update made"
        for restarted in (False, True):
            if restarted:
                masked.restart(WEST)
            weights = {**masked.weights, WEST: 9}
            with pytest.raises(SiteError, match=said):
                masked.upload(WEST, boxes, weights=weights)
        assert masked.upload(WEST, boxes) == frame
        masked.train(0, WEST, broadcast=dead_model(masked))
        with pytest.raises(SiteError, match=said):
            masked.upload(WEST, boxes)

    def test_a_mask_hides_one_frame_though_the_frame_was_lost(self, masked: Ward, tmp_path: Path) -> None:
        """After a power failure the frame may be gone from the disk: it is made again, and no other under its mask."""
        boxes = masked.offers(masked.names)
        frame = masked.upload(WEST, boxes)
        for path in (tmp_path / WEST).glob("frame-*"):
            path.unlink()
        masked.restart(WEST)
        with pytest.raises(SiteError, match="other weights"):
            masked.upload(WEST, boxes, weights={**masked.weights, WEST: 9})
        assert masked.upload(WEST, boxes) == frame


def dead_model(of: Ward) -> Tensors:
    """Return weights on which every update is zero but for the bias of the last layer."""
    return {name: np.zeros_like(value) for name, value in tiny.make_bench(of.plan).initial.items()}


def last_bias(of: Ward) -> np.ndarray:
    """Return which values of an update are the bias of the last layer."""
    initial = tiny.make_bench(of.plan).initial
    last = max((name for name in initial if name.endswith(".bias")), key=lambda name: int(name.split("/")[1][:-5]))
    return np.concatenate([np.full(initial[name].size, name == last) for name in sorted(initial)])


class TestAnotherModelForEverySite:
    """Pasquini, Francati, Ateniese 2022: the others' updates vanish, and the sum is one site's."""

    def attack(self, of: Ward) -> np.ndarray:
        of.train(0, EAST, NORTH, broadcast=dead_model(of))
        return of.opened(of.names)

    def test_it_is_refused(self, masked: Ward) -> None:
        is_refused(partial(self.attack, masked), "does not fit the list of survivors")

    def test_without_the_state_under_the_signatures_the_sum_is_one_update(
        self, masked: Ward, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(trials, "survivors_claim", lambda message, *_: message)
        update = masked.weights[WEST] * masked.values(WEST)
        found, known = self.attack(masked), last_bias(masked)
        assert (found[~known] == update[~known]).all()
        assert update[~known].any()

    def test_other_tables_of_weights_open_nothing(self, masked: Ward) -> None:
        boxes = masked.offers(masked.names)
        for site in masked.names:
            weights = masked.weights if site != WEST else {**masked.weights, EAST: 1}
            masked.upload(site, boxes, weights=weights)
        signatures = {site: masked.sign(site, masked.names) for site in masked.names}
        for site in masked.names:
            with pytest.raises(WireError, match="does not fit the list of survivors"):
                masked.reveal(site, masked.names, signatures)


class TestLeastSites:
    def test_a_smaller_sum_is_not_signed(self, tmp_path: Path) -> None:
        protect = [tiny.CLIP, tiny.QUANTISE, {**tiny.MASKS, "least_sites": 3}]
        made = Ward(plan_of("masked", protect=protect), tmp_path)
        made.train(0)
        is_refused(lambda: made.opened((EAST, NORTH)), "hides too little")
        is_refused(lambda: made.opened(made.names, (EAST, NORTH), number=1), "hides too little")
        assert (made.opened(made.names, number=2) == weighted(made, made.names)).all()

    def test_without_it_two_may_be_summed(self, masked: Ward) -> None:
        """The control."""
        assert (masked.opened((EAST, NORTH)) == weighted(masked, (EAST, NORTH))).all()
