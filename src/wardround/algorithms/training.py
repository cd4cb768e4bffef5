"""How a site trains in one round: batches, optimiser, schedule, augmentation, precision."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from wardround.algorithms.augment import AUGMENTATIONS
from wardround.algorithms.parts import PARTS
from wardround.core.context import RoundContext
from wardround.errors import PlanError

OPTIMISERS = ("sgd", "adamw")
SCHEDULES = ("constant", "cosine")
PRECISIONS = ("auto", "float32", "bf16")


@dataclass(frozen=True)
class Training:
    """The ``[training]`` table of a plan.

    Attributes:
        epochs: passes over a site's own images per round; fractions are allowed (0.1 = a tenth of a pass).
        steps: optimiser steps per round, the same at every site; 0 derives them from `epochs`.
        batch_size: images per step; a smaller site uses all it has.
        learning_rate: of the first step, > 0.
        momentum: of ``sgd``, in [0, 1).
        weight_decay: decoupled under ``adamw``, added to the gradient under ``sgd``.
        optimiser: ``sgd`` or ``adamw``.
        schedule: ``constant``, or ``cosine`` down to zero over the whole run.
        keep_optimiser: whether a site's optimiser state lives on from round to round.
        augment: ``none``, ``flip``, ``dihedral`` (flips and quarter turns), ``dihedral+colour`` (slightly),
            ``dihedral+appearance`` (strongly: gain, offset, contrast, saturation), or ``shift`` (by up to an eighth).
        precision: ``float32``, ``bf16`` (autocast), or ``auto``: bf16 where the hardware computes it natively.
        parts: what is trained: ``all``; ``norms``, normalisation layers, biases and the head; or ``head``. The rest
            keeps its first values and does not travel. Under ``head`` each image's features are computed once.
    """

    epochs: float = 1.0
    steps: int = 0
    batch_size: int = 32
    learning_rate: float = 0.05
    momentum: float = 0.0
    weight_decay: float = 0.0
    optimiser: str = "sgd"
    schedule: str = "constant"
    keep_optimiser: bool = False
    augment: str = "none"
    precision: str = "auto"
    parts: str = "all"

    def __post_init__(self) -> None:
        for key, options in (
            ("optimiser", OPTIMISERS),
            ("schedule", SCHEDULES),
            ("precision", PRECISIONS),
            ("augment", tuple(AUGMENTATIONS)),
            ("parts", tuple(PARTS)),
        ):
            if getattr(self, key) not in options:
                raise PlanError(f"training {key} = {getattr(self, key)!r} is not one of {', '.join(options)}")
        if self.batch_size < 1 or self.steps < 0 or not 0 < self.epochs < math.inf:
            raise PlanError("training needs batch_size >= 1, steps >= 0 and epochs > 0")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise PlanError(f"training learning_rate = {self.learning_rate} is not a positive number")
        if not 0 <= self.momentum < 1 or not 0 <= self.weight_decay < math.inf:
            raise PlanError("training needs momentum in [0, 1) and weight_decay >= 0")
        if self.optimiser == "adamw" and self.momentum:
            raise PlanError(f"training momentum = {self.momentum} has no effect under adamw: remove it or choose sgd")

    def num_steps(self, num_examples: int) -> int:
        """Steps per round at a site with `num_examples` training images."""
        return self.steps or max(1, round(self.epochs * num_examples / min(self.batch_size, num_examples)))

    def learning_rate_at(self, progress: float) -> float:
        """Learning rate when a share `progress` in [0, 1] of the run is done."""
        factor = 0.5 * (1 + math.cos(math.pi * progress)) if self.schedule == "cosine" else 1.0
        return self.learning_rate * factor

    def optimiser_for(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return a fresh optimiser over the trainable parameters."""
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        if self.optimiser == "adamw":
            return torch.optim.AdamW(parameters, self.learning_rate, weight_decay=self.weight_decay)
        return torch.optim.SGD(parameters, self.learning_rate, self.momentum, weight_decay=self.weight_decay)

    def autocast(self, device: torch.device) -> torch.autocast:
        """Return the context in which the forward pass runs."""
        native = self.precision == "auto" and _computes_bf16(device)
        return torch.autocast(device.type, torch.bfloat16, enabled=native or self.precision == "bf16")

    def batches(self, num_examples: int, ctx: RoundContext) -> Iterator[np.ndarray]:
        """Yield the index arrays of this round's batches.

        One endless stream per site, pass after pass over a fresh permutation, cut into rounds: however short the
        rounds are, every image is used once per pass. The stream depends on the place in it, not on earlier calls.
        """
        size = min(self.batch_size, num_examples)
        steps = self.num_steps(num_examples)
        first = ctx.round * steps * size
        passes = range(first // num_examples, (first + steps * size - 1) // num_examples + 1)
        order = np.concatenate([replace(ctx, round=index).rng("order").permutation(num_examples) for index in passes])
        offset = first - passes[0] * num_examples
        yield from order[offset : offset + steps * size].reshape(steps, size)


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.backends.cpu.get_cpu_capability()
    return bool(capabilities == "AVX512" and torch.cpu._is_avx512_bf16_supported())
