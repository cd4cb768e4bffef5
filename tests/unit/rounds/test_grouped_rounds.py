"""Rounds whose sites are dealt to groups: what is judged, who is lost, who rests, and what is written down."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import grouped_sites
import numpy as np
import pytest
import rigged
import tiny
from grouped_sites import NAMES, SIZES
from rigged import Memory

from wardround.checker import Combiner, View
from wardround.core.codec import Message
from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.errors import QuorumLost
from wardround.ledger.entries import GroupSum, Verdict
from wardround.protect.clip import Clip
from wardround.protect.quantise import integer_weights
from wardround.rounds.coordinator import Coordinator
from wardround.rounds.logbook.history import read_history
from wardround.rounds.plan import Plan
from wardround.rounds.record import RoundRecord
from wardround.screen import Case, Judgement
from wardround.screen import Verdict as Judged

LOST = "the power failed"


def group_means(
    updates: dict[str, Tensors], groups: tuple[tuple[str, ...], ...], weights: dict[str, int]
) -> list[Tensors]:
    return [
        {
            name: sum(weights[site] * updates[site][name].astype(float) for site in group)
            / sum(weights[site] for site in group)
            for name in updates[NAMES[0]]
        }
        for group in groups
    ]


def length(tensors: Tensors) -> float:
    return float(np.sqrt(sum(np.sum(np.square(value)) for value in tensors.values())))


def learned(of: Plan, folder: Path) -> tuple[dict[str, np.ndarray], Memory]:
    result, journal, _ = grouped_sites.run(of, folder)
    initial = tiny.make_bench(of).initial
    return {name: result.weights[name] - initial[name] for name in initial}, journal


@pytest.mark.parametrize("judge", ["norms", "median", "clip_norms"])
def test_the_model_is_what_the_rule_makes_of_the_means_of_groups(tmp_path: Path, judge: str) -> None:
    """Held against the updates in the clear: the masks took nothing away and added nothing."""
    updates = dict(grouped_sites.bare(tmp_path / "bare"))
    changes = {"aggregator": {"name": "median"}, "screen": []} if judge == "median" else {"screen": [{"name": judge}]}
    got, journal = learned(grouped_sites.plan(rounds=1, **changes), tmp_path / judge)
    groups = journal.records[0].groups
    assert sorted(site for group in groups for site in group) == list(NAMES)
    weights = dict.fromkeys(NAMES, 1) if judge == "median" else integer_weights(dict(SIZES), 64)
    means = group_means(updates, groups, weights)
    if judge == "clip_norms":
        most = float(np.median([length(mean) for mean in means]))
        means = [{n: v * min(1.0, most / length(mean)) for n, v in mean.items()} for mean in means]
    shares = np.array([sum(weights[site] for site in group) for group in groups]) / sum(weights.values())
    for name, value in got.items():
        stacked = np.stack([mean[name] for mean in means])
        wanted = np.median(stacked, axis=0) if judge == "median" else np.tensordot(shares, stacked, 1)
        np.testing.assert_allclose(value, wanted, atol=3e-4)


def test_uniform_weights_count_sites_not_groups(tmp_path: Path) -> None:
    """Of five sites one group has three: a mean of groups would halve its members' weight."""
    changes = {"aggregator": tiny.UNIFORM, "sites_per_round": 5, "rounds": 1}
    got, journal = learned(grouped_sites.plan(**changes), tmp_path / "groups")
    assert sorted(map(len, journal.records[0].groups)) == [2, 3]
    plain, _ = learned(tiny.plan(**changes), tmp_path / "plain")
    for name, value in plain.items():
        np.testing.assert_allclose(got[name], value, atol=3e-4)


def losing(op: str, *sites: str) -> rigged.Tamper:
    """Return a tamper that loses the answers of sites to `op`, in round 1."""
    current = {"round": -1}

    def tamper(asked: str, site: str, answer: Message) -> Message | str:
        if asked == "train" and site == NAMES[0]:
            current["round"] = answer.fields["round"]
        return LOST if asked == op and site in sites and current["round"] == 1 else answer

    return tamper


