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
    """Return the array as it is."""
    return array


def coordinate(ask_all: Callable[[np.ndarray], Sequence[np.ndarray]]) -> None:
    """Run the rounds and write when each began and ended, on the clock that all processes of a machine share.

    Args:
        ask_all: sends an array to all sites and returns their answers.

    Raises:
        RuntimeError: an answer is missing or wrong.
    """
    rounds = []
    for index in range(ROUNDS):
        array = np.arange(LENGTH, dtype=np.float32) + index  # another one each time, so that none can be remembered
        began = time.monotonic()
        answers = ask_all(array)
        rounds.append((began, time.monotonic()))
        if len(answers) != len(SITES) or not all(np.array_equal(array, answer) for answer in answers):
            raise RuntimeError(f"of {len(SITES)} sites, {len(answers)} answered, or not with what they were sent")
    Path(os.environ[TIMELINE]).write_text(json.dumps(rounds))
