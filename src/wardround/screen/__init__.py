"""Whose updates count: judged before they are aggregated, from what may be seen."""

from __future__ import annotations

from wardround.screen.base import Case, Harm, Judgement, Probe, Screen, Verdict
from wardround.screen.norms import Norms

SCREENS: dict[str, type[Screen]] = {"norms": Norms}
"""Names a plan may use in ``[[screen]] name = …``."""

__all__ = ["SCREENS", "Case", "Harm", "Judgement", "Norms", "Probe", "Screen", "Verdict"]
