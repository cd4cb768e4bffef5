"""The runs of this experiment and of those that build on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from judge import plan_of

from wardround.rounds.plan import Plan

FRESH = tuple(range(21, 33))
FIRST = (11, 12, 13)
ARMS: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "pneumonia-cosine": ("pneumonia-cosine.toml", {}, FRESH),
    "pneumonia-cosine-central": (
        "pneumonia-cosine.toml",
        {"algorithm": {"pooled": True}, "training": {"steps": 160, "batch_size": 16}},
        FRESH,
    ),
    "pneumonia-style": (
        "pneumonia-cosine.toml",
        {"model": {"name": "style_gan", "size_px": 32, "width": 16}},
        FRESH[:3],
    ),
    "ham10000": ("ham10000.toml", {}, FIRST),
    "ham10000-central": ("ham10000.toml", {"algorithm": {"pooled": True}, "training": {"steps": 160}}, FIRST),
    "pneumonia": ("pneumonia.toml", {}, FIRST),
    "pneumonia-central": ("pneumonia.toml", {"algorithm": {"pooled": True}, "training": {"steps": 160}}, FIRST),
}
"""Arm -> its plan file, what is changed in it, its seeds. Pooled training sees as many images as all sites together."""


def plan_for(arm: str, seed: int, name: str = "", **changes: Mapping[str, Any] | Any) -> Plan:
    """Return the plan of one run.

    Args:
        arm: one of `ARMS`.
        seed: of the run.
        name: of the run; empty takes the arm's.
        changes: as for `plan_of`, beside those of the arm.
    """
    file, own, _ = ARMS[arm]
    return plan_of(file, **{**own, **changes}, seed=seed, name=name or arm)
