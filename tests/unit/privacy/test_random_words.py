"""Words, and what is made of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from wardround.core.context import RoundContext
from wardround.privacy.words import Words

CTX = RoundContext(7, 3, 10, ("a", "b"), 2, "a")


def test_a_seeded_stream_belongs_to_its_place_and_purpose() -> None:
    def first(ctx: RoundContext, purpose: str) -> int:
        return int(Words.at(ctx, purpose, seeded=True).take(1)[0])

    assert first(CTX, "noise") == first(CTX, "noise")
    assert len({first(CTX, "noise"), first(CTX, "sample"), first(CTX.at("b"), "noise")}) == 3


def test_without_a_seed_the_operating_system_gives_every_word() -> None:
    assert not np.array_equal(*(Words.at(CTX, "noise", seeded=False).take(8) for _ in range(2)))


def test_normal_values_are_normal() -> None:
    assert kstest(Words(4).normal(100_000), "norm").pvalue > 1e-4


def test_uniform_values_are_uniform() -> None:
    drawn = Words(4).uniform(100_000)
    assert kstest(drawn, "uniform").pvalue > 1e-4
    assert 0 <= drawn.min() <= drawn.max() < 1


@pytest.mark.parametrize("probability", [0.0, 0.1, 1.0])
def test_a_share_is_chosen(probability: float) -> None:
    assert np.mean(Words(9).chosen(probability, 100_000)) == pytest.approx(probability, abs=0.005)
