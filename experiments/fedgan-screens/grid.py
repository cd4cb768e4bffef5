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
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from grid_figure import MEASURES, draw_grid
from rows import DEALT, PLAIN, plan_of, scaled, trigger
from run import judge_for, judged, sites_dealt, start_for

sys.path.insert(0, str(Path(__file__).parents[1] / "fedgan-vanilla"))

from judge import generator_of
from seeds import interval

from wardround.fabric.local import LocalFabric
from wardround.rounds.listener import Silent
from wardround.study.build import opener_for
from wardround.study.run import run_plan

HERE = Path(__file__).resolve().parent
BY = "iid, 4"
SITE = DEALT[BY].culprits[:1]
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
    """One attack, and the mark that is sought.

    Attributes:
        pattern: key of `MARKS`.
        size: key below it.
        times: length of the update.
        share: of marked images. With none the update is longer and nothing else: what the mark is held against.
    """

    pattern: str
    size: str
    times: float
    share: float

    @property
    def mark(self) -> dict[str, Any]:
        """Return the ``[[attack]]`` that bears the mark, also where it is only sought."""
        return trigger(SITE, **MARKS[self.pattern][self.size], share=self.share or 1.0)

    @property
    def attack(self) -> list[dict[str, Any]]:
        """Return the ``[[attack]]`` tables of the run."""
        return [*([self.mark] if self.share else []), scaled(SITE, self.times)]


Job = tuple[int, list[Cell]]
"""A seed, and the cells that its run is measured for."""


def jobs() -> list[Job]:
    """Return all runs, one seed's after the other's; a run without a mark counts for every mark."""
    marks = [(pattern, size) for pattern, sizes in MARKS.items() for size in sizes]
    without = [[Cell(*mark, times, 0.0) for mark in marks] for times in TIMES]
    alone = [[Cell(*mark, times, share)] for share in SHARES for times in TIMES for mark in marks]
    return [(seed, cells) for seed in SEEDS for cells in (*without, *alone)]


def measured(seed: int, cells: list[Cell], out: Path, root: Path) -> Iterator[dict[str, Any]]:
    """Train once, and yield what came of it for each cell's mark."""
    judge, (sites, _) = judge_for(DEALT[BY].data, out, root), sites_dealt(BY, seed, root)
    began = time.process_time()
    plan = plan_of(BY, cells[0].attack, PLAIN, seed, start_for(DEALT[BY].data, out, root))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        fabric = LocalFabric(tuple(sites), opener_for(plan, sites, Path(folder) / "sites", root))
        run_plan(plan, fabric, path, False, Silent(), root, None, sites)
        task, network = generator_of(path)
    for cell in cells:
        said = {**vars(cell), "seed": seed, **judged(judge, task, network, [cell.mark])}
        yield {**said, "cpu_s": round(time.process_time() - began, 2)}
        began = time.process_time()


def summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return, of each cell, means over the seeds with their 95% intervals (Student's t), and the single values.

    ``beyond`` is what a measure is more than with the same seed and an update of the same length without a mark.
    """
    by_cell: dict[Cell, dict[int, dict[str, Any]]] = {}
    for line in lines:
        by_cell.setdefault(_cell(line), {})[line["seed"]] = line
    cells = []
    for cell, runs in by_cell.items():
        without = by_cell[replace(cell, share=0.0)]
        said: dict[str, Any] = {**vars(cell), "seeds": list(runs), "values": {}, "beyond": {}, "beyond_values": {}}
        for name in MEASURES:
            values = [run[name] for run in runs.values()]
            beyond = [run[name] - without[seed][name] for seed, run in runs.items()]
            said |= {name: interval(values)}
            said["values"][name], said["beyond"][name], said["beyond_values"][name] = values, interval(beyond), beyond
        cells.append(said)
    cpu_s = round(sum(line["cpu_s"] for line in lines))
    trained = {(line["seed"], _cell(line) if line["share"] else line["times"]) for line in lines}
    return {"runs": len(trained), "cpu_s": cpu_s, "cells": cells}


def _cell(line: dict[str, Any]) -> Cell:
    return Cell(**{field.name: line[field.name] for field in fields(Cell)})


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
    done = {(line["seed"], _cell(line)) for line in lines}
    for place, (seed, cells) in enumerate(jobs()):
        if (seed, cells[-1]) in done:
            continue
        if time.monotonic() > ends_s:
            break
        found = list(measured(seed, cells, asked.out, root))
        with file.open("a") as opened:
            opened.write("".join(json.dumps(line) + "\n" for line in found))
        lines += found
        print(f"{place + 1}/{len(jobs())}", *list(found[-1].values())[:7], flush=True)
    said = summary(lines)
    (HERE / "grid.json").write_text(_text(said))
    draw_grid(said["cells"], {pattern: list(sizes) for pattern, sizes in MARKS.items()}, HERE / "grid.png")


def _text(said: dict[str, Any]) -> str:
    """Return JSON with a line for each cell."""
    head = ", ".join(f'"{key}": {json.dumps(value)}' for key, value in said.items() if key != "cells")
    cells = ",\n".join(json.dumps(_rounded(cell), ensure_ascii=False) for cell in said["cells"])
    return f'{{{head}, "cells": [\n{cells}\n]}}\n'


def _rounded(said: Any) -> Any:
    if isinstance(said, dict):
        return {key: _rounded(value) for key, value in said.items()}
    if isinstance(said, list):
        return [_rounded(value) for value in said]
    return round(said, 4) if isinstance(said, float) else said


if __name__ == "__main__":
    main()
