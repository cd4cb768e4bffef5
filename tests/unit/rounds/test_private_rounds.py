"""Whole runs under a claim: one event for each noise, and nothing without."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import rigged
import tiny

from wardround.core.codec import decode
from wardround.privacy import DiscreteGaussian, Event, Gaussian, epsilon_of
from wardround.rounds.events import counted
from wardround.study.coverage import covered, not_covered

EXPECTED: dict[str, tuple[type[Gaussian] | type[DiscreteGaussian], float, int]] = {
    "each step at each site": (Gaussian, 0.5, 2),
    "shares under masks": (DiscreteGaussian, 0.5, 1),
    "shares under masks and encryption": (DiscreteGaussian, 0.5, 1),
    "the coordinator's, clear": (Gaussian, 0.5, 1),
    "the coordinator's, quantised": (Gaussian, 0.5, 1),
    "each update": (Gaussian, 0.5, 1),
    "site, each update": (Gaussian, 1.0, 1),
    "site, shares under masks": (DiscreteGaussian, 1.0, 1),
    "site, the coordinator's": (Gaussian, 1.0, 1),
}
"""Who adds which noise -> kind of event, sampling rate, and how many a round."""


def total_of(records: list[rigged.RoundRecord], site: str) -> Counter[Event]:
    spent: Counter[Event] = Counter()
    for record in records:
        assert record.privacy is not None
        spent += counted(record.privacy["spent"]).get(site, Counter())
    return spent


@pytest.mark.parametrize("name", tiny.PRIVATE)
def test_every_noise_is_one_event_and_epsilon_follows_from_them(tmp_path: Path, name: str) -> None:
    plan = tiny.private(name)
    _, journal, _ = rigged.run(plan, tmp_path)
    kind, rate, each_round = EXPECTED[name]
    for site in tiny.NAMES:
        spent = total_of(journal.records, site)
        assert spent.total() == plan.rounds * each_round
        assert {type(event) for event in spent} == {kind}
        assert {(event.noise_multiplier, event.sampling_rate) for event in spent} == {(2.0, rate)}
    last = journal.records[-1].privacy
    assert last is not None
    assert last["epsilon"] == max(epsilon_of(total_of(journal.records, site), 1e-3) for site in tiny.NAMES)
    assert 0 < journal.records[0].privacy["epsilon"] < last["epsilon"]  # type: ignore[index]


@pytest.mark.parametrize("name", tiny.PRIVATE)
def test_noise_changes_the_model_by_about_what_the_plan_says(tmp_path: Path, name: str) -> None:
    _, loud, _ = rigged.run(tiny.private(name, rounds=1), tmp_path / "loud")
    _, quiet, _ = rigged.run(tiny.private(name, rounds=1, privacy={"noise_multiplier": 1e-3}), tmp_path / "quiet")
    if not loud.state or not quiet.state:  # blind: only the digests are here
        assert loud.records[0].state_digest != quiet.records[0].state_digest
        return
    moved = np.concatenate([(loud.state[n] - quiet.state[n]).ravel() for n in loud.state if n.startswith("net/")])
    assert moved.std() == pytest.approx(DEVIATION[name], rel=0.1)


RATE, CLIP, MULTIPLIER, SITES = 0.05, 1.0, 2.0, 3
SUMMED = RATE / 18.0 * MULTIPLIER * CLIP
DEVIATION = {
    "each step at each site": RATE / 6.0 * MULTIPLIER * CLIP * np.sqrt(2 / SITES),
    "shares under masks": SUMMED * np.sqrt(SITES / 2),  # made for two shares, and three came
    "the coordinator's, clear": SUMMED,
    "the coordinator's, quantised": SUMMED * 1.1,  # and rounding
    "each update": SUMMED * np.sqrt(SITES),
    "site, each update": MULTIPLIER * 10.0 / np.sqrt(SITES),
    "site, shares under masks": MULTIPLIER * 16.0 * np.sqrt(SITES / 2) / SITES,
    "site, the coordinator's": MULTIPLIER * 10.0 / SITES,
}
"""Standard deviation that noise gives each weight in a round: a learning rate of .05, clips of 1, 10 and 16."""


LISTED = {
    "loss": "training losses",
    "seconds": "training times",
    "cut": "weights and cut shares",
    "origins": "test results",
    **dict.fromkeys(("num_examples", "num_train", "num_val", "num_test", "use_count"), "numbers of examples"),
    **dict.fromkeys(("trains_class", "label_counts"), "classes held"),
}
"""What a site says of its data beside its update -> how the summary lists it."""

HARMLESS = {
    "train": {"round", "remembers", "spent", "use_root"},  # use_root: of all images, under the site's own key
    "open": {"channels", "classes", "malignant"},  # fixed by the data set's definition
    "run": {"run"},
    "confirm": {"run"},
    "witness": {"commitment", "size"},
    "heard": {"heard"},
    "offer": {"listed"},
    "agree": {"start"},
    "unseal": {"void"},
    "step": {"digest"},
    "finish": {"sha256"},
}
"""What follows from the plan, the roster, keys and noisy sums."""


KEYS_AND_SIGNATURES = ("hello", "meet", "bind", "cosign", "offer", "agree", "reveal")


@pytest.mark.parametrize("name", ["shares under masks and encryption", "each update", "each step at each site"])
def test_whatever_a_site_says_without_noise_is_listed_as_not_covered(tmp_path: Path, name: str) -> None:
    plan = tiny.private(name)
    _, _, fabric = rigged.run(plan, tmp_path)
    carried = {op for op, who, frame in fabric.wire if who != "coordinator" and decode(frame).tensors}
    assert carried <= {"train", "upload", "evaluate", *KEYS_AND_SIGNATURES}
    said = {
        (op, field)
        for op, who, frame in fabric.wire
        if who != "coordinator"
        for field in decode(frame).fields["answer"]
        if field not in HARMLESS.get(op, set())
    }
    assert {field for op, field in said if op == "train"} >= {"loss", "seconds", "num_examples"}
    for op, field in said:
        assert LISTED[field] in not_covered(plan), (op, field)
    assert "test results" in not_covered(plan)
    assert not {"updates", "sums of updates"} & set(not_covered(plan))
    assert "models" in covered(plan)


def test_without_a_claim_and_with_the_coordinator_s_noise_updates_are_listed_too() -> None:
    assert "updates" in not_covered(tiny.plan())
    assert not covered(tiny.plan())
    central = tiny.private("the coordinator's, clear")
    assert {"updates", "digests of updates"} <= set(not_covered(central))
    assert covered(central) == ["models, but to the coordinator"]
