"""Settings tried on the validation part with seed 1, which is none of the seven: ``search.csv``.

    WARDROUND_DATA=folder python experiments/ham10000-private/search.py [OUT] [--only PREFIX]

The test part plays no role: its figures are not even read. Every run checkpoints.
"""

from __future__ import annotations

import argparse
import csv
import os
from dataclasses import replace
from pathlib import Path

from rows import HERE, NO_NOISE, Runner

from wardround.rounds.plan import Plan
from wardround.study.folder import RunFolder
from wardround.study.spec import load, parse, to_table

SEED = 1
NUMEROUS = "inf"
"""So many sites that the noise in their mean does not matter."""
LARGE = ("rosendahl", "vidir_modern", "vidir_molemax")
COLUMNS = ("name", "pooled_auc", "site_mean_auc")

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
        for lr, batch, rounds in ((0.05, 64, 40), (0.02, 64, 40), (0.1, 64, 40), (0.05, 64, 100))
    },
    "private-r80-lr20": private(80, 20.0, 0.5),
    "private-r80-lr10": private(80, 10.0, 0.5),
    "private-r80-lr40": private(80, 40.0, 0.5),
    "private-r40-lr40": private(40, 40.0, 0.5),
    "private-r120-lr20": private(120, 20.0, 0.5),
    "private-r80-lr10-c1": private(80, 10.0, 1.0),
    "private-r80-lr40-c.25": private(80, 40.0, 0.25),
    "private-r80-lr20-order2": private(80, 20.0, 0.5, model={"order": 2}),
    "private-r80-lr20-average0": private(80, 20.0, 0.5, average_decay=0.0),
    "private-r40-lr20": private(40, 20.0, 0.5),
    "private-r20-lr40": private(20, 40.0, 0.5),
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
        for lr, clip, rounds in ((1.0, 0.5, 80), (0.3, 0.5, 80), (3.0, 0.5, 80))
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


def changed(file: str, changes: Changes) -> Plan:
    """Return a plan with changes, key by key."""
    table = to_table(load(HERE / file))
    for key, value in changes.items():
        table[key] = {**table[key], **value} if isinstance(value, dict) else value
    clip = table["algorithm"].get("clip")
    if clip is not None and table["protect"]:
        table["protect"][0]["norm"] = 256.0 * clip
    return replace(parse(table), seed=SEED)


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
            seen = RunFolder(runner.run(name, changed(file, changes))).records()[-1].validation
            site_mean = sum(float(seen[site]["auc"] or 0) for site in LARGE) / len(LARGE)
            rows.append((name, f"{seen['pooled']['auc']:.4f}", f"{site_mean:.4f}"))
            print(*rows[-1], flush=True)
    if not arguments.only:
        with (HERE / "search.csv").open("w", newline="") as table:
            csv.writer(table).writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main()
