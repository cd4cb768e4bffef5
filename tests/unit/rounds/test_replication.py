"""Where the coordinator is blind: every site opens the same sum, takes the same step, and helps one that missed it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import tiny
from hostile import Ward, plan_of

from wardround.core.codec import Message
from wardround.core.context import RoundContext
from wardround.core.update import Aggregate
from wardround.errors import SiteError, WireError
from wardround.protect import scheme
from wardround.rounds import replication
from wardround.rounds.digests import digest_of
from wardround.rounds.opening import Opening
from wardround.rounds.wire import tensor_of

EAST, NORTH, WEST = NAMES = tiny.NAMES


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    made = Ward(plan_of("packed"), tmp_path)
    made.train(0)
    return made


def total_of(of: Ward, sites: Sequence[str]) -> bytes:
    return of.summed({site: of.upload(site, {}) for site in sites}).frame()


def heavier(of: Ward) -> bytes:
    """Return a sum of far more weight than it will be said to have."""
    total = of.scheme.running_sum(slice(0, of.values(EAST).size))
    total.add(of.upload(EAST, {}), 64)
    return total.frame()


def step(of: Ward, site: str, groups: Sequence[Any] = (0,), round_index: int = 0) -> str:
    body = Message({"round": round_index, "groups": list(groups), "population": len(of.names)})
    return str(of.call(site, "step", body).fields["digest"])


def expected(of: Ward, *groups: Sequence[str]) -> str:
    """The digest of the state after a step that is taken here, from the updates themselves."""
    initial = tiny.make_bench(of.plan).initial
    algorithm, grid = of.plan.composed(), of.plan.pipeline.grid(initial, tiny.context())
    sites = tuple(sorted(site for group in groups for site in group))
    tensors = grid.decode(np.asarray(sum(of.values(site) for site in sites)))
    mean = Aggregate(tensors, float(len(sites)), sites).mean()
    ctx = RoundContext(of.plan.seed, 0, of.plan.rounds, sites, len(of.names))
    return digest_of(algorithm.server.apply(algorithm.server.start(initial), mean, ctx))


def test_every_site_takes_the_step_of_the_sum(ward: Ward) -> None:
    said = ward.unseal(total_of(ward, NAMES), NAMES, 3)
    assert said == dict.fromkeys(NAMES, "")
    assert {step(ward, site) for site in NAMES} == {expected(ward, NAMES)}
    assert ward.call(EAST, "holds", Message({"round": 0})).fields["digest"] == expected(ward, NAMES)


def test_groups_are_added(ward: Ward) -> None:
    ward.unseal(total_of(ward, (EAST, NORTH)), (EAST, NORTH), 2, group=1)
    ward.unseal(total_of(ward, (WEST,)), (WEST,), 1, group=3)
    assert step(ward, EAST, [1, 3]) == expected(ward, NAMES)


def test_a_sum_is_opened_from_its_parts_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheme, "PART_CHUNKS", 1)
    made = Ward(plan_of("packed", model={"width": 24}), tmp_path)
    made.train(0)
    count = made.values(EAST).size
    parts = made.scheme.parts(count)
    assert len(parts) > 2
    said: dict[str, Any] = {"round": 0, "group": 0, "sites": list(NAMES), "weight": 3}
    sums = []
    for index, part in enumerate(parts):
        total = made.scheme.running_sum(part)
        for site in NAMES:
            total.add(made.upload(site, {}, part=index))
        sums.append(Message({**said, "part": index}, {"sum": tensor_of(total.frame())}))
    assert "not seen the first part" in made.refusal(EAST, "unseal", sums[1])
    for body in sums[:-1]:
        assert made.call(EAST, "unseal", body).fields["void"] == ""
    with pytest.raises(SiteError, match="has not opened the sums of round 0"):
        step(made, EAST)
    made.call(EAST, "unseal", sums[-1])
    assert step(made, EAST) == expected(made, NAMES)


def test_a_step_needs_its_sums(ward: Ward) -> None:
    ward.unseal(total_of(ward, NAMES), NAMES, 3)
    for groups in ([], [1], [0, 1], None, "0", [[0]], [None]):
        body = Message({"round": 0, "groups": groups, "population": 3})
        assert "step failed at this site" in (said := ward.refusal(EAST, "step", body)) or "not opened the sums" in said
    for round_index in (1, 4, -1):
        body = Message({"round": round_index, "groups": [0], "population": 3})
        assert ward.refusal(EAST, "step", body)
    assert step(ward, EAST) == expected(ward, NAMES)
    with pytest.raises(SiteError, match="has not opened the sums of round 0"):
        step(ward, EAST)  # it was taken


def test_a_step_can_be_taken_again_from_the_state_before(ward: Ward) -> None:
    """A coordinator that was stopped after the step asks for the round again."""
    for site in (EAST, NORTH):
        for _ in range(2):
            ward.unseal(total_of(ward, NAMES), NAMES, 3)
            assert step(ward, site) == expected(ward, NAMES)
            ward.restart(site)


def test_a_void_sum_is_not_stepped_from(ward: Ward) -> None:
    ward.unseal(total_of(ward, NAMES), NAMES, 3)
    assert all(ward.unseal(heavier(ward), (EAST,), 1, group=1).values())
    with pytest.raises(SiteError, match="not opened the sums"):
        step(ward, EAST, [1])


def test_what_was_opened_in_another_round_is_dropped(ward: Ward) -> None:
    ward.unseal(total_of(ward, NAMES), NAMES, 3)
    for site in NAMES:
        step(ward, site)
    ward.train(1, opened=0)
    frames = {site: ward.upload(site, {}, round_index=1) for site in NAMES}
    ward.unseal(ward.summed(frames).frame(), NAMES, 3, round_index=1)
    with pytest.raises(SiteError, match="not opened the sums of round 0"):
        step(ward, EAST)
    assert len({step(ward, site, round_index=1) for site in NAMES}) == 1


def test_openings_are_counted_by_round(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "MOST_OPENINGS", 1)
    total = total_of(ward, NAMES)
    for group in (0, 0, 1):
        ward.unseal(total, NAMES, 3, group=group)
    for group in range(4):
        body = Message(
            {"round": 0, "group": group, "part": 0, "sites": list(NAMES), "weight": 3}, {"sum": tensor_of(total)}
        )
        assert "opened 3 sums of round 0, no more" in ward.refusal(EAST, "unseal", body)
    for site in NAMES:
        step(ward, site, [0])
    ward.unseal(total, NAMES, 3, round_index=1)
    assert "no more" in ward.refusal(EAST, "unseal", body)  # of round 0, also after another


class TestCatchingUp:
    @pytest.fixture
    def stepped(self, ward: Ward) -> Ward:
        """East took the step of round 0, west did not."""
        ward.unseal(total_of(ward, NAMES), NAMES, 3)
        step(ward, EAST)
        return ward

    def test_a_site_that_missed_a_step_takes_over_the_state(self, stepped: Ward) -> None:
        assert stepped.call(WEST, "holds", Message({"round": 0})).fields["digest"] == ""
        with pytest.raises(SiteError, match="state of round 0 cannot be read"):
            stepped.call(WEST, "share", Message({"round": 0}))
        digest = stepped.call(EAST, "holds", Message({"round": 0})).fields["digest"]
        shared = stepped.call(EAST, "share", Message({"round": 0})).tensors
        stepped.call(WEST, "adopt", Message({"round": 0, "digest": digest}, shared))
        stepped.restart(WEST)
        assert stepped.call(WEST, "holds", Message({"round": 0})).fields["digest"] == digest
        stepped.train(1, EAST, WEST, opened=0)
        pending: Any = stepped.sites[WEST]
        assert pending._outlet._pending.read(1).broadcast == digest

    def test_what_travels_is_sealed_and_never_twice_the_same(self, stepped: Ward) -> None:
        boxes = {stepped.call(EAST, "share", Message({"round": 0})).tensors["state"].tobytes() for _ in range(3)}
        assert len(boxes) == 3
        state = tiny.make_bench(stepped.plan).initial
        plain = safetensors.numpy.save(dict(state))
        assert all(plain[:40] not in box for box in boxes)
        assert {len(box) for box in boxes} == {len(plain) + 28}

    @pytest.mark.parametrize("digest", ["", "0" * 64, None, 7])
    def test_another_digest_is_refused(self, stepped: Ward, digest: Any) -> None:
        shared = stepped.call(EAST, "share", Message({"round": 0})).tensors
        with pytest.raises(SiteError, match="is not the one agreed on"):
            stepped.call(WEST, "adopt", Message({"round": 0, "digest": digest}, shared))
        assert stepped.call(WEST, "holds", Message({"round": 0})).fields["digest"] == ""

    def test_bodies_that_carry_none(self, stepped: Ward) -> None:
        for body in (Message(), Message({"round": 0}), Message({"round": -1}, {"state": tensor_of(b"x")})):
            with pytest.raises(WireError):
                stepped.call(WEST, "adopt", body)


def test_what_a_site_says_of_a_sum_is_what_the_opener_says(ward: Ward) -> None:
    """A site's word on a sum is what `Opening` says of it."""
    total = heavier(ward)
    grid = ward.plan.pipeline.grid(tiny.make_bench(ward.plan).initial, tiny.context())
    opening = Opening(ward.scheme, grid, (EAST,), 1)
    opening.take(0, total, ward.sealer())
    with pytest.raises(SiteError) as refusal:
        opening.aggregate(10.0)
    assert set(ward.unseal(total, (EAST,), 1).values()) == {str(refusal.value)}
