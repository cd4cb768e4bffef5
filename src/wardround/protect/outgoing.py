"""An update on its way through a plan's stages, and what they leave behind for the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from wardround.core.context import RoundContext
from wardround.core.update import Tensors, all_finite, difference, in_group, of_group
from wardround.errors import SiteError, WireError
from wardround.privacy import Event
from wardround.privacy.words import Words
from wardround.protect.compact import Compact
from wardround.protect.noise import AddNoise, NoiseScale, with_gaussian
from wardround.protect.pipeline import Pipeline, Sparsifier, TensorStage

RESIDUAL = "residual"
"""The group of a site's memory that holds what compression left out."""
UPDATE = "update"
"""The one array of an update in its compact form."""


@dataclass(frozen=True)
class Outgoing:
    """What leaves a site's stages.

    Attributes:
        tensors: the update behind every stage that works on real numbers.
        wire: what travels where the coordinator reads each update.
        residual: what the site's memory keeps for its next update; empty without error feedback.
        events: noise that was added, one event for each.
    """

    tensors: Tensors
    wire: Tensors
    residual: Mapping[str, np.ndarray]
    events: tuple[Event, ...] = ()


def outgoing(
    pipeline: Pipeline, change: Tensors, memory: Tensors, ctx: RoundContext, scale: NoiseScale | None = None
) -> Outgoing:
    """Pass an update through the stages at its site.

    Error feedback (Seide et al. 2014; Karimireddy et al. 2019, arXiv:1901.09847): what compression left out of a
    round is added to the update of the next one, before the first stage. So a clip bounds the two together, wherever it
    stands. What the clip itself cuts off is not kept: it would grow without bound where updates are always longer.
    The memory is that of the last round the coordinator accepted, so a lost or voided round changes no residual.

    Args:
        pipeline: of the plan.
        change: the update, finite.
        memory: of this site; what is not a residual is ignored.
        ctx: the round, as this site sees it.
        scale: how much noise a noise stage adds; ``None`` where there is none.

    Raises:
        SiteError: the update is not finite.
    """
    residual = of_group(memory, RESIDUAL)
    value: Tensors = {name: array + residual[name] if name in residual else array for name, array in change.items()}
    if not all_finite(value.values()):
        raise SiteError("the update is not finite; lower training.learning_rate")
    left = {name: np.zeros_like(array) for name, array in change.items()}
    events: tuple[Event, ...] = ()
    for stage in pipeline.stages:
        if isinstance(stage, TensorStage):
            after = stage.encode(value, ctx)
            if isinstance(stage, Sparsifier) and stage.feedback:
                _add(left, difference(value, after))
            value = after
        if isinstance(stage, AddNoise) and stage.is_own and scale is not None:
            value, event = with_gaussian(value, scale, Words.at(ctx, "noise", scale.seeded))
            events = (*events, event)
    wire, compact = value, pipeline.compact(value, ctx)
    if compact is not None:
        wire = {UPDATE: compact.write(value, ctx.rng("int8"))}
        if pipeline.int8 and pipeline.int8.feedback:
            # Noise on coordinates that nobody chose does not travel, and is no loss.
            travelling = compact.row.tensors(compact.row.values(value, np.float32))
            _add(left, difference(travelling, incoming(compact, wire)))
    return Outgoing(value, wire, in_group(left, RESIDUAL) if pipeline.feeds_back else {}, events)


def incoming(compact: Compact, wire: Tensors) -> dict[str, np.ndarray]:
    """Read a compact update off the wire.

    Raises:
        WireError: it is none.
    """
    if wire.keys() != {UPDATE}:
        raise WireError(f"a compact update is one array called {UPDATE!r}, not {len(wire)} arrays")
    return compact.read(wire[UPDATE])


def _add(total: dict[str, np.ndarray], more: Tensors) -> None:
    for name, value in total.items():
        total[name] = np.asarray(value + more[name], value.dtype)
