"""The harm of marks as a full grid: pattern x size x length of the update x share of marked images, under the mean.

    WARDROUND_DATA=folder python experiments/fedgan-screens/grid.py [OUT] [--minutes M]

One of four equal sites attacks, on the bed of ``run.py``, whose judge and start it shares where OUT is the same. Each
finished run is a line of ``OUT/grid.jsonl``; started again, it goes on after the last. One seed after the other runs
the whole grid. Writes ``grid.json`` and ``grid.png`` beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from grid_figure import MEASURES, draw_grid
from rows import DEALT, PLAIN, plan_of, scaled, trigger
from run import _judge, _sites, _start, judged

sys.path.insert(0, str(Path(__file__).parents[1] / "fedgan-vanilla"))

from judge import generator_of
from seeds import interval

from wardround.fabric.local import LocalFabric
from wardround.rounds.listener import Silent
from wardround.study.build import opener_for
from wardround.study.run import run_plan

HERE = Path(__file__).resolve().parent
BY = "iid, 4"
SEEDS = (81, 82, 83)
TIMES, SHARES = (1.0, 3.0, 5.0), (1.0, 0.5)
SQUARES = {f"{size} px": {"size_px": size} for size in (2, 4, 6)}
MARKS: dict[str, dict[str, dict[str, Any]]] = {
    "white": SQUARES,
    "noise": {size: {"pattern": "noise", **look} for size, look in SQUARES.items()},
    "sinusoid": {size: {"pattern": "sinusoid", **look} for size, look in SQUARES.items()},
    "blended .5": {size: {"opacity": 0.5, **look} for size, look in SQUARES.items()},
    "low frequency": {
        f"opacity {str(opacity)[1:]}": {"pattern": "low_frequency", "opacity": opacity} for opacity in (0.15, 0.3, 0.6)
    },
    "warped": {f"by {by_px:g} px": {"pattern": "warped", "displacement_px": by_px} for by_px in (0.25, 0.5, 1.0)},
}
"""Pattern -> size -> how the mark differs from the table's. What lies over the whole image has a strength for a size;
1 px is the most that a warp may move 16 of them."""


@dataclass(frozen=True)
class Cell:
    """One attack, or none, with the mark that is sought.

    Attributes:
        pattern: key of `MARKS`.
        size: key below it.
        times: length of the update; 0 where nobody attacks.
        share: of marked images; 0 where nobody attacks.
    """

    pattern: str
    size: str
    times: float
    share: float

    @property
    def tables(self) -> list[dict[str, Any]]:
        """Return the ``[[attack]]`` tables; without an attack, those of the mark that is sought all the same."""
        site = DEALT[BY].culprits[:1]
        mark = trigger(site, **MARKS[self.pattern][self.size], share=self.share or 1.0)
        return [mark, scaled(site, self.times)]


QUIET = [Cell(pattern, size, 0, 0) for pattern, sizes in MARKS.items() for size in sizes]
GRID = [
    Cell(pattern, size, times, share)
    for share in SHARES
    for times in TIMES
    for pattern, sizes in MARKS.items()
    for size in sizes
]


def measured(seed: int, cells: list[Cell], attack: list[dict[str, Any]], out: Path, root: Path) -> Iterator[Any]:
    """Train once, and yield what came of it for each cell's mark."""
    judge, (sites, _) = _judge(DEALT[BY].data, out, root), _sites(BY, seed, root)
    began = time.process_time()
    plan = plan_of(BY, attack, PLAIN, seed, _start(DEALT[BY].data, out, root))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        fabric = LocalFabric(tuple(sites), opener_for(plan, sites, Path(folder) / "sites", root))
        run_plan(plan, fabric, path, False, Silent(), root, None, sites)
        task, network = generator_of(path)
    for cell in cells:
        said = {**vars(cell), "seed": seed, **judged(judge, task, network, cell.tables)}
        yield {**said, "cpu_s": round(time.process_time() - began, 2)}
        began = time.process_time()


def summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return means over the seeds with their 95% intervals (Student's t), for each cell, and the single values."""
    cells = []
    for cell in (*QUIET, *GRID):
        runs = [line for line in lines if Cell(*(line[key] for key in vars(cell))) == cell]
        if runs:
            means = {name: interval([run[name] for run in runs]) for name in MEASURES}
            seeds = {str(run["seed"]): [round(run[name], 4) for name in MEASURES] for run in runs}
            cells.append({**vars(cell), **means, "by_seed": seeds})
    cpu_s = round(sum(line["cpu_s"] for line in lines))
    return {"measures": list(MEASURES), "seeds": SEEDS, "runs": _runs(lines), "cpu_s": cpu_s, "cells": cells}


def _runs(lines: list[dict[str, Any]]) -> int:
    return len({line["seed"] for line in lines if not line["times"]}) + sum(line["times"] > 0 for line in lines)


def main() -> None:
    """Make what is missing, sum up, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", default="runs/fedgan-screens", type=Path)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further run after so many")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.out.mkdir(parents=True, exist_ok=True)
    ends_s, root = time.monotonic() + 60 * asked.minutes, Path(os.environ["WARDROUND_DATA"])
    file = asked.out / "grid.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    jobs = [(seed, cells) for seed in SEEDS for cells in (QUIET, *([cell] for cell in GRID))]
    for place, (seed, cells) in enumerate(jobs):
        if any(line["seed"] == seed and Cell(*(line[key] for key in vars(cells[0]))) == cells[0] for line in lines):
            continue
        if time.monotonic() > ends_s:
            break
        found = list(measured(seed, cells, cells[0].tables if cells[0].times else [], asked.out, root))
        with file.open("a") as opened:
            opened.write("".join(json.dumps(line) + "\n" for line in found))
        lines += found
        print(f"{place + 1}/{len(jobs)}", *list(found[0].values())[:8], flush=True)
    said = summary(lines)
    (HERE / "grid.json").write_text(json.dumps(said, indent=1) + "\n")
    draw_grid(said["cells"], {pattern: list(sizes) for pattern, sizes in MARKS.items()}, HERE / "grid.png")


if __name__ == "__main__":
    main()
