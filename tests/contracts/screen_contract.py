"""What every `Screen` must do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import tiny

from wardround.checker import View
from wardround.core.update import Tensors, Update
from wardround.screen import Case, Harm, Judgement, Samples, Screen

SHAPES = {"net/a": (6, 5), "net/b": (7,)}


def tensors(seed: int, size: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: np.asarray(size * rng.normal(size=shape), np.float32) for name, shape in SHAPES.items()}


COMMON = tensors(99)


def update(place: int, size: float = 1.0, turned: float = 1.0, loss: float = 1.0) -> Update:
    """Return an update along a common direction, with noise of its own."""
    own = tensors(place)
    change = {n: np.asarray(size * (turned * COMMON[n] + 0.5 * own[n]), np.float32) for n in SHAPES}
    return Update(f"site-{place}", 0, change, 10 + place, {"loss": loss + 0.01 * place, "last_loss": loss})


def cohort(count: int = 8) -> list[Update]:
    return [update(place) for place in range(count)]


@dataclass(frozen=True)
class FakeProbe:
    """Holds that harm is what points away from the common direction."""

    def harms(self, change: Tensors) -> Mapping[str, Harm]:
        along = sum(float(np.vdot(COMMON[name], value)) for name, value in change.items())
        return {"sense of direction": Harm(-along / 10, 0.05), "nothing": Harm(0.0, 0.05)}

    def taught(self) -> Tensors:
        return COMMON

    def real(self) -> Samples:
        rng = np.random.default_rng(55)
        return Samples(rng.normal(size=(20, 7)), np.arange(20) % 2)

    def made(self, change: Tensors, count: int) -> Samples:
        noise = np.random.default_rng(56).normal(size=(2 * count, 7))
        return Samples(noise + change["net/b"], np.repeat([0, 1], count))


def case(updates: Sequence[Update], memory: Tensors | None = None, index: int = 1) -> Case:
    ctx = replace(tiny.context(index), rounds=40)
    return Case(tuple(updates), ctx, memory or {}, tensors(77, 10.0), FakeProbe())


class ScreenContract:
    """Join with one line: ``class TestMine(ScreenContract): screen = Mine()``."""

    screen: Screen

    def judged(self, updates: Sequence[Update], rounds: int = 1) -> Judgement:
        memory: Tensors = {}
        for index in range(rounds):
            judgement = self.screen.judge(case(updates, memory, index))
            memory = judgement.memory
        return judgement

    def test_it_says_something_of_every_update_and_gives_them_back_in_their_form(self) -> None:
        updates = cohort()
        found = self.judged(updates)
        assert set(found.verdicts) == {each.site for each in updates}
        for verdict in found.verdicts.values():
            assert 0 <= verdict.trust <= 1
            assert np.isfinite(list(verdict.evidence.values())).all()
        for before, after in zip(updates, found.updates or updates, strict=True):
            assert (before.site, before.num_examples, before.trust) == (after.site, after.num_examples, after.trust)
            for name, value in before.tensors.items():
                assert (after.tensors[name].shape, after.tensors[name].dtype) == (value.shape, value.dtype)
                assert np.isfinite(after.tensors[name]).all()

    def test_who_is_left_out_is_told_why(self) -> None:
        spoiled = [*cohort(7), update(7, size=40.0, turned=-1.0, loss=9.0)]
        for rounds in (1, 15):
            for verdict in self.judged(spoiled, rounds).verdicts.values():
                assert verdict.reason if verdict.trust == 0 else verdict.reason is not None

    def test_the_order_of_the_sites_changes_nothing(self) -> None:
        updates = [*cohort(7), update(7, size=4.0, turned=-1.0, loss=3.0)]
        forward, backward = self.judged(updates, 12), self.judged(updates[::-1], 12)
        for site, verdict in forward.verdicts.items():
            assert backward.verdicts[site].trust == pytest.approx(verdict.trust, abs=1e-6)

    def test_what_it_is_given_stays_as_it_is(self) -> None:
        updates = cohort()
        kept = [{name: value.copy() for name, value in each.tensors.items()} for each in updates]
        first = self.screen.judge(case(updates))
        memory = {name: np.array(value) for name, value in first.memory.items()}
        again = self.screen.judge(case(updates, first.memory))
        assert set(again.verdicts) == set(first.verdicts)
        for name, value in memory.items():
            np.testing.assert_array_equal(first.memory[name], value)
        for each, before in zip(updates, kept, strict=True):
            for name, value in before.items():
                np.testing.assert_array_equal(each.tensors[name], value)

    def test_of_equal_updates_none_is_left_out(self) -> None:
        equal = [replace(update(0), site=f"site-{place}") for place in range(8)]
        for verdict in self.judged(equal, 15).verdicts.values():
            assert verdict.trust > 0

    def test_as_few_updates_as_it_says_and_none_at_all_are_judged(self) -> None:
        least = self.screen.combiner.least_updates
        assert len(self.judged(cohort(least)).verdicts) == least
        assert self.judged([]).verdicts == {}

    def test_it_sees_each_update_and_says_so(self) -> None:
        assert self.screen.combiner.needs is View.EACH

    def test_what_it_remembers_can_be_kept_in_a_file(self) -> None:
        for name, value in self.judged(cohort(), 3).memory.items():
            assert isinstance(value, np.ndarray), name
            assert value.dtype in (np.float32, np.float64), name
