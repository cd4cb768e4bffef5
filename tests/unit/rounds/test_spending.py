"""A site's account: every noise on the disk before it leaves, and none past the budget."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import rigged
import tiny

from wardround.core.codec import Message
from wardround.errors import QuorumLost, SiteError, TrustError
from wardround.privacy import DiscreteGaussian, Event, epsilon_of
from wardround.protect.trust import Budget
from wardround.rounds.plan import Plan
from wardround.rounds.site import Site
from wardround.rounds.spending import Account, refuse_uncovered
from wardround.rounds.store import SiteStore

EVENT = DiscreteGaussian(5.0, 0.5)
STEPS = "each step at each site"
UPDATES = "each update"


def account(folder: Path, data: str = "scans", unit: str = "image", budget: Budget | None = None) -> Account:
    return Account(folder / "spending.json", data, unit, budget)


def site(plan: Plan, folder: Path, budget: Budget | None = None) -> Site:
    assert plan.privacy is not None
    held = Account(folder / "spending.json", "tiny", plan.privacy.unit, budget)
    return Site("east", plan, tiny.site_data("east"), tiny.make_bench(plan), SiteStore(folder), account=held)


def request(plan: Plan, index: int = 0, accepted: int = -1) -> Message:
    fields = {"round": index, "cohort": ["east", "north"], "population": 3, "accepted": {"east": accepted}}
    return Message(fields, plan.composed().server.broadcast(dict(tiny.make_bench(plan).initial)))


def spent(folder: Path) -> Counter[Event]:
    return Account(folder / "spending.json", "tiny", "image").spent()


def test_accounts_of_data_sets_and_units_are_apart_and_survive(tmp_path: Path) -> None:
    account(tmp_path).add([EVENT, EVENT])
    account(tmp_path, data="others").add([EVENT])
    account(tmp_path, unit="patient").add([EVENT])
    account(tmp_path).add([EVENT])
    assert account(tmp_path).spent() == {EVENT: 3}
    assert account(tmp_path, data="others").spent() == account(tmp_path, unit="patient").spent() == {EVENT: 1}
    assert (tmp_path / "spending.json").stat().st_mode & 0o777 == 0o600


def test_a_budget_is_spent_to_its_last_event_and_not_beyond(tmp_path: Path) -> None:
    budget = Budget("image", epsilon_of({EVENT: 3}, 1e-3) * 1.0001, 1e-3)
    held = account(tmp_path, budget=budget)
    for _ in range(3):
        held.check([EVENT])
        held.add([EVENT])
    with pytest.raises(SiteError, match="budget for these data is spent"):
        held.check([EVENT])
    account(tmp_path, data="others", budget=budget).check([EVENT])


def test_two_runs_at_once_lose_no_entry_and_do_not_exceed_the_budget_together(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: account(tmp_path).add([EVENT]), range(40)))
    assert account(tmp_path).spent() == {EVENT: 40}
    budget = Budget("image", epsilon_of({EVENT: 41}, 1e-3) * 1.0001, 1e-3)
    both = [account(tmp_path, budget=budget) for _ in range(2)]
    for held in both:
        held.check([EVENT])  # both may begin
    both[0].add([EVENT])
    with pytest.raises(SiteError, match="budget"):
        both[1].add([EVENT])
    assert account(tmp_path).spent() == {EVENT: 41}


def test_a_budget_for_another_unit_is_not_this_one(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="counts patients, and the plan hides images"):
        account(tmp_path, budget=Budget("patient", 100.0, 1e-3)).check([EVENT])


def test_a_site_with_a_budget_takes_part_in_no_plan_that_claims_nothing() -> None:
    refuse_uncovered(None)
    with pytest.raises(TrustError, match='unit = "patient"'):
        refuse_uncovered(Budget("patient", 1.0, 1e-3))


@pytest.mark.parametrize(
    "damage", [b"", b"[]", b'{"version":2,"accounts":{}}', b'{"version":1,"accounts":{"image scans":[[1,2]]}}', b"\xff"]
)
def test_a_damaged_record_sends_nothing(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "spending.json").write_bytes(damage)
    for act in (lambda: account(tmp_path).spent(), lambda: account(tmp_path).add([EVENT])):
        with pytest.raises(SiteError, match="cannot be read, so it sends nothing"):
            act()
    assert (tmp_path / "spending.json").read_bytes() == damage


def test_a_record_that_cannot_be_written_sends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SiteError, match="cannot write down what it spends"):
        Account(tmp_path / "file" / "spending.json", "scans", "image").add([EVENT])


@pytest.mark.parametrize(("name", "each"), [(STEPS, 2), (UPDATES, 1)])
def test_what_is_asked_for_again_is_the_same_bytes_and_costs_nothing(tmp_path: Path, name: str, each: int) -> None:
    plan = tiny.private(name, randomness="system")
    first = site(plan, tmp_path).handle("train", request(plan))
    assert spent(tmp_path).total() == each
    again = site(plan, tmp_path).handle("train", request(plan))  # as after a restart
    assert again.fields == first.fields
    assert all((again.tensors[n] == first.tensors[n]).all() for n in first.tensors)
    assert spent(tmp_path).total() == each


def test_without_what_was_kept_the_noise_is_new_and_is_paid_for(tmp_path: Path) -> None:
    """The positive control of the test above: the same request, answered anew, is another event."""
    plan = tiny.private(UPDATES, randomness="system")
    first = site(plan, tmp_path).handle("train", request(plan))
    for kept in tmp_path.glob("reply-*"):
        kept.unlink()
    again = site(plan, tmp_path).handle("train", request(plan))
    assert any((again.tensors[n] != first.tensors[n]).any() for n in first.tensors)
    assert spent(tmp_path).total() == 2


def test_another_request_for_the_same_round_is_new_noise_and_is_paid_for(tmp_path: Path) -> None:
    plan = tiny.private(UPDATES, randomness="system")
    site(plan, tmp_path).handle("train", request(plan))
    other = request(plan)
    moved = {name: value + 1 for name, value in other.tensors.items()}
    site(plan, tmp_path).handle("train", Message(other.fields, moved))
    assert spent(tmp_path).total() == 2


def test_a_site_refuses_a_round_past_its_budget_before_it_trains(tmp_path: Path) -> None:
    plan = tiny.private(UPDATES)
    assert plan.guarantee is not None
    [event] = plan.guarantee.events_of_round()
    budget = Budget("image", epsilon_of({event: 1}, 1e-3) * 1.0001, 1e-3)
    site(plan, tmp_path, budget).handle("train", request(plan))
    with pytest.raises(SiteError, match="budget"):
        site(plan, tmp_path, budget).handle("train", request(plan, 1))
    assert spent(tmp_path).total() == 1


def test_central_noise_is_on_the_site_s_account_too(tmp_path: Path) -> None:
    plan = tiny.private("the coordinator's, clear")
    answer = site(plan, tmp_path).handle("train", request(plan))
    assert answer.fields["spent"] == []
    assert spent(tmp_path).total() == 1


def test_a_site_that_has_nowhere_to_write_does_not_join(tmp_path: Path) -> None:
    plan = tiny.private(UPDATES)
    with pytest.raises(SiteError, match="nowhere to write down"):
        Site("east", plan, tiny.site_data("east"), tiny.make_bench(plan), SiteStore(tmp_path))


@pytest.mark.parametrize("name", ["shares under masks", UPDATES, STEPS])
def test_a_run_that_stops_and_goes_on_pays_once_for_each_round(tmp_path: Path, name: str) -> None:
    """A site that is lost halfway through a round was told; when it is asked again, its noise is the same."""
    plan = tiny.private(name, randomness="system", quorum=3)
    each = 2 if name == STEPS else 1
    wire: list[bytes] = []

    def losing(op: str, who: str, answer: Message) -> Message | str:
        if op == "train" and who == "west" and answer.fields["round"] == 1:
            return "the power failed"
        return answer

    journal = rigged.Memory()
    with pytest.raises(QuorumLost):
        rigged.run(plan, tmp_path, losing, journal)
    _, journal, fabric = rigged.run(plan, tmp_path, journal=journal)
    wire = [frame for op, who, frame in fabric.wire if op == "train" and who == "east"]
    assert len(wire) == 1  # only the round that was lost is asked for again
    for place in tiny.NAMES:
        paid = Account(tmp_path / place / "spending.json", "tiny", "image").spent()
        assert paid.total() == plan.rounds * each
    told = json.loads(json.dumps(journal.records[-1].to_json()))["privacy"]
    assert told["epsilon"] == epsilon_of(paid, 1e-3)
