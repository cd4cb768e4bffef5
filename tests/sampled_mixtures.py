"""Seeded samples of accepted mixtures: numbers, sites and settings drawn, executed, and held against the reference."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import mixture_rounds
import mixtures
import numpy as np

from wardround.aggregate import Aggregator, TrimmedMean
from wardround.checker import refusals
from wardround.core.context import RoundContext
from wardround.protect.clip import Clip
from wardround.protect.int8 import Int8
from wardround.protect.noise import NoiseScale
from wardround.protect.pipeline import Stage
from wardround.protect.quantise import Quantise
from wardround.protect.sparsify import RandomK, Threshold, TopK
from wardround.screen import Norms

ROUNDS = 2
CLIPS = (0.05, 0.5, 5.0)
BITS = (8, 12, 16, 24, 32)
MULTIPLIER = 0.3


@dataclass(frozen=True)
class Sample:
    """A mixture with settings.

    Attributes:
        word: its pipeline in letters.
        stages: the same with drawn settings.
        aggregator: with drawn settings.
        screens: the same.
        seed: of everything that is drawn.
    """

    word: str
    stages: tuple[Stage, ...]
    aggregator: Aggregator
    screens: tuple[Norms, ...]
    seed: int


def draw(seed: int, longer_than: int) -> Sample:
    """Return an accepted mixture of more than `longer_than` stages."""
    rng = np.random.default_rng(seed)
    words = sorted(each for each in mixtures.sound(5) if len(each[0]) > longer_than)
    word, aggregator, screen = words[rng.integers(len(words))]
    assert not refusals(mixtures.mixture_of(word, aggregator, screen))
    made = mixtures.AGGREGATORS[aggregator]
    if isinstance(made, TrimmedMean):
        made = TrimmedMean(int(rng.integers(1, 3)))
    return Sample(
        word, tuple(_drawn(mixtures.STAGES[letter], rng) for letter in word), made, mixtures.SCREENS[screen], seed
    )


def _drawn(stage: Stage, rng: np.random.Generator) -> Stage:
    """Return the stage with other settings and the same contract."""
    if isinstance(stage, Clip):
        return Clip(float(rng.choice(CLIPS)))
    if isinstance(stage, TopK):
        fed = bool(rng.integers(2))
        others = (Threshold(float(rng.choice([0.01, 0.1])), fed), TopK(float(rng.uniform(0.01, 1.0)), fed))
        return others[rng.integers(2)]
    if isinstance(stage, RandomK):
        return replace(stage, fraction=float(rng.uniform(0.2, 1.0)))
    if isinstance(stage, Int8):
        return Int8(bool(rng.integers(2)))
    if isinstance(stage, Quantise):
        # A range above what a change can be: what is cut is counted and told, and no rounding error.
        return Quantise(int(rng.choice(BITS)), int(rng.choice([8, 64, 500])), floor=12.0)
    return stage


def held_against_reference(sample: Sample) -> None:
    """Execute some rounds of a sample, each held against the plain reference.

    Raises:
        AssertionError: a number of the mean, or of a residual, is further off than rounding explains.
    """
    rng = np.random.default_rng([sample.seed, 1])
    least = sample.aggregator.combiner.least_updates + len(sample.screens)  # a screen leaves one out
    names = [f"site-{index}" for index in range(max(2, least, int(rng.integers(2, 7))))]
    shapes: dict[str, tuple[int, ...]] = {"net/w": (int(rng.integers(1, 9)), 7), "net/b": (), "stat/m": (5,)}
    # Statistics have their range from what was broadcast, and are long enough for every change.
    broadcast = {name: 12 + _floats(rng, shape, 1.0) for name, shape in shapes.items()}
    examples = {site: int(rng.integers(1, 3000)) for site in names}
    memories: dict[str, Any] = {}
    clip = next((stage.norm for stage in sample.stages if isinstance(stage, Clip)), 1.0)
    scale = NoiseScale(MULTIPLIER, clip, 1.0, True, True) if mixtures.NOISES & set(sample.word) else None
    for index in range(ROUNDS):
        # Long and short sites, never close to what a screen lets through.
        sizes = {site: float(rng.choice([0.01, 0.016]) * (30 if place == 0 else 1)) for place, site in enumerate(names)}
        updates = {site: {name: _floats(rng, shape, sizes[site]) for name, shape in shapes.items()} for site in names}
        ctx = RoundContext(sample.seed, index, ROUNDS, tuple(names), len(names))
        expected = mixtures.expected(
            sample.stages,
            sample.aggregator,
            sample.screens if index == 0 else (),
            updates,
            mixture_rounds.residuals(memories),
            examples,
            broadcast,
            ctx,
            scale,
        )
        of = mixture_rounds.Round(updates, memories, examples, broadcast, ctx, scale)
        mean, memories = mixture_rounds.executed(
            sample.stages, sample.aggregator, sample.screens if index == 0 else (), of
        )
        for name, value in expected.mean.items():
            off = np.abs(mean[name] - value) - expected.tolerance[name] - 1e-5 * np.abs(value)
            assert (off <= 0).all(), (sample, index, name, float(off.max()))
        for site, left in mixture_rounds.residuals(memories).items():
            for name, value in left.items():
                off = np.abs(value - expected.residuals[site][name]) - expected.loosest[site] - 1e-5 * np.abs(value)
                assert (off <= 0).all(), (sample, index, site, name, float(off.max()))


def _floats(rng: np.random.Generator, shape: tuple[int, ...], size: float) -> np.ndarray:
    return np.asarray(rng.normal(0, size, shape), np.float32)


def seeds(first: int, count: int) -> range:
    return range(first, first + count)


def letters(samples: list[Sample]) -> set[str]:
    return set(itertools.chain.from_iterable(sample.word for sample in samples))