@pytest.mark.parametrize("op", ["train", "offer", "upload", "agree"])
def test_a_group_that_loses_a_site_is_left_out_whole_and_the_round_goes_on(tmp_path: Path, op: str) -> None:
    _, journal, made = grouped_sites.run(grouped_sites.plan(rounds=3), tmp_path, losing(op, "cork"))
    before, during, after = journal.records
    assert sorted(before.accepted) == sorted(after.accepted) == list(NAMES)
    (partner,) = set(during.failed) - {"cork"}
    dealt = grouped_sites.plan().groups
    assert dealt
    assert partner in dealt.of(context(1), "cork")
    assert LOST in during.failed["cork"]
    assert "its group was lost" in during.failed[partner]
    assert sorted(during.accepted) == sorted(set(NAMES) - {"cork", partner})
    # Nothing of the lost group was ever opened.
    revealed = [body for asked, sites, body in made.asked if asked == "reveal" and partner in sites]
    assert len(revealed) == 2


def context(index: int) -> RoundContext:
    return replace(tiny.context(index), cohort=NAMES, population=len(NAMES))


def test_a_larger_group_goes_on_with_the_rest(tmp_path: Path) -> None:
    """A group of three with room for two: the exact sum of the two that are left."""
    plan = grouped_sites.plan(rounds=2, sites_per_round=5)
    _, journal, _ = grouped_sites.run(plan, tmp_path / "whole")
    three = next(group for group in journal.records[1].groups if len(group) == 3)
    _, journal, _ = grouped_sites.run(plan, tmp_path / "lost", losing("upload", three[0]))
    assert tuple(journal.records[1].failed) == three[:1]
    assert three[1:] in journal.records[1].groups


def test_too_few_groups_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(QuorumLost, match="round 1 had 0 good updates, its quorum is 4"):
        grouped_sites.run(grouped_sites.plan(rounds=2), tmp_path, losing("upload", "alba", "brno", "cork", "dijon"))


def test_a_void_group_is_left_out_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site that does not clip spoils the sum of its group, which no honest sites could make, and of no other."""
    honest = Clip.encode

    def unclipped(self: Clip, change: Tensors, ctx: RoundContext) -> Tensors:
        if ctx.site != "cork":
            return honest(self, change, ctx)
        return {name: np.asarray(1000 * value, value.dtype) for name, value in change.items()}

    monkeypatch.setattr(Clip, "encode", unclipped)
    _, journal, _ = grouped_sites.run(grouped_sites.plan(rounds=1), tmp_path)
    (record,) = journal.records
    assert "cork" in record.failed
    assert len(record.failed) == 2
    assert all("a group whose sum was void" in reason for reason in record.failed.values())
    assert set(record.accepted) == set(NAMES) - set(record.failed)


def test_the_ledger_names_the_groups_and_every_member_finds_its_own(tmp_path: Path) -> None:
    result, journal, _ = grouped_sites.run(grouped_sites.plan(), tmp_path)
    with journal.ledger() as log:
        history = read_history(log.entries())
    for record, lines in zip(journal.records, history.rounds, strict=True):
        named = [entry.sites for entry in lines if isinstance(entry, GroupSum)]
        assert tuple(named) == record.groups
    assert result.ledger.final
    assert result.ledger.cosigned == NAMES


def test_a_coordinator_that_logs_other_groups_is_not_co_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = RoundRecord.having

    def swapped(self: RoundRecord, **changes: object) -> RoundRecord:
        made = honest(self, **changes)
        return replace(made, groups=(NAMES[:3], NAMES[3:])) if made.groups else made

    monkeypatch.setattr(RoundRecord, "having", swapped)
    result, _, _ = grouped_sites.run(grouped_sites.plan(rounds=1), tmp_path)
    assert any(f"{', '.join(NAMES)} did not co-sign" in event for event in result.ledger.events)


@dataclass(frozen=True)
class Accusing:
    """Leaves out the group of one site, and lets another rest in the next round."""

    @property
    def combiner(self) -> Combiner:
        return Combiner("accusing", View.EACH, takes_groups=True)

    def judge(self, case: Case) -> Judgement:
        verdicts = {u.site: Judged(0.0, "it is with alba") if "alba" in u.members else Judged() for u in case.updates}
        rests = "brno" in {site for update in case.updates for site in update.members}
        return Judgement(verdicts, members={"brno": Judged(0.0, "it rests") if rests else Judged()})


@dataclass(frozen=True)
class Sparing:
    """Leaves out every group but that of the sites that it spares."""

    spares: tuple[str, ...]

    @property
    def combiner(self) -> Combiner:
        return Combiner("sparing", View.EACH, takes_groups=True)

    def judge(self, case: Case) -> Judgement:
        kept = {update.site for update in case.updates if set(self.spares) & set(update.members)}
        return Judgement({u.site: Judged() if u.site in kept else Judged(0.0, "too long") for u in case.updates})


def screened(screen: Accusing | Sparing, folder: Path, monkeypatch: pytest.MonkeyPatch, rounds: int) -> Memory:
    """Run a plan with a screen that no plan can name."""
    plan, journal = grouped_sites.plan(rounds=rounds), Memory(folder / "ledger")
    made = rigged.Tampering(grouped_sites.fabric(plan, folder), rigged.honest)
    monkeypatch.setattr(Plan, "digest", lambda self: "0" * 64)
    result = Coordinator(replace(plan, screens=(screen,)), made, journal).run()
    assert result.ledger.final
    return journal


def test_attackers_cannot_end_a_run_with_those_whom_they_are_dealt_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of six could spoil two of three groups: what is left is less than the quorum of those that answered."""
    (record,) = screened(Sparing(("alba",)), tmp_path, monkeypatch, 1).records
    assert len(record.accepted) == 2
    assert len(record.refused) == 4


