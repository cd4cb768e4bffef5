"""Accepted mixtures, executed: they compute what they say. A small sample; `tests/slow` has all and thousands."""

from __future__ import annotations

from pathlib import Path

import engine_mixtures
import mixture_rounds
import mixtures
import numpy as np
import pytest
import sampled_mixtures as sampled

from wardround.aggregate import Mean
from wardround.core.context import RoundContext
from wardround.protect.pipeline import Pipeline
from wardround.protect.quantise import Quantise
from wardround.protect.sparsify import TopK

SAMPLES = 60


def test_a_sample_of_accepted_mixtures_computes_what_it_says() -> None:
    samples = [sampled.draw(seed, 0) for seed in sampled.seeds(0, SAMPLES)]
    for sample in samples:
        sampled.held_against_reference(sample)
    assert sampled.letters(samples) == set(mixtures.STAGES)


def test_a_wrong_number_is_seen() -> None:
    """The control: a reference that keeps one coordinate more, or a step finer, does not fit."""
    names = ("a", "b")
    rng = np.random.default_rng(0)
    broadcast = {"net/w": rng.normal(size=40).astype(np.float32)}
    updates = {site: {"net/w": rng.normal(size=40).astype(np.float32)} for site in names}
    ctx = RoundContext(0, 0, 1, names, 2)
    of = mixture_rounds.Round(updates, {}, dict.fromkeys(names, 1), broadcast, ctx)

    def fits(executed: Pipeline, expected: Pipeline) -> bool:
        mean, _ = mixture_rounds.executed(executed.stages, Mean(), (), of)
        plain = mixtures.expected(expected.stages, Mean(), (), updates, {}, of.examples, broadcast, ctx)
        off = np.abs(mean["net/w"] - plain.mean["net/w"]) - plain.tolerance["net/w"]
        return bool((off <= 1e-5).all())

    assert fits(Pipeline((TopK(0.2),)), Pipeline((TopK(0.2),)))
    assert not fits(Pipeline((TopK(0.2),)), Pipeline((TopK(0.225),)))
    assert fits(Pipeline((Quantise(6, floor=9.0),)), Pipeline((Quantise(6, floor=9.0),)))
    assert not fits(Pipeline((Quantise(6, floor=9.0),)), Pipeline((Quantise(9, floor=9.0),)))


@pytest.mark.parametrize("word", ["csqmp", "scqmp", "ucqmp"])
def test_the_longest_pipelines_are_among_the_samples(word: str) -> None:
    assert (word, "mean", "no screen") in mixtures.sound(5)
    assert any(sampled.draw(seed, 4).word == word for seed in range(40))


@pytest.mark.parametrize("word", ["", "oi", "csi", "cnj", "sqm", "cqp", "sk"])
def test_whole_runs_of_some_mixtures_train_what_they_say(tmp_path: Path, word: str) -> None:
    engine_mixtures.held_against_reference(word, "uniform mean", "no screen", tmp_path)
