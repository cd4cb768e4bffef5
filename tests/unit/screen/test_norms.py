"""The screen of norms leaves out who shouts, and nobody else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
from rigged import run

from wardround.core.codec import Message
from wardround.core.update import Update
from wardround.errors import PlanError
from wardround.screen import SCREENS, Case, Norms


def update(site: str, size: float) -> Update:
    return Update(site, 0, {"net/a": np.full(4, size / 2, np.float32)}, 1)


def left_out(screen: Norms, updates: list[Update]) -> dict[str, str]:
    verdicts = screen.judge(Case(updates, tiny.context())).verdicts
    assert set(verdicts) == {each.site for each in updates}
    return {site: verdict.reason for site, verdict in verdicts.items() if not verdict.trust}


def test_what_is_far_longer_than_the_median_is_left_out_with_its_reason() -> None:
    updates = [update("a", 1.0), update("b", 2.0), update("c", 6.1), update("d", 1.9)]
    assert left_out(Norms(3.0), updates) == {
        "c": "its update has norm 6.1, and 5.85 is the most that screen norms lets through"
    }
    assert left_out(Norms(4.0), updates) == {}


def test_updates_of_nothing_are_let_through() -> None:
    assert left_out(Norms(), [update("a", 0.0), update("b", 0.0)]) == {}
    assert left_out(Norms(), []) == {}


@pytest.mark.parametrize("times", [1.0, float("inf"), float("nan")])
def test_what_would_leave_out_honest_sites_is_refused(times: float) -> None:
    with pytest.raises(PlanError, match="screen times"):
        Norms(times)


def loud(op: str, site: str, answer: Message) -> Message:
    if op != "train" or site != "north":
        return answer
    return Message(answer.fields, {name: np.asarray(1000 * value) for name, value in answer.tensors.items()})


@pytest.mark.parametrize("screened", [True, False])
def test_in_a_round_it_stops_a_site_that_shouts(tmp_path: Path, screened: bool) -> None:
    """Without it the same site is in the mean: the control."""
    plan = tiny.plan(rounds=1, screen=[{"name": "norms"}] if screened else [], aggregator={"weighting": "uniform"})
    result, journal, _ = run(plan, tmp_path, loud)
    record = journal.records[0]
    assert ("north" in record.failed) == screened
    assert set(record.accepted) == {"east", "west"} | (set() if screened else {"north"})
    furthest = max(float(np.abs(value).max()) for value in result.weights.values())
    assert (furthest < 10) == screened


def test_a_screen_s_name_is_its_registered_one() -> None:
    for name, kind in SCREENS.items():
        assert kind().combiner.name == name
