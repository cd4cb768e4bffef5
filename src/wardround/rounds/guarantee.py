"""From a plan's claim to its noise: how much, on what, and which events a run of it will have."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

from wardround.algorithms import AlgorithmSpec, DpSgd
from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.errors import PlanError, WireError
from wardround.privacy import DiscreteGaussian, Event, Gaussian, Privacy
from wardround.privacy.calibration import calibrated_for
from wardround.protect.noise import NoiseScale
from wardround.protect.noisy_grid import FAILURE_SHARE, NoisyGrid
from wardround.protect.pipeline import Pipeline
from wardround.protect.row import Row

LARGEST_GAP = 1e-6
"""What a site may say that its sum of shares is off a discrete Gaussian; see `DiscreteGaussian`."""

MOST_LENGTH = 256
"""A site's clip may be this many times a unit's: beyond, rounding to float32 could move a sum further than a unit."""


@dataclass(frozen=True)
class Guarantee:
    """What the ``[privacy]`` table asks of the other tables.

    Attributes:
        privacy: the claim.
        algorithm: what trains.
        pipeline: where noise may be added.
        rounds: of the run.
        steps: optimiser steps a round, where the training itself adds noise.
        most_sites: largest number of sites in a sum of integers.
    """

    privacy: Privacy
    algorithm: AlgorithmSpec
    pipeline: Pipeline
    rounds: int
    steps: int
    most_sites: int

    @cached_property
    def multiplier(self) -> float:
        """Noise multiplier of every event of the run: the plan's, or calibrated to its epsilon."""
        if self.privacy.noise_multiplier:
            return self.privacy.noise_multiplier
        count = self.rounds * self.steps if self.trains_privately else self.rounds
        return calibrated_for(self.privacy.epsilon, self.privacy.delta, self._template, count)

    @property
    def trains_privately(self) -> bool:
        """Whether the training adds the noise, not a stage."""
        return isinstance(self.algorithm, DpSgd) and self.algorithm.noise == "site"

    @property
    def scale(self) -> NoiseScale | None:
        """How much the noise stage adds, if there is one."""
        if self.pipeline.noise is None:
            return None
        return NoiseScale(
            multiplier=self.multiplier,
            sensitivity=self._sensitivity,
            sampling_rate=self._sampling_rate,
            whole_site=self.privacy.is_site,
            seeded=self.privacy.is_seeded,
        )

    def grid(self, broadcast: Tensors, ctx: RoundContext) -> NoisyGrid | None:
        """Return how updates to `broadcast` become integers with noise in a round, if they do.

        Raises:
            PlanError: the noise does not fit the integers.
        """
        stage, quantise, masks, clip = (
            self.pipeline.noise,
            self.pipeline.quantise,
            self.pipeline.masks,
            self.pipeline.clip,
        )
        scale = self.scale
        if stage is None or scale is None or not stage.is_discrete:
            return None
        if quantise is None or masks is None or clip is None:
            raise PlanError("discrete noise needs clip and quantise before it and masks behind it")
        if clip.norm > MOST_LENGTH * scale.sensitivity:
            raise PlanError(
                f"clip norm = {clip.norm:g} is more than {MOST_LENGTH} times what one unit adds: lower it, or raise "
                "the algorithm's clip"
            )
        row = Row.of(broadcast, self.pipeline.places(Row.of(broadcast).length, ctx))
        return NoisyGrid(row, scale, clip.norm, quantise.bits, masks.threshold, self.most_sites, self._failure)

    def check_fits(self, broadcast: Tensors) -> None:
        """Refuse noise that does not fit the integers of updates to `broadcast`.

        Raises:
            PlanError: it does not; raise bits.
        """
        grid = self.grid(broadcast, RoundContext(0, 0, self.rounds, (), 0))
        if grid is not None:
            _ = grid.step

    def events_of_round(self) -> tuple[Event, ...]:
        """Return what one round will spend on each site, as far as the plan can tell."""
        event = dataclasses.replace(self._template, noise_multiplier=self.multiplier)
        return (event,) * (self.steps if self.trains_privately else 1)

    def check_told(self, told: tuple[Event, ...]) -> None:
        """Refuse what a site says of its noise where that is not the noise of the plan.

        Raises:
            WireError: another kind, another size or another number.
        """
        stage = self.pipeline.noise
        expected = () if stage is not None and stage.is_central else self.events_of_round()
        if len(told) != len(expected) or not all(map(_alike, told, expected)):
            raise WireError(f"the answer tells of {len(told)} events of noise that are not the plan's {len(expected)}")

    @property
    def _template(self) -> Event:
        stage = self.pipeline.noise
        if stage is not None and stage.is_discrete:
            return DiscreteGaussian(1.0, self._sampling_rate, self._failure)
        return Gaussian(1.0, self._sampling_rate)

    @property
    def _failure(self) -> float:
        return FAILURE_SHARE * self.privacy.delta / self.rounds

    @property
    def _sampling_rate(self) -> float:
        return self._sampled.sampling_rate if self._sampled else 1.0

    @property
    def _sensitivity(self) -> float:
        if self._sampled:
            return self._sampled.clip
        if self.pipeline.clip is None:
            raise PlanError("noise without a bound hides nothing: put a clip stage before it")
        return self.pipeline.clip.norm

    @property
    def _sampled(self) -> DpSgd | None:
        """What draws and clips the units, where they are smaller than a site."""
        return self.algorithm if isinstance(self.algorithm, DpSgd) and not self.privacy.is_site else None


def _alike(told: Event, expected: Event) -> bool:
    """Whether two events differ in nothing but a gap too small to matter, which follows from the number of values."""
    if isinstance(told, DiscreteGaussian):
        return told.gap < LARGEST_GAP and dataclasses.replace(told, gap=0.0) == expected
    return told == expected
