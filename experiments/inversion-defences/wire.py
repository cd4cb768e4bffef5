"""The attack over the wire: the product's sites and coordinator, and what ``wardround attack`` makes of the updates."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from settings import GAUSSIAN, OURS, VICTIM, defended, noises

from wardround.algorithms.defences import Defence
from wardround.study.attack import RESULT_FILE, Assault, attack

STEPS = 300
SEEDS, MANY, FEW = (7,), 8, 4
UNDEFENDED = "none"


def rows() -> list[tuple[str, Defence | None, str, int]]:
    """Return name, defence, attack and images a seed of every row, those that decide first."""
    noisy = noises()
    return [
        (UNDEFENDED, None, "idlg", FEW),
        (OURS, noisy[OURS], "idlg", MANY),
        (GAUSSIAN, noisy[GAUSSIAN], "idlg", FEW),
    ]


def folder(out: Path, name: str, attacked_with: str, seed: int) -> Path:
    """Return where a row's attack on one seed is kept."""
    return out / "wire" / f"{name}, {attacked_with}" / str(seed)


def leaks(out: Path, name: str, attacked_with: str) -> list[dict[str, Any]]:
    """Return what a row's attacks gave away of each image; none before all of them are done."""
    paths = [folder(out, name, attacked_with, seed) / RESULT_FILE for seed in SEEDS]
    if not all(path.exists() for path in paths):
        return []
    return [leak for path in paths for update in json.loads(path.read_text())["updates"] for leak in update["leaks"]]


def measure(data: Path, out: Path) -> None:
    """Attack what is not attacked yet."""
    for name, defence, attacked_with, updates in rows():
        for seed in SEEDS:
            where = folder(out, name, attacked_with, seed)
            if (where / RESULT_FILE).exists():
                continue
            shutil.rmtree(where, ignore_errors=True)
            plan = dataclasses.replace(defended(VICTIM, defence), seed=seed)
            attack(plan, Assault(attack=attacked_with, updates=updates, steps=STEPS), where, data, workers=0)
            print("wire", name, attacked_with, seed, flush=True)
