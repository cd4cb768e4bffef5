"""Tables and a figure from what ``run.py`` measured.

    python experiments/fedgan-screens/tables.py [OUT]

Reads ``OUT/runs.jsonl``, writes ``results.json``, ``results.md`` and ``harm.png`` beside this file. Means are over
seeds; intervals are 95% ones: Student's t over seeds, of paired differences where two defences are compared, and of the
share of flagged site-rounds a bootstrap of whole runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from harm import draw_harm
from rows import BELIEVE_LOSSES, DEALT, HARM, ORACLE, OURS, PLAIN, SEEDS, UNSEEN, defences
from run import BENIGN_SEED
from scipy.stats import t as student

sys.path.insert(0, str(Path(__file__).parents[1] / "fedgan-vanilla"))

from seeds import interval

HERE = Path(__file__).resolve().parent
Lines = list[dict[str, Any]]
COLUMNS = {"alpha": "α", "marked": "marked", "corner_distance": "corner distance", "distance": "distance"}
PRIMARY = ("alpha", "distance", "false_flags")
MOST_ALPHA, MOST_RATIO, MOST_FLAGS = 0.03, 1.25, 0.01
SAID = {"benign": "no attack", "x3": "white, 4 px (x3)"}
"""Rows of the table that also stand among marks."""
TABLE = ("benign", "plain", "x3", "x3, one", *UNSEEN)
LIED_TO = {name: f"{name}, lied to" for name in BELIEVE_LOSSES}
NAMES = (*defences(1), *LIED_TO.values(), ORACLE)
"""A lie changes a run under these two alone; they stand among those who are not lied to."""


def main() -> None:
    """Read, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", default="runs/fedgan-screens", type=Path)
    out = parser.parse_args().out
    lines = [_read(line) for line in (out / "runs.jsonl").read_text().splitlines()]
    in_table = [line for line in lines if line["seed"] in SEEDS]
    quiet = [line for line in lines if line["attack"] == "benign" and line["defence"] == OURS]
    cells = [_cell(in_table, by, attack, defence) for by in DEALT for attack in TABLE for defence in NAMES]
    found = {
        "seeds": SEEDS,
        "starts": json.loads((out / "starts.json").read_text()),
        "cells": [cell for cell in cells if cell],
        "aims": [
            _aims(in_table, by, attack) for by in DEALT for attack in TABLE if _of(in_table, dealt=by, attack=attack)
        ],
        "against_best": _against_best(in_table),
        "false_flags": {"pooled": flagged(quiet), **{by: flagged(_of(quiet, dealt=by)) for by in DEALT}},
        "harm": [
            {**cell, "attack": SAID.get(name, name)}
            for name in (*SAID, *HARM)
            if (cell := _cell(in_table, "iid, 4", name, PLAIN))
        ],
        "cpu_s": round(sum(line.get("cpu_s", 0.0) for line in lines)),
        "runs": len(lines),
    }
    (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "results.md").write_text(_markdown(found))
    draw_harm(found["harm"], HERE / "harm.png")
    print(_markdown(found))


