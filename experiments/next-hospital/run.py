"""Train without one hospital and test there: every algorithm, and a choice that never saw the hospital.

    WARDROUND_DATA=folder python experiments/next-hospital/run.py [OUT] [--minutes N]

In four steps, each of which can be stopped and started again: FedAvg; the choice, by leaving out a second site among
those that train; the chosen method against FedAvg with twice the passes; every other method. Writes
``selection.csv``, ``results.json`` and ``results.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from compare import Choice, chosen_methods, results_of, write
from methods import FEDAVG, METHODS, SITES, without

from wardround.study.folder import RunFolder
from wardround.study.leave_out import turns_of
from wardround.study.run import train

SEEDS = (11, 12, 13, 14, 15)
CHOICE_SEEDS = (1, 2)
ROUNDS = 60
LONG_ROUNDS = 120


@dataclass(frozen=True)
class Runs:
    """Where runs lie, and how they are made.

    Attributes:
        out: folder of all runs.
        root: of the data.
        end_s: when to stop starting runs, by the process's clock; 0 goes on to the end.
    """

    out: Path
    root: Path
    end_s: float = 0.0

    def folder(self, method: str, sites: tuple[str, ...], seed: int, rounds: int = ROUNDS) -> Path:
        """Return where a run lies."""
        return self.out / f"{METHODS[method].name}-{rounds}" / f"{'+'.join(sorted(sites)) or 'nobody'}-{seed}"

    def make(self, method: str, sites: tuple[str, ...], seed: int, rounds: int = ROUNDS) -> bool:
        """Train unless it is done; say whether it is done now."""
        path = self.folder(method, sites, seed, rounds)
        if path.is_dir() and RunFolder(path).is_done():
            return True
        if self.end_s and time.monotonic() > self.end_s:
            return False
        began = time.process_time()
        train(without(method, tuple(sorted(sites)), seed, rounds), path, self.root, resume=True, workers=0)
        spent = time.process_time() - began
        with (self.out / "cpu.jsonl").open("a") as opened:
            opened.write(json.dumps({"run": path.relative_to(self.out).as_posix(), "cpu_s": round(spent, 2)}) + "\n")
        print(f"{path.relative_to(self.out)}: {spent:.0f} s", flush=True)
        return True


def inner_sites(runs: Runs, site: str) -> tuple[str, ...]:
    """Return which of the other sites can be left out beside `site`: not the last one that holds some class."""
    turns, _ = turns_of([without(FEDAVG, (site,), CHOICE_SEEDS[0], ROUNDS)], runs.out, runs.root)
    return tuple(turn.site for turn in turns)


def inner_runs(inner: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """Yield the runs that the choice rests on; one without two sites serves the choice for either."""
    pairs = sorted({tuple(sorted((site, other))) for site, others in inner.items() for other in others})
    for seed in CHOICE_SEEDS:
        for method in METHODS:
            yield from ((method, pair, seed) for pair in pairs)


def main() -> None:
    """Train what is missing, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/next-hospital"))
    parser.add_argument("--minutes", type=float, default=0.0, help="start no run after so long; 0 goes on to the end")
    arguments = parser.parse_args()
    end_s = time.monotonic() + 60 * arguments.minutes if arguments.minutes else 0.0
    arguments.out.mkdir(parents=True, exist_ok=True)
    runs = Runs(arguments.out, Path(os.environ["WARDROUND_DATA"]), end_s)
    done = all(runs.make(FEDAVG, (site,), seed) for seed in SEEDS for site in SITES)
    inner = {site: inner_sites(runs, site) for site in SITES}
    done = done and all(runs.make(*run) for run in inner_runs(inner))
    if not done:
        return
    choices: list[Choice] = chosen_methods(runs.folder, inner, CHOICE_SEEDS)
    print("\n".join(f"{choice.site}: {choice.method}" for choice in choices), flush=True)
    first = dict.fromkeys([FEDAVG, *(choice.method for choice in choices)])
    done = all(runs.make(method, (site,), seed) for seed in SEEDS for method in first for site in SITES)
    long = [(method, choice.site) for choice in choices for method in (FEDAVG, choice.method)]
    done = done and all(runs.make(method, (site,), seed, LONG_ROUNDS) for seed in SEEDS for method, site in long)
    done = done and all(runs.make(method, (site,), seed) for seed in SEEDS for method in METHODS for site in SITES)
    done = done and all(runs.make(FEDAVG, (), seed) for seed in SEEDS)
    if done:
        write(results_of(runs.folder, choices, SEEDS, (ROUNDS, LONG_ROUNDS)), choices, runs.out / "cpu.jsonl")


if __name__ == "__main__":
    main()
