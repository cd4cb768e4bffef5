"""Tables from what ``run.py`` measured.

    python experiments/fedgan-screens/tables.py [OUT]

Reads ``OUT/runs.jsonl``, writes ``results.json`` and ``results.md`` beside this file. Means are over
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
from rows import (
    BELIEVE_LOSSES,
    DEALT,
    DETECTOR,
    MIXING,
    ORACLE,
    OURS,
    PLAIN,
    ROUNDS,
    SEALED,
    SEEDS,
    UNSEEN,
    attacks,
    defences,
)
from run import BENIGN_SEED
from scipy.stats import beta
from scipy.stats import t as student

sys.path.append(str(Path(__file__).parents[1] / "fedgan-vanilla"))

from seeds import at_most, geometric, interval

HERE = Path(__file__).resolve().parent
Lines = list[dict[str, Any]]
COLUMNS = {"alpha": "α", "marked": "marked", "corner_distance": "corner distance", "distance": "distance"}
PRIMARY = ("alpha", "distance", "false_flags")
MOST_ALPHA, MOST_RATIO, MOST_FLAGS = 0.03, 1.25, 0.01
LEAST_SEEDS = 3
JUDGED = (DETECTOR, MIXING, OURS)
"""Held against the aims; `OURS` is compared with the others."""
TABLE = tuple(name for name in attacks("iid") if name != "x3, lying")
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
    cells = [_cell(in_table, by, attack, defence) for by in DEALT for attack in TABLE for defence in NAMES]
    aims = [_aims(in_table, by, attack, name) for by in DEALT for attack in TABLE for name in JUDGED]
    found = {
        "seeds": SEEDS,
        "starts": json.loads((out / "starts.json").read_text()),
        "cells": [cell for cell in cells if cell],
        "aims": [said for said in aims if said],
        "against_best": _against_best(in_table),
        "false_flags": [_flags_of(lines, name, by) for name in (DETECTOR, OURS) for by in (*DEALT, "")],
        "cpu_s": round(sum(line.get("cpu_s", 0.0) for line in lines)),
        "runs": len(lines),
    }
    (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "results.md").write_text(_markdown(found))
    print(_markdown(found))


def _read(line: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(line)
    if said["attack"] == "x3, lying":
        said |= {"attack": "x3", "defence": LIED_TO[said["defence"]]}
    if said.get("honest"):
        said["false_flags"] = said["honest_accused"] / said["honest"]
    return said


def _of(lines: Iterable[Mapping[str, Any]], **wanted: Any) -> Lines:
    return [dict(line) for line in lines if all(line[key] == value for key, value in wanted.items())]


def _by_seed(lines: Lines, by: str, attack: str, defence: str) -> dict[int, dict[str, Any]]:
    """Return the runs of a cell, seed -> run; the oracle's are the same under every attack with the table's mark."""
    if defence == ORACLE:
        attack = "x3"
    return {line["seed"]: line for line in _of(lines, dealt=by, attack=attack, defence=defence)}


def _pairs(lines: Lines, by: str, attack: str, one: str, other: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the runs of two defences with the same seed; nothing where they are too few, or where one ended early."""
    some, others = (_by_seed(lines, by, attack, name) for name in (one, other))
    pairs = [(some[seed], others[seed]) for seed in sorted(some.keys() & others.keys())]
    refused = any("refused" in run for pair in pairs for run in pair)
    return pairs if len(pairs) >= LEAST_SEEDS and not refused else []


