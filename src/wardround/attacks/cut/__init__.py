"""Activation inversion: images rebuilt from what crosses the cut of a split network."""

from __future__ import annotations

from wardround.attacks.cut.inversion import DecoderAttack, OptimisationAttack
from wardround.attacks.cut.observation import CutObservation

__all__ = ["CutObservation", "DecoderAttack", "OptimisationAttack"]
