"""Every registered inversion attack keeps the contract."""

from __future__ import annotations

import pytest
from contracts.defence_contract import images
from contracts.inversion_contract import InversionContract
from victims import fed, pictures

from wardround.attacks import ATTACKS, Budget, DeepLeakage, GradInversion, InvertingGradients
from wardround.attacks.inversion import FeatureInversion, LatentPrior, LearnedInversion, Prior
from wardround.attacks.inversion.base import Learner
from wardround.errors import PlanError


class TestDeepLeakage(InversionContract):
    attack = DeepLeakage(Budget(steps=60))


class TestDeepLeakageWithoutZeros(InversionContract):
    attack = DeepLeakage(Budget(steps=60), skips_zeros=True)


class TestDeepLeakageWithJointLabels(InversionContract):
    attack = DeepLeakage(Budget(steps=100), joint_labels=True)


class TestInvertingGradients(InversionContract):
    attack = InvertingGradients(Budget(steps=60, restarts=2))


class TestGradInversion(InversionContract):
    attack = GradInversion(Budget(steps=60, restarts=2))


class TestLatentPrior(InversionContract):
    attack = LatentPrior(Budget(steps=120), Prior.of(images(), seed=1, steps=150), weight_rate=5e-3)


class TestLearnedInversion(InversionContract):
    attack = LearnedInversion(public=fed(pictures(120, seed=9)))


class TestFeatureInversion(InversionContract):
    attack = FeatureInversion(Budget(steps=40), fed(pictures(120, seed=9)))


def test_no_registered_attack_is_left_out() -> None:
    joined = {TestDeepLeakage.attack, TestDeepLeakageWithJointLabels.attack}
    joined |= {TestInvertingGradients.attack, TestGradInversion.attack, TestLatentPrior.attack}
    joined |= {TestLearnedInversion.attack, TestFeatureInversion.attack}
    assert {type(attack) for attack in joined} == {type(attack) for attack in ATTACKS.values()}


@pytest.mark.parametrize("name", ["latent-prior", "learned-inversion", "feature-inversion"])
def test_an_attack_that_learned_from_nothing_says_so(name: str) -> None:
    _, seen = TestLatentPrior().seen()
    with pytest.raises(PlanError, match=f"{name} needs"):
        ATTACKS[name].run(seen, seed=1)


@pytest.mark.parametrize("attack", [LearnedInversion(), FeatureInversion(Budget(steps=1))])
def test_what_learns_is_taught_public_images(attack: Learner) -> None:
    _, seen = TestLatentPrior().seen()
    assert attack.taught(images(), seed=1).run(seen, seed=1).images.shape == (1, 16, 16, 3)