def _read(line: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(line)
    if said["attack"] == "x3, lying":
        said |= {"attack": "x3", "defence": LIED_TO[said["defence"]]}
    if said.get("honest"):
        said["false_flags"] = said["honest_flagged"] / said["honest"]
    return said


def _of(lines: Iterable[Mapping[str, Any]], **wanted: Any) -> Lines:
    return [dict(line) for line in lines if all(line[key] == value for key, value in wanted.items())]


def _by_seed(lines: Lines, by: str, attack: str, defence: str) -> Lines:
    """Return the runs of a cell, seed by seed; nothing where a seed is missing."""
    found = [line for seed in SEEDS for line in _of(lines, dealt=by, attack=attack, defence=defence, seed=seed)]
    return found if len(found) == len(SEEDS) else []


def _cell(lines: Lines, by: str, attack: str, defence: str) -> dict[str, Any] | None:
    runs = _by_seed(lines, by, attack, defence)
    if not runs:
        return None
    said: dict[str, Any] = {"dealt": by, "attack": attack, "defence": defence}
    ended = [line["refused"] for line in runs if "refused" in line]
    if ended:
        return {**said, "refused": ended[0]}
    said |= {name: interval([line[name] for line in runs]) for name in COLUMNS}
    for who in ("honest", "malicious"):
        count = sum(line[who] for line in runs)
        said[f"{who}_flagged"] = sum(line[f"{who}_flagged"] for line in runs) / count if count else None
    return said


def _aims(lines: Lines, by: str, attack: str) -> dict[str, Any]:
    """Hold our runs of a cell against what was aimed at."""
    ours, oracle = _by_seed(lines, by, attack, OURS), _by_seed(lines, by, attack, ORACLE)
    said: dict[str, Any] = {"dealt": by, "attack": attack}
    if ours:
        said["alpha"] = interval([line["alpha"] for line in ours])
    if ours and oracle:
        said["alpha_over_oracle"] = interval(_apart(ours, oracle, "alpha"))
        said["ratio"] = interval([a["distance"] / b["distance"] for a, b in zip(ours, oracle, strict=True)])
    return said


def _apart(some: Lines, others: Lines, column: str) -> list[float]:
    return [one[column] - other[column] for one, other in zip(some, others, strict=True)]


def _against_best(lines: Lines) -> list[dict[str, Any]]:
    """Compare ours in each primary column with whoever has the lowest mean there; p is one-sided: ours is higher."""
    found = []
    for by in DEALT:
        for attack in TABLE:
            ours = _by_seed(lines, by, attack, OURS)
            others = {name: _by_seed(lines, by, attack, name) for name in NAMES if name not in (OURS, ORACLE)}
            others = {name: runs for name, runs in others.items() if runs and not any("refused" in run for run in runs)}
            for column in PRIMARY if ours and len(others) > 1 else ():
                best = min(others, key=lambda name: float(np.mean([abs(run[column]) for run in others[name]])))
                apart = [abs(a[column]) - abs(b[column]) for a, b in zip(ours, others[best], strict=True)]
                said = {"dealt": by, "attack": attack, "column": column, "best": best, "apart": interval(apart)}
                found.append({**said, "p": _p_higher(apart)})
    return _holm(found)


def _p_higher(apart: Sequence[float]) -> float:
    deviation = float(np.std(apart, ddof=1))
    if deviation == 0:
        return 0.0 if np.mean(apart) > 0 else 1.0
    return float(student.sf(np.mean(apart) / deviation * len(apart) ** 0.5, len(apart) - 1))


def _holm(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add ``adjusted`` to each, p after Holm's correction for all of them."""
    most = 0.0
    for rank, said in enumerate(sorted(found, key=lambda each: float(each["p"]))):
        most = said["adjusted"] = min(1.0, max(most, (len(found) - rank) * said["p"]))
    return found


def flagged(runs: Lines) -> dict[str, Any]:
    """Return the share of honest site-rounds that are flagged, with a 95% bootstrap interval of whole runs.

    Where no run has a flag the bootstrap knows no spread; the upper end is then that of the share of runs with one
    (Clopper and Pearson), as if each such run had all its site-rounds flagged: too wide, never too narrow.
    """
    if not runs:
        return {"runs": 0}
    counts = np.array([[line["honest_flagged"], line["honest"]] for line in runs], float)
    rng = np.random.default_rng(0)
    drawn = counts[rng.integers(len(counts), size=(10_000, len(counts)))].sum(axis=1)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [2.5, 97.5])
    alarmed = int((counts[:, 0] > 0).sum())
    fresh = sum(line["seed"] >= BENIGN_SEED for line in runs)
    share = float(counts[:, 0].sum() / counts[:, 1].sum())
    said = {"runs": len(runs), "fresh_seeds": fresh, "share": share, "low": float(low), "high": float(high)}
    if not alarmed:
        said["runs_with_an_alarm_at_most"] = float(1 - 0.025 ** (1 / len(runs)))
    return {**said, "runs_with_an_alarm": alarmed}


def _markdown(found: Mapping[str, Any]) -> str:
    said = f"# fedgan-screens\n\nMeans over seeds {', '.join(map(str, found['seeds']))} with 95% intervals; "
    said += f"{found['runs']} runs, {found['cpu_s']} CPU seconds.\n\n"
    for data, scores in found["starts"].items():
        said += (
            f"{data}: distance {scores['untrained']['distance']:.2f} untrained, {scores['start']['distance']:.2f} at "
        )
        said += f"the start of every run; α of the mark {scores['start']['alpha']:.3f} there.\n"
    for by in DEALT:
        for attack in TABLE:
            cells = _of(found["cells"], dealt=by, attack=attack)
            if cells:
                said += f"\n## {by}: {attack}\n\n" + _rows(
                    ["defence", *COLUMNS.values(), "honest flagged", "attackers flagged"],
                    [_row(cell) for cell in cells],
                )
    return said + _aimed(found) + _compared(found) + _quiet(found) + _harmed(found)


def _row(cell: Mapping[str, Any]) -> list[str]:
    if "refused" in cell:
        return [cell["defence"], f"cannot: {cell['refused'].split(':')[0]}", *[""] * (len(COLUMNS) + 1)]
    numbers = [told(cell[name]) for name in COLUMNS]
    return [cell["defence"], *numbers, *(_share(cell[f"{who}_flagged"]) for who in ("honest", "malicious"))]


def _aimed(found: Mapping[str, Any]) -> str:
    rows = [
        [aim["dealt"], aim["attack"], *(told(aim.get(name)) for name in ("alpha", "alpha_over_oracle", "ratio"))]
        for aim in found["aims"]
        if "alpha" in aim
    ]
    head = [
        "dealt",
        "attack",
        f"α (aim {MOST_ALPHA})",
        "α less the oracle's",
        f"distance / oracle's (aim {MOST_RATIO})",
    ]
    return f"\n## {OURS}: what was aimed at\n\n" + _rows(head, rows)


def _compared(found: Mapping[str, Any]) -> str:
    rows = [
        [each["dealt"], each["attack"], each["column"], each["best"], told(each["apart"]), f"{each['adjusted']:.2f}"]
        for each in found["against_best"]
    ]
    head = ["dealt", "attack", "column", "best other", "ours less its (size)", "p that ours is worse (Holm)"]
    return f"\n## {OURS} against the best other in each primary column\n\n" + _rows(head, rows)


def _quiet(found: Mapping[str, Any]) -> str:
    said = f"\n## Honest site-rounds flagged by the {OURS}, runs without an attack (aim {100 * MOST_FLAGS:.0f}%)\n\n"
    for name, share in found["false_flags"].items():
        if share["runs"]:
            said += f"- {name}: {100 * share['share']:.2f}% ({100 * share['low']:.2f} to {100 * share['high']:.2f}) in "
            said += f"{share['runs']} runs, {share['runs_with_an_alarm']} of them with an alarm"
            if "runs_with_an_alarm_at_most" in share:
                said += f" (at most {100 * share['runs_with_an_alarm_at_most']:.1f}% of runs)"
            said += "\n"
    return said


def _harmed(found: Mapping[str, Any]) -> str:
    rows = [[cell["attack"], *(told(cell[name]) for name in COLUMNS)] for cell in found["harm"]]
    return "\n## Harm under the mean, one of four equal sites attacks\n\n" + _rows(["mark", *COLUMNS.values()], rows)


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)) + "\n"


def told(found: Sequence[float] | None) -> str:
    """Return a mean with its interval, in words; a dash where there is none."""
    if found is None:
        return "–"
    return f"{found[0]:.3f} ({found[1]:.3f} to {found[2]:.3f})" if len(found) == 3 else f"{found[0]:.3f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"


if __name__ == "__main__":
    main()
