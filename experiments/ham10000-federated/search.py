"""The search behind ``federated.toml`` and ``central.toml``: validation part only, one seed, 24 passes over the images.

    WARDROUND_DATA=folder python experiments/ham10000-federated/search.py [OUT]

Writes ``search.csv``. Every run checkpoints; a run that is done is not repeated.
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from wardround.study.folder import RunFolder
from wardround.study.run import train
from wardround.study.spec import parse

HERE = Path(__file__).parent
LARGE = ("rosendahl", "vidir_modern", "vidir_molemax")

BASE = {
    "seed": 1,
    "rounds": 240,
    "data.source": "ham10000",
    "data.size_px": 32,
    "training.epochs": 0.1,
    "training.learning_rate": 0.1,
    "training.augment": "dihedral",
    "training.schedule": "cosine",
    "training.precision": "float32",
    "evaluation.every": 80,
    "evaluation.bootstrap": 0,
}
DECAY = {"training.weight_decay": 0.0005}
SHORT = {"training.epochs": 0.05, "rounds": 480, "evaluation.every": 160}
HEAVY_BALL = {"training.momentum": 0.9, "training.keep_optimiser": True, **DECAY}
ADAMW = {
    "training.optimiser": "adamw",
    "training.learning_rate": 0.002,
    "training.weight_decay": 0.01,
    "training.keep_optimiser": True,
}


SEARCH: dict[str, dict[str, Any]] = {
    "c-lr02": {"algorithm.name": "central", **HEAVY_BALL, "training.learning_rate": 0.02},
    "c-lr05": {"algorithm.name": "central", **HEAVY_BALL, "training.learning_rate": 0.05},
    "c-lr1": {"algorithm.name": "central", **HEAVY_BALL, "training.learning_rate": 0.1},
    "c-ada": {"algorithm.name": "central", **ADAMW},
    "c-ada-lr1": {"algorithm.name": "central", **ADAMW, "training.learning_rate": 0.001},
    "c-ada-lr4": {"algorithm.name": "central", **ADAMW, "training.learning_rate": 0.004},
    "c-ada-b16": {"algorithm.name": "central", **ADAMW, "training.batch_size": 16},
    "f-lr1": DECAY,
    "f-lr2-m0": {**DECAY, "training.learning_rate": 0.3},
    "f-sm9": {**DECAY, "server.momentum": 0.8},
    "f-lm9": {**HEAVY_BALL, "training.learning_rate": 0.05},
    "f-scaf": {**DECAY, "algorithm.name": "scaffold"},
    "f20-lr1-sm9": {**DECAY, **SHORT, "server.momentum": 0.9},
    "f20-lr2-sm8": {
        **DECAY,
        **SHORT,
        "training.learning_rate": 0.2,
        "server.momentum": 0.8,
        "average_decay": 0.95,
    },
    "f20-scaf-sm9": {**DECAY, **SHORT, "algorithm.name": "scaffold", "server.momentum": 0.9},
    "f10-ada-sm5": {**ADAMW, "server.momentum": 0.5},
    "f10-bn-sm8": {**DECAY, "algorithm.name": "fedbn", "server.momentum": 0.8},
    "f20-bn-sm9": {**DECAY, **SHORT, "algorithm.name": "fedbn", "server.momentum": 0.9},
    "f20-bn-lr2-sm9": {
        **DECAY,
        **SHORT,
        "algorithm.name": "fedbn",
        "training.learning_rate": 0.2,
        "server.momentum": 0.9,
    },
    "f20-b16-sm9": {
        **DECAY,
        **SHORT,
        "training.batch_size": 16,
        "training.learning_rate": 0.05,
        "server.momentum": 0.9,
    },
    "f20-bn-b16-sm9": {
        **DECAY,
        **SHORT,
        "algorithm.name": "fedbn",
        "training.batch_size": 16,
        "training.learning_rate": 0.05,
        "server.momentum": 0.9,
    },
    "f10-bn-ada-sm5": {**ADAMW, "algorithm.name": "fedbn", "server.momentum": 0.5},
    "f10-bn-ada-sm7": {**ADAMW, "algorithm.name": "fedbn", "server.momentum": 0.7},
    "f10-bn-ada-lr4-sm5": {
        **ADAMW,
        "algorithm.name": "fedbn",
        "training.learning_rate": 0.004,
        "server.momentum": 0.5,
    },
    "f10-bn-ada-b16-sm5": {
        **ADAMW,
        "algorithm.name": "fedbn",
        "training.batch_size": 16,
        "server.momentum": 0.5,
    },
    "f10-bn-ada-b16-sm7": {
        **ADAMW,
        "algorithm.name": "fedbn",
        "training.batch_size": 16,
        "server.momentum": 0.7,
    },
    "f20-head-sm9": {**DECAY, **SHORT, "algorithm.personal": "head", "server.momentum": 0.9},
}


def main() -> None:
    """Train what is missing and write the table."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/ham10000-search")
    rows = [_row(name, changes, out / name) for name, changes in SEARCH.items()]
    with (HERE / "search.csv").open("w", newline="") as opened:
        table = csv.DictWriter(opened, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _row(name: str, changes: dict[str, Any], path: Path) -> dict[str, Any]:
    plan = parse(_nested({"name": name, **BASE, **changes}))
    train(plan, path, Path(os.environ["WARDROUND_DATA"]), resume=True, workers=0)
    folder = RunFolder(path)
    validation = folder.records()[-1].validation
    return {
        "name": name,
        "val_pooled_auc": round(validation["pooled"]["auc"] or 0, 4),
        "val_site_mean_auc": round(float(np.mean([validation[site]["auc"] for site in LARGE])), 4),
        "train_s": round(folder.summary()["seconds"]["train"]),
        "settings": " ".join(f"{key}={value}" for key, value in changes.items()),
    }


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in flat.items():
        *path, last = key.split(".")
        inner = table
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return table


if __name__ == "__main__":
    main()
