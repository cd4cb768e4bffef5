"""Whose updates count: judged before they are aggregated, from what may be seen."""

from __future__ import annotations

from wardround.screen.norms import Norms

SCREENS = {"norms": Norms}
"""Names a plan may use in ``[[screen]] name = …``."""

__all__ = ["SCREENS", "Norms"]
