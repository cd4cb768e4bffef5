"""What an adversary can do with what it sees: measured, so that a defence is believed for a reason."""

from __future__ import annotations

from wardround.attacks.inversion import (
    ATTACKS,
    Attack,
    Budget,
    DeepLeakage,
    GradInversion,
    Imprint,
    Imprinted,
    InvertingGradients,
    Leak,
    Reconstruction,
    leaks,
)
from wardround.attacks.inversion.observation import LocalSteps, Observation

__all__ = [
    "ATTACKS",
    "Attack",
    "Budget",
    "DeepLeakage",
    "GradInversion",
    "Imprint",
    "Imprinted",
    "InvertingGradients",
    "Leak",
    "LocalSteps",
    "Observation",
    "Reconstruction",
    "leaks",
]
