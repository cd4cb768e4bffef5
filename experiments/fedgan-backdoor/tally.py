"""What screens did in a run, and numbers of several seeds as a cell of a table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from arms import ATTACKER, ROSENDAHL

sys.path.insert(0, str(Path(__file__).parents[1] / "fedgan-vanilla"))

from seeds import interval

from wardround.study.folder import RunFolder


def flags(run: Path, attacked: bool) -> dict[str, Any]:
    """Return in which share of their rounds honest sites and attackers lost trust, or were left out of the sum."""
    honest, culprit = [], []
    for record in RunFolder(run).records():
        for site, said in record.judged.items():
            weights = (value for key, value in said.get("evidence", {}).items() if key.endswith(" weight"))
            flagged = said.get("trust", 1.0) < 1 or 0 in weights
            (culprit if attacked and site in (ATTACKER, ROSENDAHL) else honest).append(flagged)
    share = {"honest_flagged": honest, "attacker_flagged": culprit}
    return {key: float(np.mean(found)) if found else None for key, found in share.items()}


def cell(values: list[float]) -> str:
    """Return the mean, and where there are several values its interval."""
    if not values:
        return ""
    found = interval(values)
    ends = f" ({found[1]:.3f} to {found[2]:.3f})" if len(found) == 3 else ""
    return f"{found[0]:.3f}{ends}"
