"""Every registered inversion attack keeps the contract."""

from __future__ import annotations

import pytest
from contracts.defence_contract import images
from contracts.inversion_contract import InversionContract

from wardround.attacks import ATTACKS, Budget, DeepLeakage, GradInversion, InvertingGradients
from wardround.attacks.inversion import LatentPrior, Prior
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


def test_no_registered_attack_is_left_out() -> None:
    joined = {TestDeepLeakage.attack, TestDeepLeakageWithJointLabels.attack}
    joined |= {TestInvertingGradients.attack, TestGradInversion.attack, TestLatentPrior.attack}
    assert {type(attack) for attack in joined} == {type(attack) for attack in ATTACKS.values()}


def test_an_attack_without_its_prior_says_so() -> None:
    _, seen = TestLatentPrior().seen()
    with pytest.raises(PlanError, match="needs a generator"):
        ATTACKS["latent-prior"].run(seen, seed=1)
