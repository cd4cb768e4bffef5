"""Every contract-distinct stage, judge and pipeline; and what a pipeline should compute, written down plainly."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from wardround.aggregate import Aggregator, GeometricMedian, Krum, Mean, Median, MultiKrum, TrimmedMean
from wardround.checker import Combiner, Grouping, Link, Mixture, Unit, View
from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.privacy.words import Words
from wardround.protect.clip import Clip
from wardround.protect.int8 import LARGEST, Int8
from wardround.protect.noise import AddNoise, NoiseScale
from wardround.protect.noisy_grid import NoisyGrid
from wardround.protect.pipeline import Homomorphic, Masks, Pipeline, Stage
from wardround.protect.quantise import STAT_RANGE, Quantise, integer_weights
from wardround.protect.row import Row
from wardround.protect.sparsify import RandomK, Threshold, TopK
from wardround.screen import (
    AlignIns,
    CalibratedFedDetect,
    CentredClipping,
    ClipNorms,
    EDetector,
    FedDetect,
    Flame,
    FlTrust,
    FoolsGold,
    GeneratorEDetector,
    GroupEvidence,
    NearestNeighbourMixing,
    Norms,
    Screen,
)

STAGES: dict[str, Stage] = {
    "c": Clip(0.5),
    "o": TopK(0.2),
    "w": TopK(0.2, feedback=False),
    "s": RandomK(0.3),
    "u": RandomK(0.3, feedback=False),
    "i": Int8(),
    "j": Int8(feedback=False),
    "q": Quantise(16),
    "n": AddNoise(),
    "z": AddNoise(at="coordinator"),
    "d": AddNoise("discrete_gaussian"),
    "m": Masks(threshold=2),
    "p": Homomorphic("packed"),
    "k": Homomorphic("ckks"),
}
"""A letter for each contract that a stage can have; the unit of all noise is a site."""

ALIKE: tuple[Stage, ...] = (Threshold(), Threshold(feedback=False))
"""Stages with the contract of one that has a letter."""

AGGREGATORS: dict[str, Aggregator] = {
    "mean": Mean(),
    "uniform mean": Mean("uniform"),
    "median": Median(),
    "trimmed mean": TrimmedMean(),
}
SCREENS: dict[str, tuple[Norms, ...]] = {"no screen": (), "norms": (Norms(3.0),)}
ALIKE_AGGREGATORS: tuple[Aggregator, ...] = (GeometricMedian(), Krum(), MultiKrum())
ALIKE_SCREENS: tuple[Screen, ...] = (
    ClipNorms(),
    CentredClipping(),
    NearestNeighbourMixing(),
    FoolsGold(),
    FlTrust(),
    Flame(),
    AlignIns(),
    FedDetect(),
    CalibratedFedDetect(),
    EDetector(),
    GeneratorEDetector(),
    GroupEvidence(),
)
"""Judges that stages must let see what those with a name let see; rules about trust and probes ask no stage."""
JUDGES = tuple(itertools.product(AGGREGATORS, SCREENS))
OPEN, UNREAD = ("", "i", "j"), ("q", "qm", "qp", "qmp", "k", "qdm", "qdmp")
"""How a sound pipeline may end: read update by update, or summed unread."""
NOISES = frozenset("nzd")
LUCK = 7.0
"""Standard deviations that noise from a seed may be off where it is not drawn again here: one in 10^11 is further."""
CKKS_ERROR = 1e-5
"""Largest error of one opened number, per unit of weight."""


def words(most: int) -> Iterator[str]:
    """Yield every pipeline of up to `most` stages."""
    for length in range(most + 1):
        yield from ("".join(letters) for letters in itertools.product(STAGES, repeat=length))


def pipeline_of(word: str) -> Pipeline:
    return Pipeline(tuple(STAGES[letter] for letter in word))


@cache
def _judged(aggregator: str, screen: str) -> tuple[Combiner, tuple[Combiner, ...]]:
    return AGGREGATORS[aggregator].combiner, tuple(each.combiner for each in SCREENS[screen])


@cache
def _link(letter: str) -> Link:
    return pipeline_of(letter).links[0]


def mixture_of(word: str, aggregator: str, screen: str, grouped: bool = False) -> Mixture:
    """Return a mixture of three sites in a simulation; one with noise claims (epsilon, delta) for each site.

    Where it is `grouped`, nobody knows how many sites there are, and masks cancel within groups of two or more.
    """
    combiner, screens = _judged(aggregator, screen)
    noisy = not NOISES.isdisjoint(word)
    return Mixture(
        stages=tuple(_link(letter) for letter in word),
        aggregator=combiner,
        screens=screens,
        weight_total=64,
        masking=pipeline_of("m").masking if "m" in word else None,
        claims_privacy=noisy,
        claimed_unit=Unit.SITE if noisy else None,
        grouping=Grouping(2) if grouped else None,
    )


def sound(most: int) -> set[tuple[str, str, str]]:
    """What should be accepted, without asking any rule."""
    found = set()
    for first, last in itertools.product(_firsts(), (*OPEN, *UNREAD)):
        if len(first + last) > most or not _fit(first, last):
            continue
        for aggregator, screen in JUDGES:
            sees_each = AGGREGATORS[aggregator].combiner.needs is View.EACH or bool(SCREENS[screen])
            counted = aggregator == "mean" and not NOISES.isdisjoint(first + last)
            if not counted and not (sees_each and (last in UNREAD or "z" in first)):
                found.add((first + last, aggregator, screen))
    return found


def sound_in_groups(most: int) -> set[tuple[str, str, str]]:
    """What should be accepted where sites are dealt to groups, without asking any rule.

    Masks have to be there and encryption may not; somebody has to look at the sums; and noise is each site's own or
    none. What judges in `JUDGES` may judge groups.
    """
    found = set()
    for first in _firsts():
        if len(first) + 2 > most or not _fit(first, "qm") or "z" in first:
            continue
        for aggregator, screen in JUDGES:
            sees_each = AGGREGATORS[aggregator].combiner.needs is View.EACH or bool(SCREENS[screen])
            if sees_each and not (aggregator == "mean" and "n" in first):
                found.add((first + "qm", aggregator, screen))
    return found


def _firsts() -> set[str]:
    """How it may begin: a clip, a choice of coordinates and noise, each once at most, in a sound order."""
    found = set()
    for clip, choice, noise in itertools.product(("", "c"), ("", "o", "w", "s", "u"), ("", "n", "z")):
        for letters in itertools.permutations(clip + choice + noise):
            word = "".join(letters)
            grows = "u" in word and "c" in word and word.index("c") < word.index("u")
            bounded = not noise or (bool(clip) and word.index("c") < word.index(noise))
            chosen = word.partition("n")[0] if noise == "n" else word
            if not grows and bounded and not (noise and {"o", "w"} & set(chosen)):
                found.add(word)
    return found


def _fit(first: str, last: str) -> bool:
    if last in UNREAD and {"o", "w"} & set(first):
        return False
    if "z" in first and last not in ("", "q", "qm"):  # the sites would open the sum, or codes would travel to it
        return False
    return "d" not in last or ("c" in first and NOISES.isdisjoint(first))


@dataclass(frozen=True)
class Expected:
    """What a pipeline should make of a round's updates.

    Attributes:
        mean: the mean update.
        tolerance: by how much each number may differ, from rounding alone.
        residuals: site -> what is left for its next update.
        loosest: site -> by how much each number of that may differ.
    """

    mean: Tensors
    tolerance: Tensors
    residuals: Mapping[str, Tensors]
    loosest: Mapping[str, float]


def expected(
    stages: Sequence[Stage],
    aggregator: Aggregator,
    screens: Sequence[Norms],
    updates: Mapping[str, Tensors],
    residuals: Mapping[str, Tensors],
    examples: Mapping[str, int],
    broadcast: Tensors,
    ctx: RoundContext,
    scale: NoiseScale | None = None,
) -> Expected:
    """Compute what a round should bring, by rows of float64.

    Of the product it takes what a seed decides and nothing else: the coordinates of random-k, and the words that noise
    at a site is made of. Noise in shares is not drawn again, but may be off by `LUCK` deviations; noise of whoever
    opens a sum is no part of this.
    """
    pipeline = Pipeline(tuple(stages))
    row = Row.of(broadcast)
    sent, left, errors = {}, {}, {}
    for site, change in updates.items():
        value = row.values(change, np.float64)
        if site in residuals:
            value = value + row.values(residuals[site], np.float64)
        lost = np.zeros_like(value)
        for stage in stages:
            after = _passed(stage, value, at(site, ctx), row, scale)
            if isinstance(stage, Threshold | TopK | RandomK) and stage.feedback:
                lost += value - after
            value = after
        value = np.where(_travels(stages, value.size, ctx), value, 0.0)  # noise on what was not chosen stays
        sent[site], left[site] = value, lost
        errors[site] = _error(stages, value, row, broadcast, ctx, scale)
    for screen in screens:
        norms = {site: float(np.linalg.norm(value)) for site, value in sent.items()}
        most = screen.times * float(np.median(list(norms.values())))
        sent = {site: value for site, value in sent.items() if norms[site] <= most}
    mean, tolerance = _combined(pipeline, aggregator, sent, errors, examples)
    return Expected(
        row.tensors(mean),
        row.tensors(tolerance + 1e-6),
        {site: row.tensors(value) for site, value in left.items()} if pipeline.feeds_back else {},
        {site: float(error.max(initial=0.0)) + 1e-6 for site, error in errors.items()},
    )


def _passed(stage: Stage, value: np.ndarray, ctx: RoundContext, row: Row, scale: NoiseScale | None) -> np.ndarray:
    if isinstance(stage, AddNoise):
        return value + _own_noise(ctx, row, scale) if stage.is_own and scale is not None else value
    size = np.abs(value)
    if isinstance(stage, Clip):
        return value * min(1.0, stage.norm / max(float(np.linalg.norm(value)), 1e-300))
    if isinstance(stage, Threshold):
        return np.where(size > stage.tau, value, 0.0)
    if isinstance(stage, TopK):
        count = max(1, round(stage.fraction * value.size))
        kept = np.zeros(value.size, bool)
        kept[np.argsort(-size, kind="stable")[:count]] = True
        return np.where(kept, value, 0.0)
    if isinstance(stage, RandomK):
        kept = np.zeros(value.size, bool)
        kept[stage.places(value.size, ctx)] = True
        return np.where(kept, value if stage.feedback else value / stage.fraction, 0.0)
    return value


def _travels(stages: Sequence[Stage], count: int, ctx: RoundContext) -> np.ndarray:
    """Which numbers of a row are sent, where that is the same at every site."""
    travels = np.zeros(count, bool)
    chosen = [stage for stage in stages if isinstance(stage, RandomK)]
    travels[chosen[0].places(count, ctx) if chosen else slice(None)] = True
    return travels


def _own_noise(ctx: RoundContext, row: Row, scale: NoiseScale) -> np.ndarray:
    words = Words.at(ctx, "noise", scale.seeded)
    drawn = {name: words.normal(count).reshape(row.shapes[name]) for name, count in row.sizes.items()}
    return scale.multiplier * scale.sensitivity * row.values(drawn, np.float64)


def _error(
    stages: Sequence[Stage],
    value: np.ndarray,
    row: Row,
    broadcast: Tensors,
    ctx: RoundContext,
    scale: NoiseScale | None,
) -> np.ndarray:
    """By how much rounding may move each number of one site."""
    error = np.zeros(value.size)
    tensors = row.tensors(value)
    steps = {}
    for name, weights in broadcast.items():
        if any(isinstance(stage, Int8) for stage in stages):
            steps[name] = float(np.abs(tensors[name]).max(initial=0)) / LARGEST
        for stage in stages:
            if isinstance(stage, Quantise):
                least = stage.floor if name.startswith("net/") else STAT_RANGE
                steps[name] = max(least, float(np.abs(weights).max(initial=0))) / (2 ** (stage.bits - 1) - 1)
    if steps:
        error = row.values({name: np.full(broadcast[name].shape, steps[name]) for name in broadcast}, np.float64)
    if any(isinstance(stage, Homomorphic) and stage.scheme == "ckks" for stage in stages):
        error = error + CKKS_ERROR
    shares = [stage for stage in stages if isinstance(stage, AddNoise) and stage.is_discrete]
    if shares and scale is not None:
        grid = noisy_grid(Pipeline(tuple(stages)), row, ctx, scale, 2 * len(ctx.cohort))
        error = np.full(value.size, grid.step * (1 + LUCK * grid.variance**0.5))
    return np.where(_travels(stages, value.size, ctx), error * (1 + 1e-5), 0.0)


def noisy_grid(pipeline: Pipeline, row: Row, ctx: RoundContext, scale: NoiseScale, most_sites: int) -> NoisyGrid:
    """Return how updates become integers with shares of noise: two of them are enough."""
    assert pipeline.quantise
    assert pipeline.clip
    travelling = Row(row.shapes, pipeline.places(row.length, ctx))
    return NoisyGrid(travelling, scale, pipeline.clip.norm, pipeline.quantise.bits, 2, most_sites, 1e-9)


def _combined(
    pipeline: Pipeline,
    aggregator: Aggregator,
    sent: Mapping[str, np.ndarray],
    errors: Mapping[str, np.ndarray],
    examples: Mapping[str, int],
) -> tuple[np.ndarray, np.ndarray]:
    values, slack = np.stack([sent[site] for site in sent]), np.stack([errors[site] for site in sent])
    if isinstance(aggregator, Median):
        return np.median(values, axis=0), slack.max(axis=0)
    if isinstance(aggregator, TrimmedMean):
        ordered = np.sort(values, axis=0)[aggregator.trim : len(values) - aggregator.trim]
        return ordered.mean(axis=0), slack.max(axis=0)
    weights = np.ones(len(values))
    if aggregator.weighting == "examples":
        shares = dict(examples)
        if pipeline.sums_frames:
            total = pipeline.quantise.weight_total if pipeline.quantise else Quantise().weight_total
            shares = integer_weights(shares, total)
        weights = np.array([shares[site] for site in sent], np.float64)
    weights /= weights.sum()
    return weights @ values, weights @ slack


def at(site: str, ctx: RoundContext) -> RoundContext:
    return replace(ctx, site=site)
