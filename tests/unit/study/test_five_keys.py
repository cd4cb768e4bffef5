"""The five-key plan: what it means, and what it refuses by name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from wardround.algorithms import FedAvg
from wardround.algorithms.server import ServerAdam
from wardround.data.catalogue import Slide
from wardround.errors import PlanError
from wardround.privacy import Privacy, epsilon_of
from wardround.protect.clip import Clip
from wardround.protect.noise import AddNoise
from wardround.protect.pipeline import Homomorphic, Masks
from wardround.protect.quantise import Quantise
from wardround.study.five_keys import FIVE_KEYS, from_five_keys
from wardround.study.run import train
from wardround.study.spec import parse
from wardround.tasks.models import SmallCnn

PUBLISHED = {"rounds": 100, "clients_per_round": 3, "learning_rate": 0.001, "dp_epsilon": 1.2, "he_precision": 32}


def test_the_keys_without_protections_become_a_plan() -> None:
    plan = parse({"name": "x", **from_five_keys({k: PUBLISHED[k] for k in FIVE_KEYS[:3]})})
    assert (plan.rounds, plan.sites_per_round, plan.training.learning_rate) == (100, 3, 0.001)
    assert plan.data.source == Slide()
    assert plan.model == SmallCnn()
    assert plan.algorithm == FedAvg()
    assert (plan.training.epochs, plan.training.batch_size) == (1.0, 32)


@pytest.mark.parametrize("value", [0, -1.2, float("inf"), float("nan"), "1.2", True])
def test_an_epsilon_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(PlanError, match=r"^dp_epsilon = .* is no positive number"):
        from_five_keys({"rounds": 1, "dp_epsilon": value})


@pytest.mark.parametrize("sites", [2, 3, 4, None])
def test_the_published_configuration_adds_its_noise_once_to_the_sealed_sum(sites: int | None) -> None:
    plan = parse({"name": "x", **from_five_keys({**PUBLISHED, "clients_per_round": sites or 0})})
    plan.check(4)
    pipeline = plan.pipeline
    assert [type(stage) for stage in pipeline.stages] == [Clip, Quantise, AddNoise, Masks, Homomorphic]
    assert pipeline.opens_at_sites
    assert pipeline.masks is not None
    assert pipeline.masks.threshold == {2: 2, 3: 2, 4: 3, None: 3}[sites]
    assert plan.privacy == Privacy("image", 1e-5, epsilon=1.2)
    assert plan.server == ServerAdam(learning_rate=0.001, tau=1e-6)
    assert plan.guarantee is not None
    spent = Counter(plan.guarantee.events_of_round() * plan.rounds)
    assert 0.99 * 1.2 < epsilon_of(spent, 1e-5) <= 1.2


def test_an_epsilon_alone_lets_each_site_add_all_its_noise() -> None:
    plan = parse({"name": "x", **from_five_keys({"rounds": 5, "dp_epsilon": 3})})
    plan.check(4)
    assert plan.pipeline.stages == (AddNoise(),)
    assert plan.privacy == Privacy("image", 1e-5, epsilon=3.0)


@pytest.mark.parametrize("bits", [4, 8, 16, 32])
def test_he_precision_is_the_bits_of_one_value_in_a_masked_encrypted_sum(bits: int) -> None:
    plan = parse({"name": "x", **from_five_keys({"he_precision": bits})})
    plan.check()
    pipeline = plan.pipeline
    assert pipeline.quantise == Quantise(bits=bits)
    assert pipeline.masks == Masks()
    assert pipeline.homomorphic == Homomorphic("packed")
    assert pipeline.opens_at_sites


@pytest.mark.parametrize("bits", [3, 33, 1.5, "16", True, 0])
def test_he_precision_out_of_range_is_refused(bits: Any) -> None:
    with pytest.raises(PlanError, match=r"^he_precision = .* from 4 to 32"):
        from_five_keys({"he_precision": bits})


def test_too_few_bits_for_noise_are_refused_and_never_weakened(tmp_path: Path) -> None:
    plan = parse({"name": "x", **from_five_keys({**PUBLISHED, "he_precision": 8})})
    with pytest.raises(PlanError, match="raise bits in the quantise stage"):
        train(plan, tmp_path / "run", workers=0)


def test_a_key_that_is_null_asks_for_nothing() -> None:
    assert from_five_keys({"rounds": 1, "dp_epsilon": None, "he_precision": None})["rounds"] == 1


@pytest.mark.parametrize(
    ("key", "hint"),
    [("round", "did you mean 'rounds'"), ("dp_epsilom", "did you mean 'dp_epsilon'"), ("zzz", "keys are")],
)
def test_a_key_beyond_the_five_is_refused(key: str, hint: str) -> None:
    with pytest.raises(PlanError, match=hint):
        from_five_keys({"rounds": 1, key: 1})


@pytest.mark.parametrize(("key", "value"), [("rounds", "3"), ("clients_per_round", 1.5), ("learning_rate", "x")])
def test_a_value_of_the_wrong_type_is_refused_under_the_name_the_user_gave(key: str, value: Any) -> None:
    with pytest.raises(PlanError, match=f"^{key} = "):
        from_five_keys({key: value})
