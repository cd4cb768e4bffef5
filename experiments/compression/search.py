"""Which settings the compared methods get: one seed, the validation part alone.

    WARDROUND_DATA=folder python experiments/compression/search.py [OUT]

Writes ``search.csv``. Every run checkpoints; stop it and start it again as you like.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
from methods import FEDERATED, HERE, SEARCH, run

from wardround.rounds.plan import Plan
from wardround.study.folder import RunFolder

sys.path.insert(0, str(FEDERATED))

from reproduce import LARGE


def main() -> None:
    """Train what is missing and write the table."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/compression-search")
    rows: list[dict[str, Any]] = []
    for name, plan in SEARCH.items():
        rows.append(_row(name, plan, out / name))
        print(rows[-1], flush=True)
    with (HERE / "search.csv").open("w", newline="") as opened:
        table = csv.DictWriter(opened, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _row(name: str, plan: Plan, path: Path) -> dict[str, Any]:
    run(plan, path)
    folder = RunFolder(path)
    records = folder.records()
    validation = records[-1].validation
    return {
        "name": name,
        "val_pooled_auc": round(validation["pooled"]["auc"] or 0, 4),
        "val_site_mean_auc": round(float(np.mean([validation[site]["auc"] for site in LARGE])), 4),
        "bytes_up_per_site_round": round(sum(r.bytes_up for r in records) / sum(len(r.accepted) for r in records)),
        "train_s": round(folder.summary()["seconds"]["train"]),
    }


if __name__ == "__main__":
    main()
