"""Tiny sites whose network is cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import rigged
import tiny
import torch
from torch import nn

from wardround.fabric.local import LocalFabric
from wardround.rounds.coordinator import Coordinator, RunResult
from wardround.rounds.plan import Plan
from wardround.rounds.split.rules import SplitRules
from wardround.rounds.workbench import Workbench
from wardround.study.simulation import introduce_sites
from wardround.tasks.classification import Classification
from wardround.tasks.models.levels import Level
from wardround.tasks.models.unet import UNetwork

SPLITTING = ("split_learning", "splitfed_v1", "splitfed_v2", "splitfed_v3", "dcsfl", "interleaved")


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


def plan(algorithm: str, split: Mapping[str, Any] | None = None, **changes: Any) -> Plan:
    """Return a tiny plan over a network that is cut, or over the whole of the same one."""
    changes["algorithm"] = {"name": algorithm, **changes.get("algorithm", {})}
    changes["training"] = {"precision": "float32", **changes.get("training", {})}
    if algorithm in SPLITTING:
        changes["split"] = {"depth": 1, **(split or {})}
    return replace(tiny.plan(**changes), model=PooledUNet())


def fabric(of: Plan, stores: Path, names: tuple[str, ...] = tiny.NAMES, encoded: bool = True) -> LocalFabric:
    """Return tiny sites in this process, each with a network of its own."""
    sizes = {name: size for name, size in tiny.SIZES if name in names}
    if of.needs_keys:
        introduce_sites(stores, names)

    def opened(name: str) -> Any:
        bench = Workbench(Classification(of.model, 3, tiny.CLASSES), of.seed, of.training.parts, split=of.split)
        return tiny._open(of, sizes, bench, stores, True, name)

    return LocalFabric(names, opened, encoded)


def run(
    of: Plan,
    folder: Path,
    tamper: rigged.Tamper = rigged.honest,
    journal: rigged.Memory | None = None,
    names: tuple[str, ...] = tiny.NAMES,
    encoded: bool = True,
) -> tuple[RunResult, rigged.Memory, rigged.Tampering]:
    journal = journal or rigged.Memory(folder / "journal")
    seen = rigged.Tampering(fabric(of, folder, names, encoded), tamper)
    return Coordinator(of, seen, journal).run(), journal, seen


__all__ = ["SPLITTING", "PooledUNet", "SplitRules", "fabric", "plan", "run"]
