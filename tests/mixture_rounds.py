"""One round of given updates through the product's own stages, frames, screens and aggregators, without training."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mixtures
import numpy as np

from wardround.aggregate import Aggregator
from wardround.core.codec import Message, decode, encode
from wardround.core.context import RoundContext
from wardround.core.update import Aggregate, Tensors, Update, of_group
from wardround.privacy.words import Words
from wardround.protect.lattice import LatticeKey, Sealer
from wardround.protect.lattice_parameters import LatticeParameters
from wardround.protect.noise import NoiseScale
from wardround.protect.noisy_grid import NoisyGrid
from wardround.protect.outgoing import RESIDUAL, Outgoing, incoming, outgoing
from wardround.protect.pipeline import Pipeline, Stage
from wardround.protect.quantise import Grid, Quantise, RealGrid, integer_weights
from wardround.protect.row import Row
from wardround.protect.scheme import Scheme
from wardround.rounds.opening import Opening
from wardround.screen import Case, Norms


@dataclass(frozen=True)
class Round:
    """What a round starts from.

    Attributes:
        updates: site -> what it learned.
        memories: site -> what it remembers.
        examples: site -> training examples.
        broadcast: what the updates are differences to.
        ctx: the round.
        scale: of noise, if a stage adds any.
    """

    updates: Mapping[str, Tensors]
    memories: Mapping[str, Tensors]
    examples: Mapping[str, int]
    broadcast: Tensors
    ctx: RoundContext
    scale: NoiseScale | None = None


def executed(
    stages: Sequence[Stage], aggregator: Aggregator, screens: Sequence[Norms], of: Round
) -> tuple[Tensors, dict[str, Tensors]]:
    """Return the mean update, and site -> its next memory."""
    pipeline = Pipeline(tuple(stages))
    leaving = {
        site: outgoing(pipeline, change, of.memories.get(site, {}), mixtures.at(site, of.ctx), of.scale)
        for site, change in of.updates.items()
    }
    memories: dict[str, Tensors] = {site: dict(each.residual) for site, each in leaving.items()}
    if pipeline.sums_frames:
        return _summed(pipeline, aggregator, leaving, of).mean(), memories
    return _read(pipeline, aggregator, screens, leaving, of).mean(), memories


def _read(
    pipeline: Pipeline, aggregator: Aggregator, screens: Sequence[Norms], leaving: Mapping[str, Outgoing], of: Round
) -> Aggregate:
    compact = pipeline.compact(of.broadcast, of.ctx)
    updates = []
    for site, each in leaving.items():
        wire = decode(encode(Message({}, each.wire))).tensors
        tensors = wire if compact is None else incoming(compact, wire)
        updates.append(Update(site, of.ctx.round, tensors, of.examples[site]))
    for screen in screens:
        verdicts = screen.judge(Case(updates, of.ctx)).verdicts
        updates = [update for update in updates if verdicts[update.site].trust]
    return aggregator.combine(updates)


def _summed(pipeline: Pipeline, aggregator: Aggregator, leaving: Mapping[str, Outgoing], of: Round) -> Aggregate:
    """Sum frames; masks are uniform and cancel, as those of the protocol do, which has tests of its own."""
    total_weight = pipeline.quantise.weight_total if pipeline.quantise else Quantise().weight_total
    scheme = Scheme.of(pipeline, total_weight)
    grid = _grid(pipeline, of)
    weights = dict.fromkeys(leaving, 1)
    if aggregator.weighting == "examples":
        weights = integer_weights(of.examples, total_weight)
    sealer = sealer_of(scheme.lattice) if scheme.lattice else None
    opening = Opening(scheme, grid, tuple(leaving), sum(weights.values()))
    rows = {site: _encoded(grid, each.tensors, mixtures.at(site, of.ctx)) for site, each in leaving.items()}
    assert grid.num_values == pipeline.num_values(sum(value.size for value in of.broadcast.values()))
    for number, part in enumerate(scheme.parts(grid.num_values)):
        total = scheme.running_sum(part)
        masks = _masks(scheme, part, list(leaving), of.ctx) if pipeline.masks else {}
        for site, row in rows.items():
            # Under masks a site applies its weight itself: whoever sums cannot.
            words = scheme.words(row[part], weights[site] if masks else 1)
            words = scheme.masked(words, masks[site]) if masks else words
            total.add(scheme.seal(words, sealer), 1 if masks else weights[site])
        opening.take(number, total.frame(), sealer)
    lengthened = pipeline.noise is not None and not pipeline.noise.is_central
    return opening.aggregate(pipeline.clip.norm if pipeline.clip and not lengthened else None)


def _grid(pipeline: Pipeline, of: Round) -> Grid | RealGrid | NoisyGrid:
    if of.scale is None or pipeline.noise is None or not pipeline.noise.is_discrete:
        return pipeline.grid(of.broadcast, of.ctx)
    return mixtures.noisy_grid(pipeline, Row.of(of.broadcast), of.ctx, of.scale, 2 * len(of.updates))


def _encoded(grid: Grid | RealGrid | NoisyGrid, change: Tensors, ctx: RoundContext) -> np.ndarray:
    if isinstance(grid, NoisyGrid):
        return grid.encode(change, Words.at(ctx, "noise", seeded=True))[0]
    return grid.encode(change, ctx.rng("quantise"))[0]


def _masks(scheme: Scheme, part: slice, sites: Sequence[str], ctx: RoundContext) -> dict[str, np.ndarray]:
    rng, count = ctx.rng("masks"), scheme.num_words(part)
    modulus = np.uint64(2**scheme.word_bits - 1)
    drawn = {site: rng.integers(0, 2**64, count, np.uint64) & modulus for site in sites[1:]}
    last = np.zeros(count, np.uint64)
    for mask in drawn.values():
        last = last - mask & modulus
    return {sites[0]: last, **drawn}


@functools.cache
def sealer_of(lattice: LatticeParameters) -> Sealer:
    """Return one key for each set of parameters: making keys is no part of what is tested here."""
    return Sealer(lattice, LatticeKey.new(lattice))


def residuals(memories: Mapping[str, Tensors]) -> dict[str, Tensors]:
    return {site: of_group(memory, RESIDUAL) for site, memory in memories.items() if memory}
