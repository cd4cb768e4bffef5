"""The attack over the wire: the product's sites and coordinator, and what ``wardround attack`` makes of the updates."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from settings import ANTI, GAUSSIAN, OURS, SHUFFLED, VICTIM, defended, noises, on_updates

from wardround.algorithms.defences import Defence
from wardround.study.attack import RESULT_FILE, Assault, attack

STEPS = 300
SEEDS, MANY, FEW = (7,), 8, 4
UNDEFENDED = "none"


def rows() -> list[tuple[str, Defence | None, str, int]]:
    """Return name, defence, attack and images a seed of every row, those that decide first."""
    noisy, updates = noises(), on_updates()
    made: list[tuple[str, Defence | None, str, int]] = [
        (UNDEFENDED, None, "idlg", FEW),
        (OURS, noisy[OURS], "idlg", MANY),
        (GAUSSIAN, noisy[GAUSSIAN], "idlg", FEW),
    ]
    for name, defence in reversed(updates.items()):  # the strongest Soteria first
        if _leaves_zeros(name):
            made.append((name, defence, "idlg-nonzero", FEW))
        made.append((name, defence, "idlg", FEW))
    others = ("shadow, released", "shadow, intended", SHUFFLED, ANTI)
    return made + [(name, noisy[name], "idlg", FEW) for name in others]


def _leaves_zeros(name: str) -> bool:
    return name.startswith(("pruning", "Soteria"))


def folder(out: Path, name: str, attacked_with: str, seed: int) -> Path:
    """Return where a row's attack on one seed is kept."""
    return out / "wire" / f"{name}, {attacked_with}" / str(seed)


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
