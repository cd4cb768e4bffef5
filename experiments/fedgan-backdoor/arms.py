"""The attacks and the defences that are run against each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ATTACKER = "site-1"
MARGIN_PX = 3
"""PneumoniaMNIST at 32 pixels has a black border of two: the mark lies inside it."""


def trigger(**changes: Any) -> dict[str, Any]:
    """Return the ``[[attack]]`` that marks the attacker's images."""
    mark = {"kind": "image_trigger", "sites": [ATTACKER], "pattern": "white", "size_px": 4, "margin_px": MARGIN_PX}
    return {**mark, **changes}


def scaled(times: float = 3.0) -> dict[str, Any]:
    """Return the ``[[attack]]`` that sends its update many times over."""
    return {"kind": "scale", "sites": [ATTACKER], "times": times}


LIE = {"kind": "lie", "sites": [ATTACKER]}


@dataclass(frozen=True)
class Arm:
    """One row of the table.

    Attributes:
        attacks: ``[[attack]]`` tables.
        screens: ``[[screen]]`` tables.
        aggregator: ``[aggregator]`` table.
        probe: share of the images that the coordinator has for itself; 0 for none.
        few: whether it is run with the first seed alone.
    """

    attacks: tuple[dict[str, Any], ...] = ()
    screens: tuple[dict[str, Any], ...] = ()
    aggregator: dict[str, Any] | None = None
    probe: float = 0.0
    few: bool = False


RELEASED = ({"name": "feddetect"},)
CALIBRATED = ({"name": "calibrated_feddetect"},)
PLAIN, TIMES_3 = (trigger(),), (trigger(), scaled())
LYING = (trigger(), scaled(), LIE)
MEDIAN, GEOMETRIC = {"name": "median"}, {"name": "geometric_median"}

ARMS: dict[str, Arm] = {
    "clean": Arm(),
    "x3": Arm(TIMES_3),
    "x3 generator e-detector": Arm(TIMES_3, ({"name": "generator_e_detector"},), probe=0.05),
    "plain": Arm(PLAIN),
    "x3 calibrated": Arm(TIMES_3, CALIBRATED),
    "x3 released": Arm(TIMES_3, RELEASED),
    "clean calibrated": Arm((), CALIBRATED),
    "clean released": Arm((), RELEASED),
    "x3 lying calibrated": Arm(LYING, CALIBRATED),
    "x3 geometric median": Arm(TIMES_3, aggregator=GEOMETRIC),
    "x3 median": Arm(TIMES_3, aggregator=MEDIAN),
    "x3 noise": Arm((trigger(pattern="noise"), scaled()), few=True),
    "x3 sinusoid": Arm((trigger(pattern="sinusoid"), scaled()), few=True),
    "x3 low frequency": Arm((trigger(pattern="low_frequency", opacity=0.3), scaled()), few=True),
    "x3 blended": Arm((trigger(opacity=0.5), scaled()), few=True),
    "x3 2 px": Arm((trigger(size_px=2), scaled()), few=True),
    "x3 8 px": Arm((trigger(size_px=8), scaled()), few=True),
    "x3 half marked": Arm((trigger(share=0.5), scaled()), few=True),
}
"""The most telling ones first: whoever stops early has them."""
