"""The e-detector of generators finds a persistent push, not chance nor a common drift; who stops comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from contracts.screen_contract import FakeProbe, case, cohort, update

from wardround.core.geometry import norm
from wardround.core.update import Tensors, Update
from wardround.errors import PlanError
from wardround.screen import GeneratorEDetector, Judgement, Samples

PLACES = 13
"""An image of the probe below has the numbers of an update: what is sent is what is seen."""


@dataclass(frozen=True)
class ImageProbe(FakeProbe):
    """Real images vary in their first six numbers; a generator makes what its update says, and noise around it."""

    def real(self) -> Samples:
        rng = np.random.default_rng(8)
        spread = np.repeat([1.0, 0.01], [6, PLACES - 6])
        return Samples(rng.normal(size=(50, PLACES)) * spread, np.arange(50) % 2)

    def made(self, change: Tensors, count: int) -> Samples:
        seen = np.concatenate([change[name].reshape(-1) for name in sorted(change)])[-PLACES:]
        noise = np.random.default_rng(9).normal(size=(2 * count, PLACES))
        return Samples(seen + noise, np.repeat([0, 1], count))


def sent(site: int, shift: np.ndarray) -> Update:
    """Return an update whose last numbers are `shift`."""
    change = {"net/a": np.zeros((6, 5), np.float32), "net/b": np.zeros(7, np.float32)}
    change["net/b"][:] = shift[-7:]
    change["net/a"].reshape(-1)[-6:] = shift[:6]
    return replace(update(site), tensors=change)


def over(rounds: Sequence[Sequence[Update]], screen: GeneratorEDetector | None = None) -> list[Judgement]:
    memory: Tensors = {}
    found = []
    for index, updates in enumerate(rounds):
        found.append((screen or GeneratorEDetector()).judge(replace(case(updates, memory, index), probe=ImageProbe())))
        memory = found[-1].memory
    return found


def left_out(judgement: Judgement) -> set[str]:
    return {site for site, verdict in judgement.verdicts.items() if not verdict.trust}


def rounds_of(count: int, pushes: Mapping[int, np.ndarray], sites: int = 8, common: float = 0.0) -> list[list[Update]]:
    """Return rounds in which each site sends noise of its own, a common drift, and its push if it has one."""
    rng = np.random.default_rng(2)
    return [
        [
            sent(site, 0.1 * rng.normal(size=PLACES) + common + pushes.get(site, np.zeros(PLACES)))
            for site in range(sites)
        ]
        for _ in range(count)
    ]


MARK = np.eye(PLACES)[9] * 0.5
LIGHT = np.eye(PLACES)[2] * 0.5


def test_two_of_eight_that_keep_pushing_a_mark_are_left_out_for_that_reason() -> None:
    found = over(rounds_of(6, {2: MARK, 5: MARK}))
    assert left_out(found[0]) == set()
    assert left_out(found[-1]) == {"site-2", "site-5"}
    assert "keep moving where real ones do not vary" in found[-1].verdicts["site-2"].reason
    assert found[-1].verdicts["site-2"].evidence["excess step"] > 0.8


def test_noise_a_common_drift_and_an_own_light_leave_nobody_out() -> None:
    for pushes, common in (({}, 0.0), ({}, 0.5), ({3: LIGHT}, 0.0)):
        assert not any(left_out(each) for each in over(rounds_of(30, pushes, common=common)))


def test_it_is_the_units_of_real_images_that_tell_a_mark_from_light() -> None:
    """The control: a push as long, where real images do not vary, is found."""
    assert np.linalg.norm(MARK) == np.linalg.norm(LIGHT)
    assert any(left_out(each) == {"site-3"} for each in over(rounds_of(30, {3: MARK})))


def test_who_stops_comes_back() -> None:
    found = over([*rounds_of(6, {4: MARK}), *rounds_of(12, {})])
    assert left_out(found[5]) == {"site-4"}
    assert left_out(found[-1]) == set()


def test_who_begins_late_is_found() -> None:
    found = over([*rounds_of(10, {}), *rounds_of(8, {4: MARK})])
    assert not any(left_out(each) for each in found[:10])
    assert left_out(found[-1]) == {"site-4"}


def test_what_is_reported_changes_nothing_and_long_updates_are_shortened() -> None:
    honest = rounds_of(4, {1: MARK})
    lied = [[replace(each, reported={"loss": 0.0, "last_loss": 0.0}) for each in row] for row in honest]
    assert [left_out(each) for each in over(honest)] == [left_out(each) for each in over(lied)]
    loud = [*cohort(7), update(7, size=50.0)]
    updates = GeneratorEDetector().judge(case(loud)).updates
    assert updates is not None
    assert norm(updates[7].tensors) == pytest.approx(np.median([norm(each.tensors) for each in loud]), rel=1e-5)


def test_it_may_hand_on_what_was_sent_and_judges_the_same() -> None:
    rounds = rounds_of(6, {4: 20 * MARK})
    shortening, handing_on = over(rounds), over(rounds, GeneratorEDetector(shorten=False))
    assert [left_out(each) for each in shortening] == [left_out(each) for each in handing_on]
    assert left_out(handing_on[-1]) == {"site-4"}
    assert handing_on[0].updates is None
    assert shortening[0].verdicts["site-4"].reason.startswith("it was shortened")
    assert not handing_on[0].verdicts["site-4"].reason


class BrokenProbe(ImageProbe):
    """One site's generator makes no numbers."""

    def made(self, change: Tensors, count: int) -> Samples:
        found = super().made(change, count)
        broken = change["net/b"][0] > 50
        return Samples(np.full_like(found.images, np.nan), found.labels) if broken else found


def test_images_that_are_no_numbers_leave_their_site_out_and_blind_nobody() -> None:
    memory: Tensors = {}
    for index, updates in enumerate(rounds_of(6, {4: MARK})):
        shift = np.zeros(PLACES)
        shift[-7] = 100
        broken = [sent(0, shift), *updates[1:]]
        screen, probe = GeneratorEDetector(), BrokenProbe()
        # What is sent is as long as what the others send, and is not shortened.
        long = [replace(each, tensors={**each.tensors, "net/a": each.tensors["net/a"] + 30}) for each in broken]
        found = screen.judge(replace(case(long, memory, index), probe=probe))
        memory = found.memory
        assert found.verdicts["site-0"].reason == "its generator makes images that are no numbers"
        assert np.isfinite(list(found.verdicts["site-1"].evidence.values())).all()
    assert left_out(found) == {"site-0", "site-4"}
    alone = [sent(site, shift) for site in range(3)]
    assert len(left_out(screen.judge(replace(case(alone), probe=probe)))) == 3


@pytest.mark.parametrize(
    "wrong",
    [{"false_alarms": 1.0}, {"bet": 0.0}, {"allowance": -0.1}, {"fluctuation": 0.0}, {"fade": 1.1}, {"images": 1}],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(PlanError, match="generator_e_detector needs"):
        GeneratorEDetector(**wrong)  # type: ignore[arg-type]
