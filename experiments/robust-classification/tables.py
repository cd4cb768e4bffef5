"""Tables and a figure from what ``run.py`` measured.

    python experiments/robust-classification/tables.py [OUT]

Reads ``OUT/runs.jsonl`` and ``OUT/benign.jsonl``, writes ``results.json``, ``results.md`` and ``success.png`` beside
this file. Means are over seeds; intervals are 95% ones: of paired differences over seeds (Student's t); of the share of
flagged site-rounds, clustered by run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rows import DEALT, SEEDS, attacks, defences
from run import OURS
from scipy.stats import t as student

HERE = Path(__file__).resolve().parent
PLAIN = "mean"
Lines = list[dict[str, Any]]


def main() -> None:
    """Read, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", default="runs/robust-classification", type=Path)
    out = parser.parse_args().out
    runs, benign = _lines(out / "runs.jsonl"), _lines(out / "benign.jsonl")
    own = [line for line in _of(runs, attack="benign", defence=OURS) if "refused" not in line]
    quiet = [*benign, *own]
    found = {
        "seeds": SEEDS,
        "cells": [cell for by in DEALT for name in defences(1) for cell in _cells(runs, by, name)],
        "false_flags": {"pooled": flagged(quiet), **{by: flagged(_of(quiet, dealt=by)) for by in DEALT}},
        "cpu_s": round(sum(line.get("cpu_s", 0.0) for line in [*runs, *benign])),
    }
    (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "results.md").write_text(_markdown(found))
    _draw(found["cells"])
    print(_markdown(found))


def _lines(path: Path) -> Lines:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _of(lines: Iterable[Mapping[str, Any]], **wanted: Any) -> Lines:
    return [dict(line) for line in lines if all(line[key] == value for key, value in wanted.items())]


def _cells(runs: Lines, by: str, defence: str) -> list[dict[str, Any]]:
    cells = []
    for attack in attacks(by):
        mine, plain, ours = (_by_seed(runs, by, attack, name) for name in (defence, PLAIN, OURS))
        ended = [line["refused"] for line in mine if "refused" in line]
        mine = [line for line in mine if "refused" not in line]
        said: dict[str, Any] = {"dealt": by, "attack": attack, "defence": defence, "seeds": len(mine)}
        if not mine:
            cells.append({**said, "refused": ended[0] if ended else "not run"})
            continue
        for name in ("auc", "auc_malignant", "balanced_accuracy", "success"):
            values = [line[name] for line in mine]
            said[name] = float(np.mean(values))
            said[f"{name}_over_mean"] = paired(values, [line[name] for line in plain])
            said[f"{name}_ours_over_it"] = paired([line[name] for line in ours], values)
        for who in ("honest", "malicious"):
            count = sum(line[who] for line in mine)
            said[f"{who}_flagged"] = sum(line[f"{who}_flagged"] for line in mine) / count if count else None
        cells.append(said)
    return cells


def _by_seed(runs: Lines, by: str, attack: str, defence: str) -> Lines:
    return [line for seed in SEEDS for line in _of(runs, dealt=by, attack=attack, defence=defence, seed=seed)]


def paired(mine: Sequence[float], others: Sequence[float]) -> list[float] | None:
    """Return the mean difference and its 95% interval over seeds; ``None`` where pairs are missing."""
    if len(mine) != len(others) or len(mine) < 2:
        return None
    apart = np.subtract(mine, others)
    half = float(student.ppf(0.975, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart)))
    return [float(apart.mean()), float(apart.mean()) - half, float(apart.mean()) + half]


def flagged(runs: Lines) -> dict[str, Any]:
    """Return the share of honest site-rounds that are flagged, with a 95% bootstrap interval of whole runs."""
    if not runs:
        return {"runs": 0}
    counts = np.array([[line["honest_flagged"], line["honest"]] for line in runs], float)
    rng = np.random.default_rng(0)
    drawn = counts[rng.integers(len(counts), size=(10_000, len(counts)))].sum(axis=1)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [2.5, 97.5])
    alarmed = float(np.mean(counts[:, 0] > 0))
    share = float(counts[:, 0].sum() / counts[:, 1].sum())
    return {"runs": len(runs), "share": share, "low": float(low), "high": float(high), "runs_with_an_alarm": alarmed}


