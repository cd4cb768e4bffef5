"""Every registered inversion attack keeps the contract."""

from __future__ import annotations

from contracts.inversion_contract import InversionContract

from wardround.attacks import ATTACKS, Budget, DeepLeakage, GradInversion, InvertingGradients


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


def test_no_registered_attack_is_left_out() -> None:
    joined = {TestDeepLeakage.attack, TestDeepLeakageWithJointLabels.attack}
    joined |= {TestInvertingGradients.attack, TestGradInversion.attack}
    assert {type(attack) for attack in joined} == {type(attack) for attack in ATTACKS.values()}
