"""Tables from what ``run.py`` measured.

    python experiments/sealed-screening/tables.py [OUT]

Reads ``OUT/runs.jsonl`` and ``OUT/benign.jsonl``, writes ``results.json`` and ``results.md`` beside this file. Means
are over seeds; intervals are 95% ones: of paired differences over seeds (Student's t); of the share of accused
site-rounds, clustered by run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from arms import ARMS, EIGHT, EIGHT_ONE, SIXTEEN, UNLIKE
from scipy.stats import t as student

HERE = Path(__file__).resolve().parent
DEALT = (EIGHT, EIGHT_ONE, SIXTEEN, UNLIKE)
EVIDENCE, PLAIN, BESIDE = "sealed, groups, evidence", "sealed, one sum", "open, e-detector"
Lines = list[dict[str, Any]]


def main() -> None:
    """Read, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", default="runs/sealed-screening", type=Path)
    out = parser.parse_args().out
    runs, benign = _lines(out / "runs.jsonl"), _lines(out / "benign.jsonl")
    quiet = [*benign, *_of(runs, attack="benign", arm=EVIDENCE)]
    found = {
        "seeds": sorted({line["seed"] for line in runs}),
        "cells": [cell for dealt in DEALT for cell in _cells(_of(runs, dealt=dealt.name))],
        "accused_without_attack": {
            name: accused([line for line in quiet if line["dealt"].startswith(name)]) for name in ("iid", "dirichlet")
        },
        "cpu_s": round(sum(line.get("cpu_s", 0.0) for line in [*runs, *benign])),
    }
    (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "results.md").write_text(_markdown(found))
    print(_markdown(found))


def _lines(path: Path) -> Lines:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _of(lines: Iterable[Mapping[str, Any]], **wanted: Any) -> Lines:
    return [dict(line) for line in lines if all(line[key] == value for key, value in wanted.items())]


def _cells(runs: Lines) -> Lines:
    cells = []
    for attack in dict.fromkeys(line["attack"] for line in runs):
        for arm in ARMS:
            mine = _of(runs, attack=attack, arm=arm)
            ended = [line for line in mine if "refused" in line]
            held = [line for line in mine if "refused" not in line]
            if not held:
                continue
            cell: dict[str, Any] = {"dealt": held[0]["dealt"], "attack": attack, "arm": arm, "seeds": len(held)}
            cell["ended"] = len(ended)
            for name in ("success", "auc", "auc_malignant", "cpu_s", "bytes_up", "bytes_down"):
                cell[name] = float(np.mean([line[name] for line in held]))
            for other, key in ((PLAIN, "over_one_sum"), (BESIDE, "over_e_detector")):
                cell[key] = paired(held, _of(runs, attack=attack, arm=other))
            for who in ("honest", "malicious"):
                count = sum(line[who] for line in held)
                for what in ("accused", "lost"):
                    cell[f"{who}_{what}"] = sum(line[f"{who}_{what}"] for line in held) / count if count else None
            alarms = [index for line in held for index in line["first_alarms"]]
            cell["found"], cell["culprits"] = len(alarms), sum(line["culprits"] for line in held)
            cell["first_alarm"] = float(np.median(alarms)) if alarms else None
            cells.append(cell)
    return cells


def paired(mine: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> list[float] | None:
    """Return the mean difference of success and its 95% interval over seeds; ``None`` where pairs are missing."""
    theirs = {line["seed"]: line["success"] for line in others if "success" in line}
    apart = np.array([line["success"] - theirs[line["seed"]] for line in mine if line["seed"] in theirs])
    if len(apart) < 2:
        return None
    half = float(student.ppf(0.975, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart)))
    return [float(apart.mean()), float(apart.mean()) - half, float(apart.mean()) + half]


def accused(runs: Lines) -> dict[str, Any]:
    """Return the share of honest site-rounds that are accused, with a 95% bootstrap interval of whole runs."""
    if not runs:
        return {"runs": 0}
    counts = np.array([[line["honest_accused"], line["honest"]] for line in runs], float)
    rng = np.random.default_rng(0)
    drawn = counts[rng.integers(len(counts), size=(10_000, len(counts)))].sum(axis=1)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [2.5, 97.5])
    share = float(counts[:, 0].sum() / counts[:, 1].sum())
    alarmed = int((counts[:, 0] > 0).sum())
    lost = sum(line["honest_lost"] for line in runs) / counts[:, 1].sum()
    return {"runs": len(runs), "share": share, "low": float(low), "high": float(high), "alarmed": alarmed, "lost": lost}


def _markdown(found: Mapping[str, Any]) -> str:
    seeds = ", ".join(map(str, found["seeds"]))
    said = f"# sealed-screening\n\nMeans over seeds {seeds}; {found['cpu_s']} CPU seconds.\n"
    head = "attack | arm | success | AUC | AUC malignant | attackers found, first alarm | attackers accused | "
    head += "honest accused | honest lost | success over one sum | over the e-detector | CPU s | MB up | MB down"
    for dealt in DEALT:
        cells = _of(found["cells"], dealt=dealt.name)
        if not cells:
            continue
        said += f"\n## {dealt.name}\n\n| {head} |\n|{' --- |' * (head.count('|') + 1)}\n"
        said += "".join(f"| {' | '.join(_row(cell))} |\n" for cell in cells)
    said += "\n## Honest site-rounds accused by the screen of groups, runs without an attack\n\n"
    for name, quiet in found["accused_without_attack"].items():
        if quiet["runs"]:
            said += (
                f"- {name}: {100 * quiet['share']:.2f}% ({100 * quiet['low']:.2f} to {100 * quiet['high']:.2f}) in "
                f"{quiet['runs']} runs, an alarm in {quiet['alarmed']} of them; {100 * quiet['lost']:.2f}% lost with a "
                "group\n"
            )
    return said


def _row(cell: Mapping[str, Any]) -> list[str]:
    few = f" ({cell['seeds']} seeds)" if cell["seeds"] < 3 else ""
    when = "–" if not cell["culprits"] else f"{cell['found']} of {cell['culprits']}"
    when += f", round {cell['first_alarm']:.0f}" if cell["first_alarm"] is not None else ""
    return [
        cell["attack"],
        cell["arm"] + few,
        f"{cell['success']:.2f}",
        f"{cell['auc']:.3f}",
        f"{cell['auc_malignant']:.2f}",
        when,
        *(_share(cell[key]) for key in ("malicious_accused", "honest_accused", "honest_lost")),
        *(_interval(cell[key]) for key in ("over_one_sum", "over_e_detector")),
        f"{cell['cpu_s']:.1f}",
        f"{cell['bytes_up'] / 1e6:.1f}",
        f"{cell['bytes_down'] / 1e6:.1f}",
    ]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"


def _interval(found: Sequence[float] | None) -> str:
    return "–" if found is None else f"{found[0]:+.2f} ({found[1]:+.2f} to {found[2]:+.2f})"


if __name__ == "__main__":
    main()
