"""Settings tried on the validation part with three seeds that are none of the seven: ``search.csv``.

    WARDROUND_DATA=folder python experiments/ham10000-private/search.py [OUT] [--only PREFIX]

The test part plays no role: its figures are not even read. Every run checkpoints.
"""

from __future__ import annotations

import argparse
import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from rows import HERE, NO_NOISE, Runner

from wardround.rounds.plan import Plan
from wardround.study.folder import RunFolder
from wardround.study.spec import load, parse, to_table

SEEDS = (1, 2, 3)
"""None of them is among the seven; settings of CNNs are tried with the first alone."""
NUMEROUS = "inf"
"""So many sites that the noise in their mean does not matter."""
LARGE = ("rosendahl", "vidir_modern", "vidir_molemax")
COLUMNS = ("name", "seeds", "pooled_auc", "site_mean_auc")

Changes = dict[str, dict[str, object] | object]


def private(rounds: int, lr: float, clip: float, **more: Changes) -> tuple[str, Changes]:
    """Return a setting of the private plan on fixed features."""
    changes: Changes = {
        "rounds": rounds,
        "training": {"learning_rate": lr},
        "algorithm": {"clip": clip},
        "evaluation": {"every": rounds},
    }
    return "private.toml", {**changes, **more}


SETTINGS: dict[str, tuple[str, Changes]] = {
    **{
        f"central-lr{lr}-b{batch}-e{rounds}": (
            "features-central.toml",
            {
                "rounds": rounds,
                "training": {"learning_rate": lr, "batch_size": batch},
                "evaluation": {"every": rounds},
            },
        )
        for lr, batch, rounds in ((0.05, 64, 40), (0.05, 64, 100), (0.02, 64, 100))
    },
    **{
        f"private-r{rounds}-lr{lr}-c{clip}": private(rounds, lr, clip)
        for rounds, lr, clip in (
            (20, 40.0, 0.5),
            (40, 20.0, 0.5),
            (40, 40.0, 0.5),
            (40, 20.0, 1.0),
            (60, 30.0, 0.5),
            (80, 20.0, 0.5),
        )
    },
    "private-average0": private(40, 20.0, 1.0, average_decay=0.0),
    "private-order2": private(40, 20.0, 1.0, model={"order": 2}),
    **{
        f"scratch-lr{lr}-c{clip}-r{rounds}": (
            "scratch.toml",
            {
                "rounds": rounds,
                "training": {"learning_rate": lr},
                "algorithm": {"clip": clip},
                "evaluation": {"every": rounds},
            },
        )
        for lr, clip, rounds in ((1.0, 0.5, 80), (0.3, 0.5, 80), (0.3, 0.5, 40))
    },
    **{
        f"site-sites{NUMEROUS}-norm{norm}-r{rounds}": (
            "site.toml",
            {
                "rounds": rounds,
                "privacy": {"epsilon": 0.0, "noise_multiplier": NO_NOISE},
                "protect": [{"stage": "clip", "norm": norm}, {"stage": "noise", "at": "coordinator"}],
                "evaluation": {"every": rounds},
            },
        )
        for norm, rounds in ((1.0, 10), (3.0, 10), (3.0, 5))
    },
}
"""Name -> plan file and what changes in it."""


def changed(file: str, changes: Changes, seed: int) -> Plan:
    """Return a plan with changes, key by key."""
    table = to_table(load(HERE / file))
    for key, value in changes.items():
        table[key] = {**table[key], **value} if isinstance(value, dict) else value
    clip = table["algorithm"].get("clip")
    if clip is not None and table["protect"]:
        table["protect"][0]["norm"] = 256.0 * clip
    return replace(parse(table), seed=seed)


def validated(run: Path) -> tuple[float, float]:
    """Return a run's last pooled and site-mean AUC on the validation part."""
    seen = RunFolder(run).records()[-1].validation
    return float(seen["pooled"]["auc"] or 0), sum(float(seen[site]["auc"] or 0) for site in LARGE) / len(LARGE)


def main() -> None:
    """Train what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/ham10000-private-search"))
    parser.add_argument("--only", default="", help="settings whose names begin with this")
    arguments = parser.parse_args()
    runner = Runner(arguments.out, Path(os.environ["WARDROUND_DATA"]))
    rows = []
    for name, (file, changes) in SETTINGS.items():
        if name.startswith(arguments.only):
            seeds = SEEDS[:1] if name.startswith("scratch") else SEEDS
            found = [validated(runner.run(f"{name}-{seed}", changed(file, changes, seed))) for seed in seeds]
            rows.append((name, len(seeds), *(f"{value:.4f}" for value in np.mean(found, axis=0))))
            print(*rows[-1], flush=True)
    if not arguments.only:
        with (HERE / "search.csv").open("w", newline="") as table:
            csv.writer(table).writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main()
