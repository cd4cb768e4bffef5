"""What a defence costs: pooled AUC and F1 of the trained network, with and without."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from settings import GAUSSIAN, OURS, RMS, SHARES, STRENGTHS, TRAINED, defended, noises

from wardround.algorithms.defences import Defence, Soteria
from wardround.rounds.listener import Silent
from wardround.study.run import train

UNDEFENDED = "none"
SEEDS = (1, 2, 3, 4, 5)
FRONTIER_SEEDS = (1,)
PROBES = 2


def runs() -> list[tuple[str, Defence | None, int]]:
    """Return name, defence and seed of every training run, those that decide first."""
    headline = {UNDEFENDED: None, f"{OURS} {RMS}": noises()[OURS], f"{GAUSSIAN} {RMS}": noises()[GAUSSIAN]}
    made = [(name, defence, seed) for seed in SEEDS for name, defence in headline.items()]
    for seed in FRONTIER_SEEDS:
        for strength in STRENGTHS:
            made += [(f"{name} {strength}", noises(strength)[name], seed) for name in (OURS, GAUSSIAN)]
        made += [(f"Soteria {share}", Soteria(share=share, probes=PROBES), seed) for share in SHARES]
    return list({(name, seed): (name, defence, seed) for name, defence, seed in made}.values())


def folder(out: Path, name: str, seed: int) -> Path:
    """Return the run folder of one run."""
    return out / "utility" / name / str(seed)


def measure(data: Path, out: Path) -> None:
    """Train what is not trained yet."""
    for name, defence, seed in runs():
        where = folder(out, name, seed)
        if (where / "summary.json").exists():
            continue
        shutil.rmtree(where, ignore_errors=True)
        where.parent.mkdir(parents=True, exist_ok=True)
        plan = dataclasses.replace(defended(TRAINED, defence), seed=seed)
        train(plan, where, data, workers=0, listener=Silent())
        print("utility", name, seed, flush=True)
