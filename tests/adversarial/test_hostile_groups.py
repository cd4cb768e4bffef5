"""Coordinators that choose who is summed with whom, and what a site that keeps to its group does not let them do."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import grouped_sites
import numpy as np
import pytest
import tiny
from grouped_sites import NAMES
from hostile import Ward, weighted

from wardround.core.codec import Message
from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.rounds.groups import Company
from wardround.rounds.outlet import Encoded, Outlet

ALBA, BRNO, CORK, DIJON, EVORA, FARO = NAMES


def ward(folder: Path, size: int = 2, **changes: Any) -> Ward:
    """Return six sites that trained for round 0."""
    made = Ward(grouped_sites.plan(groups={"size": size}, **changes), folder, NAMES)
    made.train(0)
    return made


def group_of(made: Ward, site: str, round_index: int = 0, cohort: tuple[str, ...] = NAMES) -> tuple[str, ...]:
    groups = made.plan.groups
    assert groups
    return groups.of(replace(tiny.context(round_index), cohort=cohort), site)


def offer(cohort: tuple[str, ...], number: int = 0, round_index: int = 0) -> Message:
    return Message({"round": round_index, "attempt": number, "cohort": list(cohort), "whole": False})


def test_the_sum_of_a_group_opens(tmp_path: Path) -> None:
    """The control: an honest coordinator opens each group's sum, and it is exactly that."""
    made = ward(tmp_path)
    for group in {group_of(made, site) for site in NAMES}:
        np.testing.assert_array_equal(made.opened(group), weighted(made, group))


def test_a_group_of_one_is_refused(tmp_path: Path) -> None:
    made = ward(tmp_path)
    assert "1 of a group left" in made.refusal(ALBA, "offer", offer((ALBA,)))
    group = group_of(made, ALBA)
    boxes = made.offers(group)
    for site in group:
        made.upload(site, boxes)
    said = Message({"round": 0, "attempt": 0, "survivors": [ALBA]})
    assert "1 survivors are below the threshold of 2" in made.refusal(ALBA, "agree", said)


def test_a_larger_group_is_opened_down_to_the_size_of_the_plan_and_no_further(tmp_path: Path) -> None:
    """Masks alone would open a sum of two of three: the plan says that sums have three or more."""
    made = ward(tmp_path, size=3)
    group = group_of(made, ALBA)
    assert len(group) == 3
    boxes = made.offers(group)
    for site in group:
        made.upload(site, boxes)
    other = next(site for site in group if site != ALBA)
    two = sorted((ALBA, other))
    said = Message({"round": 0, "attempt": 0, "survivors": two})
    assert "a sum over 2 sites hides too little" in made.refusal(ALBA, "agree", said)
    assert "2 of a group left" in made.refusal(ALBA, "offer", offer(tuple(two), number=1))


def test_whom_the_plan_does_not_deal_together_is_not_summed_together(tmp_path: Path) -> None:
    made = ward(tmp_path)
    stranger = next(site for site in NAMES if site not in group_of(made, ALBA))
    for asked in (tuple(sorted((ALBA, stranger))), NAMES):
        assert "the plan deals" in made.refusal(ALBA, "offer", offer(asked))


def test_if_sites_did_not_deal_for_themselves_a_coordinator_would_pair_whom_it_likes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: with one site on its side it would pair that one with each other site in turn, and read them all."""
    monkeypatch.setattr(Company, "require", lambda *_: None)
    made = ward(tmp_path)
    stranger = next(site for site in NAMES if site not in group_of(made, ALBA))
    pair = tuple(sorted((ALBA, stranger)))
    np.testing.assert_array_equal(made.opened(pair), weighted(made, pair))


def test_sites_that_are_told_of_other_cohorts_do_not_meet(tmp_path: Path) -> None:
    """Who is told another cohort deals another group, and the masks of the two could not cancel."""
    made = Ward(grouped_sites.plan(), tmp_path, NAMES)
    group = group_of(made, ALBA)
    (partner,) = set(group) - {ALBA}
    fours = (four for four in itertools.combinations(NAMES, 4) if set(group) <= set(four))
    apart = next(four for four in fours if partner not in group_of(made, ALBA, cohort=four))
    made.train(0, ALBA)
    made.train(0, partner, cohort=list(apart))
    mine = made.call(ALBA, "offer", offer(group)).tensors
    assert set(mine) == {partner}
    assert "the plan deals" in made.refusal(partner, "offer", offer(group))
    said = Message({"round": 0, "attempt": 0, "part": 0, "weights": dict.fromkeys(group, 3)})
    assert made.refusal(ALBA, "upload", said)
    assert "sent no update" in made.refusal(ALBA, "agree", Message({**said.fields, "survivors": list(group)}))


def test_a_site_keeps_to_the_cohort_of_its_update_after_a_restart(tmp_path: Path) -> None:
    """It was told whom the round asks when it trained; a coordinator that comes back with others is refused."""
    made = ward(tmp_path)
    group = group_of(made, ALBA)
    made.restart(*NAMES)
    # The same state and round, another cohort: the update is not trained again, and keeps the cohort that it had.
    four = tuple(sorted({ALBA, *[site for site in NAMES if site not in group][:3]}))
    made.train(0, ALBA, cohort=list(four))
    for other in four[1:]:
        assert "the plan deals" in made.refusal(ALBA, "offer", offer((ALBA, other)))
    made.opened(group)


def test_after_one_sum_no_other_of_the_round_is_opened(tmp_path: Path) -> None:
    """Also to a coordinator that starts the run again: two sums of one round would give away their difference."""
    made = ward(tmp_path, size=3)
    group = group_of(made, ALBA)
    made.opened(group)
    two = tuple(site for site in group if site != group[-1])
    assert "of a group left" in made.refusal(ALBA, "offer", offer(two, number=1))
    made.agree_on_keys()
    assert "of a group left" in made.refusal(ALBA, "offer", offer(two))
    np.testing.assert_array_equal(made.opened(group), weighted(made, group))


def test_what_lasts_is_worked_out_from_many_sums_and_from_fixed_groups_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The price that `check` prints: updates that were the same in every round are solved for, from opened sums."""
    lasting: dict[str, np.ndarray] = {}

    def encoded(self: Outlet, ctx: RoundContext, broadcast: Tensors, change: Tensors) -> Encoded:
        count = sum(value.size for value in broadcast.values())
        row = np.random.default_rng(NAMES.index(ctx.site or "")).integers(-1000, 1000, count)
        lasting[ctx.site or ""] = row
        return Encoded(row, 0.0)

    monkeypatch.setattr(Outlet, "encoded", encoded)
    found, four = {}, NAMES[:4]
    for name, regroup in (("changing", True), ("fixed", False)):
        plan = grouped_sites.plan(groups={"size": 2, "regroup": regroup}, rounds=3)
        made = Ward(plan, tmp_path / name, four)
        rows, sums = [], []
        for index in range(3):
            made.train(index)
            for group in sorted({group_of(made, site, index, four) for site in four}):
                rows.append([made.weights[site] * float(site in group) for site in four])
                sums.append(made.opened(group, round_index=index).astype(float))
        solved = np.linalg.lstsq(np.array(rows), np.array(sums))[0]
        found[name] = max(float(np.abs(solved[place] - lasting[site]).max()) for place, site in enumerate(four))
    assert found["changing"] < 1e-6
    assert found["fixed"] > 100
