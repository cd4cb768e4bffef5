"""Coordinators that make up what the sites open, or the state that a site takes over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import tiny
from hostile import Ward, plan_of, trained

from wardround.core.codec import Message
from wardround.core.update import Tensors
from wardround.errors import SiteError, WireError
from wardround.rounds import replication
from wardround.rounds.digests import digest_of
from wardround.rounds.wire import tensor_of

EAST, NORTH, WEST = tiny.NAMES


class TestMadeUpSums:
    """What sites say of a sum tells whoever made it up a little of what it opens to."""

    def searched(self, of: Ward) -> int:
        """Find one number of north's update by asking whether sums that differ in it are void."""
        frame, layout = of.upload(NORTH, {}), of.scheme.layout
        assert layout is not None
        low, high = 1, 2**layout.bits  # the shifted number is in [low, high)
        while high - low > 1:
            middle = (low + high) // 2
            total, shift = of.summed({NORTH: frame}), np.zeros(len(self.padded(of)), np.uint64)
            shift[0] = middle - 1  # opens while what is left is 1 or more
            total.subtract_plain(shift)
            void = any(of.unseal(total.frame(), [NORTH], 1).values())
            low, high = (low, middle) if void else (middle, high)
        return low - 2 ** (layout.bits - 1)

    def padded(self, of: Ward) -> np.ndarray:
        return of.words(of.summed({NORTH: of.upload(NORTH, {})}))

    def test_a_round_is_opened_only_so_often(self, tmp_path: Path) -> None:
        made = trained(tmp_path, "packed")
        most = replication.MOST_OPENINGS * len(made.names)
        with pytest.raises(SiteError, match=f"opened {most} sums of round 0, no more"):
            self.searched(made)
        # Nor after another round, or by other numbers of groups.
        total = made.summed({NORTH: made.upload(NORTH, {})}).frame()
        said = {"round": 0, "group": 2, "part": 0, "sites": [NORTH], "weight": 1}
        body = Message(said, {"sum": tensor_of(total)})
        assert "no more" in made.refusal(EAST, "unseal", body)
        assert "no whole number from 0 to 3" in made.refusal(
            EAST, "unseal", Message({**said, "group": 4}, body.tensors)
        )

    def test_if_it_were_not_a_coordinator_could_read_an_update(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(replication, "MOST_OPENINGS", 2**20)
        made = trained(tmp_path, "packed")
        assert self.searched(made) == made.values(NORTH)[0]

    def test_a_void_sum_is_not_said_to_be_void_by_how_much(self, tmp_path: Path) -> None:
        protect = [{**tiny.CLIP, "norm": 1e-4}, *tiny.PIPELINES["packed"][1:]]
        said = set()
        for shift in (5000, 9000):
            made = Ward(plan_of("packed", protect=protect), tmp_path / str(shift))
            made.train(0)
            total = made.summed({NORTH: made.upload(NORTH, {})})
            words = np.zeros(len(self.padded(made)), np.uint64)
            words[0] = shift
            total.subtract_plain(words)
            said |= set(made.unseal(total.frame(), [NORTH], 1).values())
        assert len(said) == 1
        assert "norm above" in said.pop()

    def test_bodies_that_are_no_sum(self, tmp_path: Path) -> None:
        made = trained(tmp_path, "packed and masked")
        frame = made.summed({NORTH: made.upload(NORTH, made.offers(made.names))}).frame()
        said = {"round": 0, "group": 0, "part": 0, "sites": [NORTH], "weight": 4}
        for changed, sentence in (
            ({"part": 1}, "not seen the first part"),
            ({"weight": 0}, "weight"),
            ({"weight": 65}, "no whole number from 0 to 64"),
            ({"round": 1}, "state of round 0 cannot be read"),
            ({"sites": [NORTH, NORTH]}, "name a site twice"),
        ):
            body = Message({**said, **changed}, {"sum": tensor_of(frame)})
            assert sentence in made.refusal(EAST, "unseal", body), changed
        for cut in (frame[:-1], frame + b"\0", b"", b"\xff" * len(frame), bytes(len(frame))):
            answer = made.call(EAST, "unseal", Message(said, {"sum": tensor_of(cut)}))
            assert "does not open" in answer.fields["void"]
        assert "carries no bytes called 'sum'" in made.refusal(EAST, "unseal", Message(said))

    def test_a_step_from_one_sum_twice(self, tmp_path: Path) -> None:
        made = trained(tmp_path, "packed")
        total = made.summed({NORTH: made.upload(NORTH, {})}).frame()
        assert set(made.unseal(total, [NORTH], 1).values()) == {""}
        assert set(made.unseal(total, [NORTH], 1, group=1).values()) == {""}
        for groups in ([0, 1], [0, 0]):
            body = Message({"round": 0, "groups": groups, "population": 3})
            assert "have sites in common" in made.refusal(EAST, "step", body)
        assert made.call(EAST, "step", Message({"round": 0, "groups": [0], "population": 3})).fields["digest"]


class TestStates:
    """A site that fell behind takes over a state from another: never one that the coordinator made."""

    @pytest.fixture
    def stepped(self, tmp_path: Path) -> Ward:
        made = trained(tmp_path, "packed")
        self.step(made, (EAST, NORTH))
        return made

    def step(self, of: Ward, sites: Sequence[str]) -> str:
        total = of.summed({site: of.upload(site, {}) for site in sites}).frame()
        of.unseal(total, sites, len(sites))
        return str(of.call(EAST, "step", Message({"round": 0, "groups": [0], "population": 3})).fields["digest"])

    def adopt(self, of: Ward, state: np.ndarray, digest: str, round_index: int = 0) -> Message:
        return of.call(WEST, "adopt", Message({"round": round_index, "digest": digest}, {"state": state}))

    def test_one_that_another_site_shared_is_taken(self, stepped: Ward) -> None:
        """The control."""
        digest = stepped.call(EAST, "holds", Message({"round": 0})).fields["digest"]
        shared = stepped.call(EAST, "share", Message({"round": 0})).tensors["state"]
        assert stepped.call(WEST, "holds", Message({"round": 0})).fields["digest"] != digest
        self.adopt(stepped, shared, digest)
        assert stepped.call(WEST, "holds", Message({"round": 0})).fields["digest"] == digest

    def test_of_another_round_run_or_sum(self, stepped: Ward) -> None:
        digest = stepped.call(EAST, "holds", Message({"round": 0})).fields["digest"]
        shared = stepped.call(EAST, "share", Message({"round": 0})).tensors["state"]
        with pytest.raises(WireError, match="belongs to another run or place"):
            self.adopt(stepped, shared, digest, round_index=1)
        other = self.step(stepped, (NORTH, WEST))  # the round again, with another sum
        with pytest.raises(SiteError, match="not the one agreed on"):
            self.adopt(stepped, shared, other)
        stepped.agree_on_keys()
        with pytest.raises(WireError, match="belongs to another run or place"):
            self.adopt(stepped, shared, digest)

    def test_of_the_coordinator_s_making(self, stepped: Ward) -> None:
        state = {name: np.zeros_like(value) for name, value in tiny.make_bench(stepped.plan).initial.items()}
        block = safetensors.numpy.save(state)
        for made_up in (block, b"", bytes(28), bytes(len(block) + 28)):
            with pytest.raises(WireError, match="does not open"):
                self.adopt(stepped, tensor_of(made_up), digest_of(state))

    def test_with_a_site_s_help_it_still_is_a_state_of_the_model(self, stepped: Ward) -> None:
        """Who has the run's key can seal any state. One of another shape, or not finite, is refused all the same."""
        initial = tiny.make_bench(stepped.plan).initial
        first = sorted(initial)[0]
        east: Any = stepped.sites[EAST]
        keys = east._outlet._keyring.keys
        wrong: list[Tensors] = [
            {},
            {**initial, first: initial[first][:1]},
            {**initial, first: initial[first].astype(np.float64)},
            {**initial, "net/99.bias": np.zeros(2, np.float32)},
            {**initial, first: np.full_like(initial[first], np.nan)},
        ]
        for state in wrong:
            box = keys.seal_for_roster(safetensors.numpy.save(dict(state)), b"wardround state 1" + bytes(8))
            with pytest.raises(WireError, match=r"differ in tensor|is float|NaN"):
                self.adopt(stepped, tensor_of(box), digest_of(state))
        box = keys.seal_for_roster(b"no tensors", b"wardround state 1" + bytes(8))
        with pytest.raises(WireError, match="not valid safetensors"):
            self.adopt(stepped, tensor_of(box), "")