def _markdown(found: Mapping[str, Any]) -> str:
    seeds = ", ".join(map(str, found["seeds"]))
    said = f"# robust-classification\n\nMeans over seeds {seeds}; {found['cpu_s']} CPU seconds.\n"
    for by in DEALT:
        names = list(attacks(by))
        head = [
            "defence",
            *(f"{name}: success · AUC · AUC malignant" for name in names),
            "honest flagged",
            "attackers flagged",
        ]
        rows = [head, ["---"] * len(head)]
        for defence in defences(1):
            cells = _of(found["cells"], dealt=by, defence=defence)
            rows.append(
                [defence, *map(_cell, cells), _share(cells, "honest_flagged"), _share(cells, "malicious_flagged")]
            )
        said += f"\n## {by}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"
    said += "\n## e-detector against each other: success and AUC, ours minus theirs, 95% paired intervals\n\n"
    head = ["dealt", "attack", "defence", "success", "AUC", "AUC malignant"]
    rows = [head, ["---"] * len(head)]
    for cell in found["cells"]:
        if cell["defence"] != OURS and "refused" not in cell:
            numbers = [_interval(cell[f"{name}_ours_over_it"]) for name in ("success", "auc", "auc_malignant")]
            rows.append([cell["dealt"], cell["attack"], cell["defence"], *numbers])
    said += "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"
    said += "\n## Honest site-rounds flagged by the e-detector, runs without an attack\n\n"
    for name, share in found["false_flags"].items():
        if share["runs"]:
            said += (
                f"- {name}: {100 * share['share']:.2f}% ({100 * share['low']:.2f} to {100 * share['high']:.2f}) in "
                f"{share['runs']} runs; an alarm in {100 * share['runs_with_an_alarm']:.0f}% of them\n"
            )
    return said


def _cell(cell: Mapping[str, Any]) -> str:
    if "refused" in cell:
        return "not run" if cell["refused"] == "not run" else "cannot"
    few = "" if cell["seeds"] == len(SEEDS) else f" ({cell['seeds']} of {len(SEEDS)} seeds)"
    return f"{cell['success']:.2f} · {cell['auc']:.3f} · {cell['auc_malignant']:.2f}{few}"


def _share(cells: Sequence[Mapping[str, Any]], name: str) -> str:
    values = [cell[name] for cell in cells if cell.get(name) is not None]
    return f"{100 * np.mean(values):.0f}%" if values else "–"


def _interval(found: Sequence[float] | None) -> str:
    return "–" if found is None else f"{found[0]:+.3f} ({found[1]:+.3f} to {found[2]:+.3f})"


def _success(cells: Lines, by: str, defence: str, attack: str) -> float:
    (cell,) = _of(cells, dealt=by, defence=defence, attack=attack)
    return float(cell.get("success", np.nan))


def _draw(cells: Lines) -> None:
    from matplotlib import pyplot as plt

    names = list(defences(1))
    figure, panels = plt.subplots(1, len(DEALT), figsize=(11, 5), sharey=True, layout="constrained")
    for axes, by in zip(panels, DEALT, strict=True):
        grid = np.array(
            [
                [
                    next((c.get("success", np.nan) for c in _of(cells, dealt=by, defence=n, attack=a)), np.nan)
                    for a in attacks(by)
                ]
                for n in names
            ],
            float,
        )
        axes.pcolormesh(np.ma.masked_invalid(grid), cmap="cividis", vmin=0, vmax=1)
        for (row, column), value in np.ndenumerate(grid):
            text = "–" if np.isnan(value) else f"{value:.2f}"
            colour = "black" if np.isnan(value) or value > 0.5 else "white"
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks(np.arange(len(attacks(by))) + 0.5, list(attacks(by)), rotation=20)
        axes.set_yticks(np.arange(len(names)) + 0.5, names)
        axes.set_title(by)
    panels[0].invert_yaxis()
    figure.suptitle("Share of the honest sites' nevi that the trained model takes for melanomas")
    figure.savefig(HERE / "success.png", dpi=110)


if __name__ == "__main__":
    main()