def test_a_round_of_which_nothing_is_left_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(QuorumLost, match="round 0 has no group left that its rules let count"):
        screened(Sparing(()), tmp_path, monkeypatch, 1)


class TestVerdicts:
    @pytest.fixture
    def records(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[RoundRecord]:
        return screened(Accusing(), tmp_path, monkeypatch, 3).records

    def test_a_group_that_is_left_out_is_left_out_with_all_its_members(self, records: list[RoundRecord]) -> None:
        for record in records:
            group = next(one for one in record.groups if "alba" in one)
            assert set(record.refused) == set(group) == set(record.failed)
            assert all(record.judged[site]["reason"].startswith("it is with alba") for site in group)
            assert set(record.accepted) == set(record.cohort) - set(group)

    def test_a_site_that_rests_is_not_asked_and_comes_back(self, records: list[RoundRecord]) -> None:
        assert ["brno" in record.cohort for record in records] == [True, False, True]
        assert "it rests" in records[0].judged["brno"]["reason"]

    def test_the_ledger_says_so(self, records: list[RoundRecord], tmp_path: Path) -> None:
        journal = Memory(tmp_path / "ledger")
        with journal.ledger() as log:
            lines = read_history(log.entries()).rounds[0]
        refused = {entry.site for entry in lines if isinstance(entry, Verdict) and entry.verdict == "refused"}
        assert refused == set(records[0].refused)


class Stopped(Memory):
    """A journal of a run that was stopped after its second round."""

    def commit(self, record: RoundRecord, state: Tensors) -> None:
        super().commit(record, state)
        if len(self.records) == 2:
            raise KeyboardInterrupt


def test_a_resumed_run_goes_on_with_the_evidence_and_the_rest(tmp_path: Path) -> None:
    # So easily alarmed that somebody rests from the first round on.
    screen = [{"name": "group_evidence", "allowance": 0.0, "false_alarms": 0.9}]
    plan = grouped_sites.plan(rounds=4, screen=screen)
    _, whole, _ = grouped_sites.run(plan, tmp_path / "whole")
    assert any(len(record.cohort) < len(NAMES) for record in whole.records[:3])
    stopped = Stopped()
    with pytest.raises(KeyboardInterrupt):
        grouped_sites.run(plan, tmp_path / "stopped", journal=stopped)
    resumed = Memory(stopped.folder)
    resumed.records, resumed.state, resumed.note = list(stopped.records), stopped.state, stopped.note
    resumed.known, resumed.seed = stopped.known, stopped.seed
    grouped_sites.run(plan, tmp_path / "stopped", journal=resumed)
    for mine, theirs in zip(resumed.records, whole.records, strict=True):
        assert (mine.cohort, mine.groups) == (theirs.cohort, theirs.groups)
        assert mine.state_digest == theirs.state_digest
        assert mine.judged == theirs.judged
