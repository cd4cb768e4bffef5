"""What privacy costs on HAM10000's four sites: the published table on real data, seven seeds, one split, paired.

    WARDROUND_DATA=folder python experiments/ham10000-private/run.py [OUT] [--rows NAME …] [--no-training]

Writes ``results.json``, ``results.md``, ``frontier.csv`` and ``frontier.png``. The CNNs without privacy are those of
``ham10000-federated`` and ``ham10000-sealed``: their AUCs are quoted unless ``--rows`` asks for all their seeds, and
one seed of each is trained for seconds and bytes. Rows without all their seeds are named. Every run checkpoints; stop
it and start it again as you like. One process, one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rows import CATALOGUE, FEDERATED, HERE, QUOTED, Row, Runner
from tables import markdown, write_frontier

from wardround.metrics.clinical import Predictions, Statistic, macro_auc, malignant_auc
from wardround.metrics.intervals import paired_difference, site_mean_auc, verdict
from wardround.study.build import sites_of
from wardround.study.folder import RunFolder

sys.path.insert(0, str(FEDERATED))
from reproduce import LARGE, predictions

SEEDS = tuple(range(11, 18))
REPLICATES = 1000
AIMS = {
    ("private", "features-central", "pooled_auc"): -0.030,
    ("private-tuned", "features-central", "pooled_auc"): -0.030,
}
"""Row, yardstick, statistic -> smallest difference aimed at."""
EXTRA = (
    ("everything", "private"),
    ("lesion", "private"),
    ("private-tuned", "private"),
    ("private", "features-federated"),
    ("scratch", "scratch-head"),
    ("scratch", "private"),
)
"""Differences beside those of each row to its yardstick."""


def main() -> None:
    """Train what is missing, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/ham10000-private"))
    parser.add_argument("--rows", nargs="*", choices=list(CATALOGUE), help="train all seeds of these and no others")
    parser.add_argument("--no-training", action="store_true", help="compare what there is")
    arguments = parser.parse_args()
    runner = Runner(arguments.out, Path(os.environ["WARDROUND_DATA"]))
    for name in [] if arguments.no_training else arguments.rows or CATALOGUE:
        row = CATALOGUE[name]
        for seed in SEEDS[: 1 if arguments.rows is None and name in QUOTED else row.seeds]:
            runner.run(f"{name}-{seed}", row.plan(seed))
            print(name, seed, flush=True)
    results = compare(runner)
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    text = markdown(results)
    (HERE / "results.md").write_text(text)
    write_frontier(results)
    print(text)


def compare(runner: Runner) -> dict[str, Any]:
    """Compute every row's test figures, and the differences in pairs of the seeds that both have."""
    found = {name: trained(runner, name) for name in CATALOGUE}
    origins = next(predictions(runner.out / f"{name}-{seed}")[1] for name, runs in found.items() for seed in runs)
    statistics: dict[str, Statistic] = {
        "pooled_auc": macro_auc,
        "site_mean_auc": site_mean_auc(origins, LARGE),
        "malignant_auc": malignant_auc,
    }
    floor = site_prior_floor(runner)
    short = [name for name, runs in found.items() if len(runs) < CATALOGUE[name].seeds]
    pairs = [(name, row.yardstick) for name, row in CATALOGUE.items() if row.yardstick] + list(EXTRA)
    return {
        "seeds": list(SEEDS),
        "test": {"images": len(origins)},
        "missing": [name for name in short if name not in QUOTED],
        "quoted": {name: quoted(name) for name in short if name in QUOTED},
        "floor": {name: float(statistic(floor, np.ones(len(floor)))) for name, statistic in statistics.items()},
        "rows": {name: figures(runner, name, runs, statistics) for name, runs in found.items() if runs},
        "differences": [
            difference(name, other, key, statistics[key], found)
            for name, other in pairs
            for key in ("pooled_auc", "site_mean_auc")
            if not {name, other} & (set(short) & set(QUOTED))
        ],
    }


def trained(runner: Runner, name: str) -> dict[int, Predictions]:
    """Return seed -> test predictions of a row, for the seeds with which it was trained."""
    paths = {seed: runner.out / f"{name}-{seed}" for seed in SEEDS}
    return {s: predictions(path)[0] for s, path in paths.items() if path.exists() and RunFolder(path).is_done()}


def quoted(name: str) -> dict[str, Any]:
    """Return what another experiment found for the same plan and seeds."""
    experiment, method = QUOTED[name]
    row = json.loads((HERE.parent / experiment / "results.json").read_text())["methods"][method]
    values = {key: row[key] for key in ("pooled_auc", "site_mean_auc")}
    means = {key: value["mean"] if isinstance(value, dict) else value for key, value in values.items()}
    return {"source": experiment, **means}


def site_prior_floor(runner: Runner) -> Predictions:
    """Predict each site's label frequencies for all its test images: what recognising the site alone is worth."""
    parts = []
    for _, data in sorted(sites_of(CATALOGUE["private"].plan(1), runner.data_root).items()):
        prior = data.train.label_counts() / len(data.train)
        rows = np.repeat(prior[None], len(data.test), axis=0).astype(np.float32)
        test = data.test
        parts.append(Predictions(rows, test.labels, test.groups, test.classes, test.malignant))
    return Predictions.concatenate(parts)


def figures(
    runner: Runner, name: str, runs: dict[int, Predictions], statistics: dict[str, Statistic]
) -> dict[str, Any]:
    """Return a row's figures over its seeds."""
    row: Row = CATALOGUE[name]
    plan = row.plan(SEEDS[0])
    summary = RunFolder(runner.out / f"{name}-{next(iter(runs))}").summary()
    values = {
        key: [float(statistic(each, np.ones(len(each)))) for each in runs.values()]
        for key, statistic in statistics.items()
    }
    return {
        "label": row.label,
        "seeds": list(runs),
        **{key: spread(each) for key, each in values.items()},
        **{key: summary["privacy"][key] for key in ("epsilon", "delta", "unit")},
        "cpu_s": float(np.median([runner.cpu_s(f"{name}-{seed}") for seed in runs])),
        "features_cpu_s": runner.features_cpu_s(plan),
        "pooled": plan.composed().pooled,
        "bytes_up": summary["bytes"]["up"],
        "bytes_down": summary["bytes"]["down"],
        "rounds": summary["rounds"],
    }


def spread(values: list[float]) -> dict[str, float | None]:
    """Return mean and standard deviation over seeds."""
    return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None}


def difference(
    name: str, other: str, key: str, statistic: Statistic, found: dict[str, dict[int, Predictions]]
) -> dict[str, Any]:
    """Return row minus other row over the seeds that both have, with its interval."""
    seeds = [seed for seed in found[name] if seed in found[other]]
    described = {"what": f"{name} - {other}", "statistic": key, "seeds": seeds}
    if not seeds:
        return described
    a, b = ([found[each][seed] for seed in seeds] for each in (name, other))
    estimate = paired_difference(a, b, statistic, REPLICATES)
    aim = AIMS.get((name, other, key))
    judged = verdict(estimate, aim) if aim is not None else None
    return {
        **described,
        "mean": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "aim": aim,
        "verdict": judged,
    }


if __name__ == "__main__":
    main()
