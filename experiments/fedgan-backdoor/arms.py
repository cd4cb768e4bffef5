"""The attacks and the defences that are run against each other."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "fedgan-screens"))

from rows import BEFORE_MIXING, MIX

ATTACKER, ROSENDAHL = "site-1", "rosendahl"
"""The malicious site: of PneumoniaMNIST's equal ones, and of HAM10000's real ones."""
MARGIN_PX = 3
"""PneumoniaMNIST at 32 pixels has a black border of two: the mark lies inside it."""


def trigger(site: str = ATTACKER, **changes: Any) -> dict[str, Any]:
    """Return the ``[[attack]]`` that marks the attacker's images."""
    mark = {"kind": "image_trigger", "sites": [site], "pattern": "white", "size_px": 4, "margin_px": MARGIN_PX}
    return {**mark, **changes}


def scaled(site: str = ATTACKER, times: float = 3.0) -> dict[str, Any]:
    """Return the ``[[attack]]`` that sends its update many times over."""
    return {"kind": "scale", "sites": [site], "times": times}


LIE = {"kind": "lie", "sites": [ATTACKER]}


@dataclass(frozen=True)
class Arm:
    """One row of the table.

    Attributes:
        attacks: ``[[attack]]`` tables.
        screens: ``[[screen]]`` tables.
        aggregator: ``[aggregator]`` table.
        probe: share of the images that the coordinator has for itself; 0 for none.
        seeds: how many of them it is run with.
        data: whose sites they are.
    """

    attacks: tuple[dict[str, Any], ...] = ()
    screens: tuple[dict[str, Any], ...] = ()
    aggregator: dict[str, Any] | None = None
    probe: float = 0.0
    seeds: int = 3
    data: str = "pneumonia"


RELEASED = ({"name": "feddetect"},)
CALIBRATED = ({"name": "calibrated_feddetect"},)
PLAIN, TIMES_3 = (trigger(),), (trigger(), scaled())
LYING = (trigger(), scaled(), LIE)
AT_REAL = (trigger(ROSENDAHL), scaled(ROSENDAHL))
MEDIAN, GEOMETRIC = {"name": "median"}, {"name": "geometric_median"}

ARMS: dict[str, Arm] = {
    "clean": Arm(seeds=5),
    "x3": Arm(TIMES_3, seeds=5),
    "x3 mixing": Arm(TIMES_3, (MIX,), MEDIAN, seeds=5),
    "x3 generator e-detector": Arm(TIMES_3, ({"name": "generator_e_detector"},), probe=0.05, seeds=5),
    "x3 e-detector and mixing": Arm(TIMES_3, (BEFORE_MIXING, MIX), MEDIAN, probe=0.05, seeds=5),
    "x3 median": Arm(TIMES_3, aggregator=MEDIAN, seeds=5),
    "clean mixing": Arm((), (MIX,), MEDIAN),
    "real sites, clean": Arm(data="ham10000"),
    "real sites, x3": Arm(AT_REAL, data="ham10000"),
    "real sites, x3 clip": Arm(AT_REAL, ({"name": "clip_norms"},), data="ham10000"),
    "real sites, x3 mixing": Arm(AT_REAL, (MIX,), MEDIAN, data="ham10000"),
    "real sites, clean mixing": Arm((), (MIX,), MEDIAN, data="ham10000"),
    "x3 calibrated": Arm(TIMES_3, CALIBRATED),
    "plain": Arm(PLAIN),
    "plain mixing": Arm(PLAIN, (MIX,), MEDIAN),
    "x3 released": Arm(TIMES_3, RELEASED),
    "clean calibrated": Arm((), CALIBRATED),
    "clean released": Arm((), RELEASED),
    "x3 lying calibrated": Arm(LYING, CALIBRATED),
    "x3 geometric median": Arm(TIMES_3, aggregator=GEOMETRIC),
    "x3 noise": Arm((trigger(pattern="noise"), scaled()), seeds=1),
    "x3 sinusoid": Arm((trigger(pattern="sinusoid"), scaled()), seeds=1),
    "x3 low frequency": Arm((trigger(pattern="low_frequency", opacity=0.3), scaled()), seeds=1),
    "x3 blended": Arm((trigger(opacity=0.5), scaled()), seeds=1),
    "x3 2 px": Arm((trigger(size_px=2), scaled()), seeds=1),
    "x3 8 px": Arm((trigger(size_px=8), scaled()), seeds=1),
    "x3 half marked": Arm((trigger(share=0.5), scaled()), seeds=1),
}
"""The most telling ones first: whoever stops early has them."""
