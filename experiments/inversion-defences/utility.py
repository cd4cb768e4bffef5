"""What a defence costs: pooled AUC and F1 of the trained network, with and without."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from settings import GAUSSIAN, HAM, OURS, RMS, SHARES, STRENGTHS, TRAINED, defended, noises

from wardround.algorithms.defences import Defence, Soteria
from wardround.rounds.listener import Silent
from wardround.study.run import train

UNDEFENDED = "none"
SEEDS = (1, 2, 3, 4, 5)
FRONTIER_SEEDS = (1,)
PROBES = 2


Run = tuple[str, str, Defence | None, int]
"""Data set, name, defence and training seed."""


def headline() -> list[Run]:
    """Return the runs at the one energy, seed by seed."""
    made = {UNDEFENDED: None, f"{OURS} {RMS}": noises()[OURS], f"{GAUSSIAN} {RMS}": noises()[GAUSSIAN]}
    return [(data, name, defence, seed) for seed in SEEDS for data in TRAINED for name, defence in made.items()]


def frontier() -> list[Run]:
    """Return the runs at the other strengths."""
    made: list[Run] = []
    for seed in FRONTIER_SEEDS:
        for strength in STRENGTHS:
            made += [(HAM, f"{name} {strength}", noises(strength)[name], seed) for name in (OURS, GAUSSIAN)]
        made += [(HAM, f"Soteria {share}", Soteria(share=share, probes=PROBES), seed) for share in SHARES]
    known = {(data, name, seed) for data, name, _, seed in headline()}
    return [run for run in made if (run[0], run[1], run[3]) not in known]


def folder(out: Path, data: str, name: str, seed: int) -> Path:
    """Return the run folder of one run."""
    return out / "utility" / data / name / str(seed)


def measure(data: Path, out: Path, runs: list[Run]) -> None:
    """Train what is not trained yet."""
    for source, name, defence, seed in runs:
        where = folder(out, source, name, seed)
        if (where / "summary.json").exists():
            continue
        for left in where.parent.glob(f"{where.name}*"):  # with the coordinator's folder beside it
            shutil.rmtree(left)
        where.parent.mkdir(parents=True, exist_ok=True)
        plan = dataclasses.replace(defended(TRAINED[source], defence), seed=seed)
        train(plan, where, data, workers=0, listener=Silent())
        print("utility", source, name, seed, flush=True)
