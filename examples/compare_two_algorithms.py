"""Two algorithms on the same sites, compared in one report: the ten lines that most studies start from."""

from __future__ import annotations

import sys
from pathlib import Path

import wardround

ROUNDS = 2  # enough to see it run; 60 to see it learn


def main(out: Path) -> None:
    """Train FedAvg and FedBN on the embedded slide and write a report that shows both."""
    runs = []
    for algorithm in ("fedavg", "fedbn"):
        plan = wardround.parse(
            {
                "name": algorithm,
                "rounds": ROUNDS,
                "algorithm": {"name": algorithm},
                "training": {"steps": 5, "optimiser": "adamw", "learning_rate": 0.001},
                "evaluation": {"bootstrap": 200},
            }
        )
        runs.append(wardround.train(plan, out / algorithm, workers=0))
    print(wardround.write_report(runs[0], beside=runs[1:]))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/example"))