def _cell(lines: Lines, by: str, attack: str, defence: str) -> dict[str, Any] | None:
    if defence == ORACLE and (attack in ("benign", *UNSEEN) or not _by_seed(lines, by, attack, PLAIN)):
        return None
    runs = list(_by_seed(lines, by, attack, defence).values())
    if len(runs) < LEAST_SEEDS:
        return None
    said: dict[str, Any] = {"dealt": by, "attack": attack, "defence": defence, "seeds": len(runs)}
    ended = [line["refused"] for line in runs if "refused" in line]
    if ended:
        return {**said, "refused": ended[0], "ended": len(ended)}
    said |= {name: interval([line[name] for line in runs]) for name in COLUMNS}
    said["cpu_s"] = float(np.mean([line["cpu_s"] for line in runs]))
    for who in ("honest", "malicious"):
        count = sum(line[who] for line in runs)
        for what in ("accused", "lost"):
            said[f"{who}_{what}"] = sum(line[f"{who}_{what}"] for line in runs) / count if count else None
    return said


def _aims(lines: Lines, by: str, attack: str, defence: str) -> dict[str, Any] | None:
    """Hold the runs of a cell against what was aimed at."""
    runs = list(_by_seed(lines, by, attack, defence).values())
    if len(runs) < LEAST_SEEDS or any("refused" in run for run in runs):
        return None
    found = interval([line["alpha"] for line in runs])
    said: dict[str, Any] = {"dealt": by, "attack": attack, "defence": defence, "seeds": len(runs), "alpha": found}
    pairs = _pairs(lines, by, attack, defence, ORACLE) if attack not in ("benign", *UNSEEN) else []
    if pairs:
        said["alpha_over_oracle"] = interval([a["alpha"] - b["alpha"] for a, b in pairs])
        said["ratio"] = geometric([a["distance"] / b["distance"] for a, b in pairs])
    return said


def _against_best(lines: Lines) -> list[dict[str, Any]]:
    """Compare ours in each primary column with whoever has the lowest mean there; p is one-sided: ours is higher.

    A mark of negative strength is none, and counts as 0. Sealed rows are not among the others: they see less.
    """
    found = []
    others = [name for name in NAMES if name not in (*JUDGED, ORACLE, *SEALED)]
    for by in DEALT:
        for attack in TABLE:
            pairs = {name: held for name in others if (held := _pairs(lines, by, attack, OURS, name))}
            for column in PRIMARY if len(pairs) > 1 else ():
                best = min(
                    pairs, key=lambda name: float(np.mean([max(0.0, other[column]) for _, other in pairs[name]]))
                )
                apart = [max(0.0, a[column]) - max(0.0, b[column]) for a, b in pairs[best]]
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


def _flags_of(lines: Lines, defence: str, by: str) -> dict[str, Any]:
    """Return what was held against honest sites in runs without an attack; of all ways of dealing without one."""
    runs = [line for line in _of(lines, attack="benign", defence=defence) if by in ("", line["dealt"])]
    return {"defence": defence, "dealt": by or "all", **accused(runs)}


def accused(runs: Lines) -> dict[str, Any]:
    """Return the share of honest site-rounds in which the site is accused, with a 95% bootstrap interval of whole runs.

    Where no run has an alarm the bootstrap knows no spread. Beside it stands an upper end that needs none: that of the
    share of runs with an alarm (Clopper and Pearson, 97.5%), times the largest share of its site-rounds that any run
    lost, or one site in all rounds where none was accused.
    """
    if not runs:
        return {"runs": 0}
    counts = np.array([[line["honest_accused"], line["honest"]] for line in runs], float)
    rng = np.random.default_rng(0)
    drawn = counts[rng.integers(len(counts), size=(10_000, len(counts)))].sum(axis=1)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [2.5, 97.5])
    alarmed = int((counts[:, 0] > 0).sum())
    worst = float(max(ROUNDS, counts[:, 0].max()) / counts[:, 1].min())
    most = float(beta.ppf(0.975, alarmed + 1, len(runs) - alarmed)) if alarmed < len(runs) else 1.0
    return {
        "runs": len(runs),
        "fresh_seeds": sum(line["seed"] >= BENIGN_SEED for line in runs),
        "share": float(counts[:, 0].sum() / counts[:, 1].sum()),
        "low": float(low),
        "high": float(high),
        "runs_with_an_alarm": alarmed,
        "runs_with_an_alarm_at_most": most,
        "share_at_most": most * worst,
    }


