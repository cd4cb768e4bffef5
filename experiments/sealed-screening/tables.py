"""Tables from what ``run.py`` measured.

    python experiments/sealed-screening/tables.py [OUT]

Reads ``OUT/runs.jsonl`` and ``OUT/benign.jsonl``, writes ``results.json`` and ``results.md`` beside this file. Means
are over seeds, of CPU seconds medians; intervals are 95% ones: of paired differences over seeds (Student's t); of the
share of accused site-rounds, clustered by run (bootstrap); of the share of runs with an alarm (exact).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from arms import ARMS, EIGHT, EIGHT_ONE, SIXTEEN, UNLIKE
from scipy.stats import binomtest
from tables import flagged, paired  # those of robust-classification, whose folder comes first once arms is imported

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
            for name in ("success", "auc", "auc_malignant", "bytes_up", "bytes_down"):
                cell[name] = float(np.mean([line[name] for line in held]))
            cell["cpu_s"] = float(np.median([line["cpu_s"] for line in held]))  # the first run also computes features
            for other, key in ((PLAIN, "over_one_sum"), (BESIDE, "over_e_detector")):
                cell[key] = _apart(held, _of(runs, attack=attack, arm=other))
            for who in ("honest", "malicious"):
                count = sum(line[who] for line in held)
                for what in ("accused", "lost"):
                    cell[f"{who}_{what}"] = sum(line[f"{who}_{what}"] for line in held) / count if count else None
            alarms = [index for line in held for index in line["first_alarms"]]
            cell["found"], cell["culprits"] = len(alarms), sum(line["culprits"] for line in held)
            cell["first_alarm"] = float(np.median(alarms)) if alarms else None
            cells.append(cell)
    return cells


def _apart(mine: Lines, others: Lines) -> list[float] | None:
    """Return by how much success differs, in pairs of one seed each."""
    theirs = {line["seed"]: line["success"] for line in others if "success" in line}
    held = [line for line in mine if line["seed"] in theirs]
    return paired([line["success"] for line in held], [theirs[line["seed"]] for line in held])


def accused(runs: Lines) -> dict[str, Any]:
    """Return the share of honest site-rounds that are accused, with its interval, and of those lost with a group."""
    found = flagged([{**line, "honest_flagged": line["honest_accused"]} for line in runs])
    if runs:
        found["lost"] = sum(line["honest_lost"] for line in runs) / sum(line["honest"] for line in runs)
        found["alarmed"] = sum(line["honest_accused"] > 0 for line in runs)
        # Clopper and Pearson's interval: one of the bootstrap says nothing where nothing was seen.
        sure = binomtest(found["alarmed"], len(runs)).proportion_ci(method="exact")
        found["alarm_low"], found["alarm_high"] = float(sure.low), float(sure.high)
    return found


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
            share, low, high = (100 * quiet[key] for key in ("share", "low", "high"))
            said += f"- {name}: {share:.2f}% ({low:.2f} to {high:.2f}) in {quiet['runs']} runs; an alarm in "
            said += (
                f"{quiet['alarmed']} of them ({quiet['alarm_low']:.2f} to {quiet['alarm_high']:.2f} of all such runs); "
            )
            said += f"{100 * quiet['lost']:.2f}% lost with a group\n"
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
