"""What a defence costs: pooled AUC and F1 of the trained network, with and without."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from settings import (
    CENSOR,
    CHOSEN,
    GAUSSIAN,
    GRID,
    HAM,
    OURS,
    PNEUMONIA,
    RMS,
    SHARES,
    STRENGTHS,
    TRAINED,
    ats,
    defended,
    noises,
    on_updates,
    soteria,
)

from wardround.algorithms.defences import Defence
from wardround.rounds.listener import Silent
from wardround.study.run import train

UNDEFENDED = "none"
SEEDS = (1, 2, 3, 4, 5)
MANY_SEEDS = tuple(range(1, 13))
"""PneumoniaMNIST at the chosen strength: a run takes seconds, and a cost below .01 takes many to show."""
FRONTIER_SEEDS = (1, 2, 3)
PILOT_SEEDS = tuple(range(101, 104))
"""Of the choice of the strength, on validation images; no table of costs has them."""

Run = tuple[str, str, Defence | None, int]
"""Data set, name, defence and training seed."""


def at(name: str, strength: float) -> str:
    """Return the name of a noise at a strength."""
    return f"{name} {strength:g}"


def _noisy(strength: float) -> dict[str, Defence]:
    return {at(name, strength): noises(strength)[name] for name in (OURS, GAUSSIAN)}


def headline() -> list[Run]:
    """Return the runs at 20 dB and at the chosen strength, seed by seed."""
    made: dict[str, Defence | None] = {UNDEFENDED: None, **_noisy(RMS), **_noisy(CHOSEN)}
    return [(data, name, defence, seed) for seed in SEEDS for data in TRAINED for name, defence in made.items()]


def precise() -> list[Run]:
    """Return the runs that are to decide whether the chosen strength costs less than .01 of F1."""
    made = {UNDEFENDED: None, at(OURS, CHOSEN): noises(CHOSEN)[OURS]}
    return [(PNEUMONIA, name, defence, seed) for seed in MANY_SEEDS for name, defence in made.items()]


def others() -> list[Run]:
    """Return the runs of the defences that are compared at one setting each; the one that takes longest comes last."""
    named: dict[str, Defence] = {"ATS": ats(PNEUMONIA), **on_updates()}
    slow = {CENSOR: named.pop(CENSOR)}
    return [(PNEUMONIA, name, one, seed) for part in (named, slow) for seed in SEEDS for name, one in part.items()]


def shadows() -> list[Run]:
    """Return the runs of the shadow defence, which attacks itself at every step."""
    made = {name: defence for name, defence in noises().items() if name in ("shadow, intended", "shadow, released")}
    return [(PNEUMONIA, name, defence, seed) for seed in SEEDS for name, defence in made.items()]


def frontier(seeds: Iterable[int] = FRONTIER_SEEDS) -> list[Run]:
    """Return the runs at all strengths, seed by seed."""
    made: list[Run] = []
    for seed in seeds:
        for strength in STRENGTHS:
            made += [(HAM, name, defence, seed) for name, defence in _noisy(strength).items()]
        rest = {**soteria(SHARES), **on_updates(), "ATS": ats(HAM)}
        made += [(HAM, name, defence, seed) for name, defence in rest.items() if name != CENSOR]
    return made


def pilot() -> list[Run]:
    """Return the runs among which the strength is chosen."""
    made: dict[str, Defence | None] = {UNDEFENDED: None, **{at(OURS, one): noises(one)[OURS] for one in GRID}}
    return [(PNEUMONIA, name, defence, seed) for seed in PILOT_SEEDS for name, defence in made.items()]


def every() -> list[Run]:
    """Return each run of the tables of costs once."""
    runs = {(data, name, seed): (data, name, defence, seed) for data, name, defence, seed in _all()}
    return list(runs.values())


def _all() -> Iterator[Run]:
    for stage in (headline, precise, others, shadows, frontier):
        yield from stage()


def folder(out: Path, data: str, name: str, seed: int) -> Path:
    """Return the run folder of one run."""
    return out / "utility" / data / name / str(seed)


def measure(data: Path, out: Path, runs: Iterable[Run]) -> None:
    """Train what is not trained yet. A folder of another plan is refused."""
    for source, name, defence, seed in runs:
        where = folder(out, source, name, seed)
        fresh = not (where / "summary.json").exists()
        plan = dataclasses.replace(defended(TRAINED[source], defence), seed=seed)
        if seed in PILOT_SEEDS:
            plan = dataclasses.replace(plan, evaluation=dataclasses.replace(plan.evaluation, every=plan.rounds))
        train(plan, where, data, resume=True, workers=0, listener=Silent())
        if fresh:
            print("utility", source, name, seed, flush=True)


def tested(where: Path) -> tuple[float, float, float] | None:
    """Return pooled AUC, macro F1 and micro F1 on test images; ``None`` before the run is done."""
    if not (where / "summary.json").exists():
        return None
    pooled = json.loads((where / "summary.json").read_text())["metrics"]["pooled"]
    shown = load_file(where / "predictions.safetensors")
    right = float(np.mean(shown["probabilities"].argmax(1) == shown["labels"]))
    return pooled["auc"], pooled["f1"], right


def validated(where: Path) -> float | None:
    """Return the pooled macro F1 on validation images after the last round; ``None`` before the run is done."""
    if not (where / "summary.json").exists():
        return None
    last = json.loads((where / "rounds.jsonl").read_text().splitlines()[-1])
    return float(last["validation"]["pooled"]["f1"])
