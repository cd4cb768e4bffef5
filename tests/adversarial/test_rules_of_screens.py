"""What each rule about screens, probes and attacks prevents; every test first sees the rule refuse the plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from rigged import Memory, run

from wardround.checker import RULES
from wardround.core.update import Tensors, without_group
from wardround.errors import PlanError
from wardround.rounds.coordinator import Coordinator
from wardround.rounds.record import RoundRecord
from wardround.rounds.screening import GROUP
from wardround.study.build import sites_of
from wardround.study.spec import parse

Lift = Callable[..., None]
SLIDE = {"name": "slide", "data": {"sites": {"by": "iid", "sites": 4}}}


def test_attacked_hospitals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hospital that is sent the plan would poison its own training, and nobody would be told."""
    plan = tiny.plan(attack=[{"kind": "label_flip", "sites": ["north"], "target": "dark"}])
    with pytest.raises(PlanError) as refused:
        plan.check(deployed=True)
    assert refused.value.rule == "attacked-hospitals"
    monkeypatch.delitem(RULES, "attacked-hospitals")
    plan.check(deployed=True)
    attacked, honest = run(plan, tmp_path / "attacked"), run(tiny.plan(), tmp_path / "honest")
    digests = [made[1].records[0].accepted["north"]["digest"] for made in (attacked, honest)]
    assert digests[0] != digests[1]


def test_trust_unheeded(tmp_path: Path, lift: Lift) -> None:
    """The screen takes weight from sites round after round, and the median does not ask for weights."""
    screens = [{"name": "feddetect", "warm_up": 0, "decay": 0.1}]
    plan = tiny.plan(rounds=6, screen=screens, aggregator={"name": "median"})
    lift("trust-unheeded", plan)
    screened, journal, _ = run(plan, tmp_path / "screened")
    plain = run(tiny.plan(rounds=6, aggregator={"name": "median"}), tmp_path / "plain")[0]
    assert all(record.judged for record in journal.records)
    assert screened.model_sha256 == plain.model_sha256


def test_probed_without_images(tmp_path: Path, lift: Lift) -> None:
    """The run would end in its first round, without a word of what to do."""
    plan = tiny.plan(screen=[{"name": "e_detector"}])
    lift("probed-without-images", plan)
    with pytest.raises(ValueError, match="needs images of the coordinator's own"):
        run(plan, tmp_path)


def test_probe_unasked(lift: Lift) -> None:
    """Images would be kept from training for nobody."""
    plan = parse({**SLIDE, "probe": {"share": 0.1}})
    lift("probe-unasked", plan)
    with_probe, without = (
        sum(len(site.train) for site in sites_of(made, None).values()) for made in (plan, parse(SLIDE))
    )
    assert with_probe < 0.95 * without


def test_a_site_that_is_not_there_cannot_attack() -> None:
    plan = parse({**SLIDE, "attack": [{"kind": "lie", "sites": ["north"]}]})
    with pytest.raises(PlanError, match=r"names the site 'north', which does not train: choose from site-1, site-2"):
        sites_of(plan, None)


class Stopped(Memory):
    """A journal of a run that was stopped after its second round."""

    def commit(self, record: RoundRecord, state: Tensors) -> None:
        super().commit(record, state)
        if len(self.records) == 2:
            raise KeyboardInterrupt


def judged(journal: Memory) -> dict[str, dict[str, float]]:
    """Return the numbers of the last round; a product of matrices may differ in its last bit with where they lie."""
    said = journal.records[-1].judged
    return {site: {name: round(value, 9) for name, value in each["evidence"].items()} for site, each in said.items()}


def test_screens_remember_over_a_stop(tmp_path: Path) -> None:
    """What they keep is in the journal, so that a resumed run judges as one that was never stopped."""
    plan = tiny.plan(rounds=3, screen=[{"name": "norms"}, {"name": "foolsgold"}])
    _, whole, _ = run(plan, tmp_path / "whole")
    stopped = Stopped()
    with pytest.raises(KeyboardInterrupt):
        Coordinator(plan, tiny.fabric(plan, tmp_path / "stopped"), stopped).run()
    resumed = Memory()
    resumed.records, resumed.state = list(stopped.records), stopped.state
    Coordinator(plan, tiny.fabric(plan, tmp_path / "stopped"), resumed).run()
    assert judged(resumed) == judged(whole)
    forgetful = Memory()
    forgetful.records = list(stopped.records)
    forgetful.state = without_group(stopped.state or {}, GROUP)
    Coordinator(plan, tiny.fabric(plan, tmp_path / "stopped"), forgetful).run()
    assert judged(forgetful) != judged(whole)
