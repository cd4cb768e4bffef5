"""AND-mask and FedGMA: what the server makes of two sums is what an oracle makes of every site's update."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from rigged import run

from wardround.aggregate import Mean
from wardround.algorithms import AndMask, FedGma, Training
from wardround.algorithms.agreement import Agreed
from wardround.algorithms.server import ServerAdam, ServerSgd
from wardround.core.update import Tensors, Update, without_votes
from wardround.errors import PlanError
from wardround.protect.clip import Clip, norm_of
from wardround.rounds.digests import digest_of
from wardround.tasks.classification import weights_of

SHARES = {AndMask: lambda a, t: float(a >= t), FedGma: lambda a, t: 1.0 if a >= t else a}


def with_votes(change: Tensors) -> dict[str, np.ndarray]:
    return {**change, **{f"vote/{name}": np.sign(value) for name, value in change.items() if name.startswith("net/")}}


def moved(
    algorithm: AndMask | FedGma, changes: Mapping[str, Tensors], counts: Mapping[str, int], weighting: str
) -> Tensors:
    step = Agreed(ServerSgd(), algorithm)
    updates = [Update(site, 0, with_votes(change), counts[site]) for site, change in changes.items()]
    start = {name: np.zeros_like(value) for name, value in next(iter(changes.values())).items()}
    return step.apply(step.start(start), Mean(weighting).combine(updates).mean(), tiny.context())


@given(st.integers(0, 2**32), st.sampled_from([0.2, 1 / 3, 0.4, 0.7, 1.0]), st.sampled_from(["uniform", "examples"]))
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("kind", [AndMask, FedGma])
def test_sums_are_enough(kind: type, seed: int, threshold: float, weighting: str) -> None:
    rng = np.random.default_rng(seed)
    changes = {
        site: {
            "net/a": (rng.normal(size=(3, 4)) * rng.integers(0, 2, (3, 4))).astype(np.float32),
            "stat/b": rng.normal(size=2).astype(np.float32),
        }
        for site in tiny.NAMES
    }
    counts = {site: int(rng.integers(1, 50)) for site in tiny.NAMES}
    weights = np.array([counts[site] if weighting == "examples" else 1 for site in tiny.NAMES], np.float64)
    weights /= weights.sum()
    found = moved(kind(threshold), changes, counts, weighting)
    for place in np.ndindex(3, 4):
        each = np.array([changes[site]["net/a"][place] for site in tiny.NAMES], np.float64)
        agreement = abs(float(weights @ np.sign(each)))
        if abs(agreement - threshold) > 1e-5:
            share = SHARES[kind](agreement, threshold)
            assert found["net/a"][place] == pytest.approx(share * float(weights @ each), abs=1e-5)
    mean = sum(w * changes[site]["stat/b"] for w, site in zip(weights, tiny.NAMES, strict=True))
    np.testing.assert_allclose(found["stat/b"], mean, atol=1e-6)


def test_two_against_one_is_no_agreement_of_three_sites() -> None:
    up, down = {"net/a": np.float32([1.0])}, {"net/a": np.float32([-0.5])}
    changes = {"east": up, "north": up, "west": down}
    counts = dict.fromkeys(tiny.NAMES, 1)
    assert moved(AndMask(0.4), changes, counts, "uniform")["net/a"] == 0
    assert moved(FedGma(0.4), changes, counts, "uniform")["net/a"] == pytest.approx(0.5 / 3, rel=1e-5)
    agreed = dict.fromkeys(tiny.NAMES, up)
    assert moved(AndMask(0.4), agreed, counts, "uniform")["net/a"] == 1


def test_a_site_votes_with_the_signs_of_its_update() -> None:
    task = tiny.task()
    algorithm = AndMask().compose(Training(steps=1, batch_size=4), ServerAdam())
    network = task.build(0)
    broadcast = algorithm.server.broadcast(algorithm.server.start(weights_of(network)))
    change = algorithm.local.run(task, network, tiny.images(8), broadcast, {}, tiny.context(0, "east")).change
    assert change.keys() == broadcast.keys()
    for name, value in without_votes(change).items():
        np.testing.assert_array_equal(change[f"vote/{name}"], np.sign(value))
    assert not any(value.any() for name, value in broadcast.items() if name.startswith("vote/"))


def test_a_clip_measures_the_update_and_leaves_the_votes() -> None:
    change = with_votes({"net/a": np.full(100, 3.0, np.float32)})
    clipped = Clip(1.0).encode(change, tiny.context())
    assert norm_of(without_votes(clipped)) == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_array_equal(clipped["vote/net/a"], change["vote/net/a"])


@pytest.mark.parametrize("name", ["masked", "packed", "packed and masked"])
def test_under_masks_and_encryption_it_is_the_same_model(tmp_path: Path, name: str) -> None:
    digests = []
    for pipeline in ("quantised", name):
        plan = tiny.plan(algorithm={"name": "fedgma"}, protect=tiny.PIPELINES[pipeline])
        result, journal, _ = run(plan, tmp_path / pipeline)
        assert not any(record.failed for record in journal.records)
        digests.append(result.model_sha256)
    assert digests[0] == digests[1]


def test_a_mask_that_lets_all_through_is_plain_averaging(tmp_path: Path) -> None:
    tables = {
        "fedavg": {"name": "fedavg"},
        "masked": {"name": "fedgma", "threshold": 1e-9},
        "strict": {"name": "and_mask", "threshold": 1.0},
    }
    digests = {n: digest_of(run(tiny.plan(algorithm=table), tmp_path / n)[0].weights) for n, table in tables.items()}
    assert digests["fedavg"] != digests["strict"]
    step = Agreed(ServerSgd(), FedGma(1e-9))
    mean = with_votes({"net/a": np.float32([0.25, -0.5])})
    state = step.apply({"net/a": np.zeros(2, np.float32)}, mean, tiny.context())
    np.testing.assert_array_equal(state["net/a"], mean["net/a"])


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.1, float("nan")])
def test_a_threshold_that_is_no_share_is_refused(threshold: float) -> None:
    with pytest.raises(PlanError, match="threshold"):
        AndMask(threshold)
