"""Tiny sites whose network is cut."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import tiny
import torch
from torch import nn

from wardround.fabric.local import LocalFabric
from wardround.rounds.plan import Plan
from wardround.rounds.split.rules import SplitRules
from wardround.rounds.workbench import Workbench
from wardround.study.simulation import introduce_sites
from wardround.tasks.classification import Classification
from wardround.tasks.models.levels import Level
from wardround.tasks.models.unet import UNet, UNetwork


@dataclass(frozen=True)
class PooledUNet:
    """A U-Net whose output is pooled to logits, for sites that classify."""

    widths: tuple[int, ...] = (4, 6, 8)

    def build(self, channels: int, classes: int) -> nn.Module:
        return Pooled(channels, classes, self.widths)


class Pooled(UNetwork):
    def levels(self) -> tuple[Level, ...]:
        outermost, *inner = super().levels()

        def pooled(skip: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
            return outermost.up(skip, below).mean(dim=(2, 3))

        return (Level(outermost.down, pooled, outermost.modules), *inner)


def plan(algorithm: str, split: SplitRules | None = None, model: Any = PooledUNet(), **changes: Any) -> Plan:
    """Return a tiny plan over a network that is cut, or over the whole of the same one."""
    base = tiny.plan(**changes)
    if isinstance(base.algorithm, type(None)):
        raise TypeError
    from wardround.algorithms import ALGORITHMS

    kind: Any = ALGORITHMS[algorithm]
    made = kind()
    if made.work.splits and split is None:
        split = SplitRules()
    return replace(base, model=model, algorithm=made, split=split)


def fabric(of: Plan, stores: Path, encoded: bool = True) -> LocalFabric:
    """Return three tiny sites in this process, each with a network of its own."""
    if of.needs_keys:
        introduce_sites(stores, tiny.NAMES)

    def opened(name: str) -> Any:
        bench = Workbench(Classification(of.model, 3, tiny.CLASSES), of.seed, of.training.parts, split=of.split)
        return tiny._open(of, dict(tiny.SIZES), bench, stores, True, name)

    return LocalFabric(tiny.NAMES, opened, encoded)


__all__ = ["PooledUNet", "UNet", "fabric", "partial", "plan"]
