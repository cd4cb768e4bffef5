"""Train without one hospital and test there: every algorithm, and a choice that never saw the hospital.

    WARDROUND_DATA=folder python experiments/next-hospital/run.py [OUT] [--so-far]

In four steps, each of which can be stopped and started again: FedAvg; the choice, by leaving out a second site among
those that train; the chosen method against FedAvg, and again with twice the passes; every algorithm. Writes
``selection.csv``, ``results.json`` and ``results.md``. ``--so-far`` trains nothing and compares what is done.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compare import chosen_methods, results_of, write
from methods import ALGORITHMS, FEDAVG, METHODS, SITES, without

from wardround.study.folder import RunFolder
from wardround.study.leave_out import turns_of
from wardround.study.run import train

SEEDS = (11, 12, 13, 14, 15)
CHOICE_SEEDS = (1,)
ROUNDS = 60
LONG_ROUNDS = 120
LONG_SEEDS = SEEDS[:3]


@dataclass(frozen=True)
class Runs:
    """Where runs lie, and how they are made.

    Attributes:
        out: folder of all runs.
        root: of the data.
    """

    out: Path
    root: Path

    def folder(self, method: str, sites: tuple[str, ...], seed: int, rounds: int = ROUNDS) -> Path:
        """Return where a run lies."""
        return self.out / f"{METHODS[method].name}-{rounds}" / f"{'+'.join(sorted(sites)) or 'nobody'}-{seed}"

    def make(self, method: str, sites: tuple[str, ...], seed: int, rounds: int = ROUNDS) -> None:
        """Train on one core, unless it is done."""
        path = self.folder(method, sites, seed, rounds)
        if path.is_dir() and RunFolder(path).is_done():
            return
        began = time.process_time()
        train(without(method, tuple(sorted(sites)), seed, rounds), path, self.root, resume=True, workers=0)
        spent = time.process_time() - began
        with (self.out / "cpu.jsonl").open("a") as opened:
            opened.write(json.dumps({"run": path.relative_to(self.out).as_posix(), "cpu_s": round(spent, 2)}) + "\n")
        print(f"{path.relative_to(self.out)}: {spent:.0f} s", flush=True)

    def make_all(self, methods: Iterable[str]) -> None:
        """Leave out each site with each seed; one method after the other, so that what is done can be compared."""
        for method in methods:
            for seed in SEEDS:
                for site in SITES:
                    self.make(method, (site,), seed)

    def has(self, method: str, sites: Iterable[str], seeds: Sequence[int] = SEEDS, rounds: int = ROUNDS) -> bool:
        """Whether a method is done with every seed at each of the sites."""
        return all(RunFolder(self.folder(method, (s,), seed, rounds)).is_done() for s in sites for seed in seeds)


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


def own_runs(chosen: Mapping[str, str], seeds: Sequence[int] = SEEDS) -> Iterator[tuple[str, str, int]]:
    """Yield method, site and seed of the runs that the choice is judged by."""
    for seed in seeds:
        yield from ((method, site, seed) for site, method in chosen.items())


def main() -> None:
    """Train what is missing, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/next-hospital"))
    parser.add_argument("--so-far", action="store_true", help="train nothing, compare what is done with every seed")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    runs = Runs(arguments.out, Path(os.environ["WARDROUND_DATA"]))
    inner = {site: inner_sites(runs, site) for site in SITES}
    if not arguments.so_far:
        runs.make_all([FEDAVG])
        for method, sites, seed in inner_runs(inner):
            runs.make(method, sites, seed)
    choices = chosen_methods(runs.folder, inner, CHOICE_SEEDS)
    chosen = {choice.site: choice.method for choice in choices}
    print("\n".join(f"{site}: {method}" for site, method in chosen.items()), flush=True)
    methods = dict.fromkeys([*ALGORITHMS, *chosen.values()])
    if not arguments.so_far:
        for method, site, seed in own_runs(chosen):
            runs.make(method, (site,), seed)
        for method, site, seed in own_runs(chosen, LONG_SEEDS):
            runs.make(FEDAVG, (site,), seed, LONG_ROUNDS)
            runs.make(method, (site,), seed, LONG_ROUNDS)
        runs.make_all(methods)
        for seed in SEEDS:
            runs.make(FEDAVG, (), seed)
    done = [method for method in methods if runs.has(method, SITES)]
    pairs = [(each, site) for site, method in chosen.items() for each in (FEDAVG, method)]
    long = all(runs.has(method, [site], LONG_SEEDS, LONG_ROUNDS) for method, site in pairs)
    compared = {ROUNDS: SEEDS} | ({LONG_ROUNDS: LONG_SEEDS} if long else {})
    results = results_of(runs.folder, choices, done, SEEDS, compared)
    write(results, choices, runs.out / "cpu.jsonl")


if __name__ == "__main__":
    main()