def _markdown(found: Mapping[str, Any]) -> str:
    said = f"# fedgan-screens\n\nMeans over seeds {', '.join(map(str, found['seeds']))} with 95% intervals; "
    said += f"{found['runs']} runs, {found['cpu_s']} CPU seconds.\n\n"
    for data, scores in found["starts"].items():
        said += (
            f"{data}: distance {scores['untrained']['distance']:.2f} untrained, {scores['start']['distance']:.2f} at "
        )
        said += f"the start of every run; α of the mark {scores['start']['alpha']:.3f} there.\n"
    said += _aimed(found) + _quiet(found) + _compared(found)
    head = ["defence", "seeds", *COLUMNS.values(), "honest accused", "honest lost", "attackers accused", "CPU s"]
    for by in DEALT:
        for attack in TABLE:
            cells = _of(found["cells"], dealt=by, attack=attack)
            if cells:
                said += f"\n## {by}: {attack}\n\n" + _rows(head, [_row(cell) for cell in cells])
    return said


def _row(cell: Mapping[str, Any]) -> list[str]:
    said = [cell["defence"], str(cell["seeds"])]
    if "refused" in cell:
        return [*said, f"{cell['ended']} ended: {cell['refused'].split(':')[0]}", *[""] * (len(COLUMNS) + 3)]
    shares = [_share(cell[what]) for what in ("honest_accused", "honest_lost", "malicious_accused")]
    return [*said, *(told(cell[name]) for name in COLUMNS), *shares, f"{cell['cpu_s']:.1f}"]


def _aimed(found: Mapping[str, Any]) -> str:
    rows = [
        [
            *(aim[name] for name in ("dealt", "attack", "defence")),
            _held(aim["alpha"], MOST_ALPHA),
            told(aim.get("alpha_over_oracle")),
            _held(aim.get("ratio"), MOST_RATIO),
        ]
        for aim in found["aims"]
    ]
    head = ["dealt", "attack", "defence", f"α (aim {MOST_ALPHA})", "α less the oracle's"]
    return "\n## What was aimed at\n\n" + _rows([*head, f"distance / oracle's (aim {MOST_RATIO})"], rows)


def _held(found: list[float] | None, aim: float) -> str:
    return told(found) if found is None else f"{told(found)}: {at_most(found, aim)}"


def _compared(found: Mapping[str, Any]) -> str:
    rows = [
        [each["dealt"], each["attack"], each["column"], each["best"], told(each["apart"]), f"{each['adjusted']:.2f}"]
        for each in found["against_best"]
    ]
    head = ["dealt", "attack", "column", "best other", "ours less its (size)", "p that ours is worse (Holm)"]
    return f"\n## {OURS} against the best other in each primary column\n\n" + _rows(head, rows)


def _quiet(found: Mapping[str, Any]) -> str:
    head = ["screen", "dealt", "runs", "with an alarm", "at most", "site-rounds accused", "at most"]
    rows = [
        [
            *(each[name] for name in ("defence", "dealt")),
            str(each["runs"]),
            str(each["runs_with_an_alarm"]),
            _share(each["runs_with_an_alarm_at_most"]),
            f"{_share(each['share'], 2)} ({_share(each['low'], 2)} to {_share(each['high'], 2)})",
            _share(each["share_at_most"], 2),
        ]
        for each in found["false_flags"]
        if each["runs"]
    ]
    return f"\n## Honest sites accused in runs without an attack (aim {_share(MOST_FLAGS, 0)})\n\n" + _rows(head, rows)


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)) + "\n"


def told(found: Sequence[float] | None) -> str:
    """Return a mean with its interval, in words; a dash where there is none."""
    if found is None:
        return "–"
    return f"{found[0]:.3f} ({found[1]:.3f} to {found[2]:.3f})" if len(found) == 3 else f"{found[0]:.3f}"


def _share(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}%"


if __name__ == "__main__":
    main()
