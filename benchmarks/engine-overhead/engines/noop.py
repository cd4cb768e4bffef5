"""The job that every engine runs: 4 sites × 3 rounds, one megabyte of float32 each way, and no work.

Needs numpy only: every engine imports it in its own environment.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

SITES = ("site-1", "site-2", "site-3", "site-4")
ROUNDS = 3
LENGTH = 262_144
TIMELINE = "NOOP_TIMELINE"
"""Environment: the file that `coordinate` writes."""


def work(array: np.ndarray) -> np.ndarray:
    """Return ``array + 1``: next to nothing, but it shows that the array was carried both ways."""
    return array + np.float32(1)


def coordinate(ask_all: Callable[[np.ndarray], Sequence[np.ndarray]]) -> None:
    """Run the rounds and write when each began and ended, on the clock that all processes of a machine share.

    Args:
        ask_all: sends an array to all sites and returns their answers.

    Raises:
        RuntimeError: an answer is missing or wrong.
    """
    model = np.zeros(LENGTH, np.float32)
    rounds = []
    for _ in range(ROUNDS):
        began = time.monotonic()
        answers = ask_all(model)
        if len(answers) != len(SITES):
            raise RuntimeError(f"{len(answers)} of {len(SITES)} sites answered")
        model = np.mean(answers, axis=0, dtype=np.float32)
        rounds.append((began, time.monotonic()))
    if model.shape != (LENGTH,) or not (model == ROUNDS).all():
        raise RuntimeError("the rounds did not add up")
    Path(os.environ[TIMELINE]).write_text(json.dumps(rounds))
