"""Every registered defence keeps the contract."""

from __future__ import annotations

from contracts.defence_contract import DefenceContract

from wardround.algorithms.defences import (
    DEFENCES,
    Ats,
    Censor,
    GaussianImages,
    GaussianUpdate,
    MatchedNoise,
    Pruning,
    Shadow,
    Soteria,
    Undefended,
)


class TestGaussianImages(DefenceContract):
    defence = GaussianImages(randomness="seed")


class TestMatchedNoise(DefenceContract):
    defence = MatchedNoise(randomness="seed", draw="each_round")


class TestShadow(DefenceContract):
    defence = Shadow(fit_steps=5)


class TestShadowReleased(DefenceContract):
    defence = Shadow(form="released", rms=0.1, aim="shuffled")


class TestGaussianUpdate(DefenceContract):
    defence = GaussianUpdate(randomness="seed")


class TestPruning(DefenceContract):
    defence = Pruning()


class TestSoteria(DefenceContract):
    defence = Soteria(probes=2)


class TestCensor(DefenceContract):
    defence = Censor(trials=3, randomness="seed")


class TestAts(DefenceContract):
    defence = Ats(randomness="seed")


def test_no_registered_defence_is_left_out() -> None:
    joined = {type(one.defence) for one in DefenceContract.__subclasses__()}
    assert joined | {Undefended} == set(DEFENCES.values())
