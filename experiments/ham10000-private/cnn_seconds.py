"""Seconds and bytes of the CNN without privacy: central, federated and sealed, one after the other in one process.

    WARDROUND_DATA=folder python experiments/ham10000-private/cnn_seconds.py [OUT]

A tenth of the rounds of the plans whose AUCs the table quotes; every round does the same work. Writes
``cnn-seconds.csv``. One thread; CPU seconds, those of loading the images once for all rows not among them.
"""

from __future__ import annotations

import argparse
import csv
import os
from dataclasses import replace
from pathlib import Path

from rows import HERE, ROWS, Runner

from wardround.rounds.evaluation import Evaluation
from wardround.study.folder import RunFolder

NAMES = ("central", "federated", "sealed")
SEED = 11
SHARE = 10
COLUMNS = ("row", "rounds", "cpu_s", "cpu_s_of_all_rounds", "MB_up_of_all_rounds", "MB_down_of_all_rounds")


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/ham10000-private"))
    runner = Runner(parser.parse_args().out, Path(os.environ["WARDROUND_DATA"]))
    rows = []
    for name in NAMES:
        plan = ROWS[name].plan(SEED)
        short = replace(plan, rounds=plan.rounds // SHARE, evaluation=Evaluation(every=0, bootstrap=0))
        moved = RunFolder(runner.run(f"seconds-{name}", short)).summary()["bytes"]
        cpu_s = runner.cpu_s(f"seconds-{name}")
        megabytes = ("–", "–") if name == "central" else (f"{moved[way] * SHARE / 1e6:.1f}" for way in ("up", "down"))
        rows.append((name, short.rounds, f"{cpu_s:.1f}", f"{cpu_s * SHARE:.0f}", *megabytes))
        print(*rows[-1], flush=True)
    with (HERE / "cnn-seconds.csv").open("w", newline="") as table:
        csv.writer(table).writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main()
