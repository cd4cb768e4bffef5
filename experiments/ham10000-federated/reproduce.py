"""Federated against central against each site alone on HAM10000's four sites: seven seeds, one split, paired.

    WARDROUND_DATA=folder python experiments/ham10000-federated/reproduce.py [OUT] [--cores N]

Writes ``results.json`` and ``results.md``. Every run checkpoints; stop it and start it again as you like.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from wardround.metrics.clinical import Predictions, Statistic, macro_auc, malignant_auc
from wardround.metrics.intervals import Estimate, paired_difference, site_mean_auc, verdict
from wardround.study.folder import RunFolder
from wardround.study.run import train
from wardround.study.spec import load

HERE = Path(__file__).parent
SEEDS = tuple(range(11, 18))
LARGE = ("rosendahl", "vidir_modern", "vidir_molemax")
METHODS = ("central", "federated", "local", "fedavg")
REPLICATES = 1000


def run(task: tuple[str, int], out: Path) -> None:
    """Train one method with one seed on one core, unless it is done."""
    method, seed = task
    plan = replace(load(HERE / f"{method}.toml"), seed=seed)
    train(plan, out / f"{method}-{seed}", Path(os.environ["WARDROUND_DATA"]), resume=True, workers=0)


def predictions(path: Path) -> tuple[Predictions, np.ndarray]:
    """Read a run's test predictions, and the site of each row."""
    summary = RunFolder(path).summary()
    tensors = safetensors.numpy.load((path / "predictions.safetensors").read_bytes())
    names = np.array(sorted(summary["metrics"]["sites"]))
    groups = np.array([str(number) for number in tensors["groups"].tolist()])
    found = Predictions(
        tensors["probabilities"],
        tensors["labels"],
        groups,
        tuple(summary["classes"]),
        tuple(summary["malignant"]),
    )
    return found, names[tensors["sites"]]


def main() -> None:
    """Train what is missing, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/ham10000-federated"))
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    arguments = parser.parse_args()
    seeds = SEEDS[: arguments.seeds]
    tasks = [(method, seed) for method in METHODS for seed in seeds]
    with ProcessPoolExecutor(arguments.cores) as pool:
        list(pool.map(partial(run, out=arguments.out), tasks))
    results = compare(arguments.out, seeds)
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    (HERE / "results.md").write_text(markdown(results))
    print(markdown(results))


def compare(out: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """Compute every method's test figures and the paired differences."""
    found = {method: [predictions(out / f"{method}-{seed}")[0] for seed in seeds] for method in METHODS}
    origins = predictions(out / f"central-{seeds[0]}")[1]
    statistics: dict[str, Statistic] = {
        "site_mean_auc": site_mean_auc(origins, LARGE),
        "pooled_auc": macro_auc,
        "malignant_auc": malignant_auc,
    }
    summaries = {method: [RunFolder(out / f"{method}-{seed}").summary() for seed in seeds] for method in METHODS}
    yardsticks = found["central"], found["local"]
    return {
        "seeds": list(seeds),
        "test": {"images": len(origins), "lesions": found["central"][0].num_groups},
        "methods": {
            method: {name: _over_seeds(statistic, found[method]) for name, statistic in statistics.items()}
            | {"sites": _sites(summaries[method]), "train_s": _train_s(summaries[method])}
            for method in METHODS
        },
        "auc_classes": {site: summaries["central"][0]["tested"]["sites"][site]["auc_classes"] for site in LARGE},
        "differences": [
            _difference("federated - central", name, statistics[name], found["federated"], found["central"], aim)
            for name, aim in (("site_mean_auc", -0.010), ("pooled_auc", -0.010), ("malignant_auc", None))
        ]
        + [_difference("central - each site alone", "site_mean_auc", statistics["site_mean_auc"], *yardsticks, None)]
        + [
            _difference("federated - each site alone", name, statistics[name], found["federated"], found["local"], aim)
            for name, aim in (("site_mean_auc", 0.015), ("pooled_auc", None))
        ]
        + [
            _difference(
                "federated - plain FedAvg",
                name,
                statistics[name],
                found["federated"],
                found["fedavg"],
                None,
            )
            for name in ("site_mean_auc", "pooled_auc")
        ],
    }


def _over_seeds(statistic: Statistic, found: Sequence[Predictions]) -> dict[str, float]:
    values = [float(statistic(each, np.ones(len(each)))) for each in found]
    return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0}


def _sites(summaries: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    names = sorted(summaries[0]["metrics"]["sites"])
    return {name: _mean([summary["metrics"]["sites"][name]["auc"] for summary in summaries]) for name in names}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _train_s(summaries: Sequence[dict[str, Any]]) -> float:
    return float(np.median([summary["seconds"]["train"] for summary in summaries]))


def _difference(
    what: str, name: str, statistic: Statistic, a: list[Predictions], b: list[Predictions], aim: float | None
) -> dict[str, Any]:
    estimate: Estimate = paired_difference(a, b, statistic, REPLICATES)
    judged = verdict(estimate, aim) if aim is not None else None
    return {
        "what": what,
        "statistic": name,
        "mean": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "aim": aim,
        "verdict": judged,
    }


def markdown(results: dict[str, Any]) -> str:
    """Return the results as tables."""
    sites, test = list(results["methods"]["central"]["sites"]), results["test"]
    head = f"| method | site-mean AUC | pooled AUC | malignant AUC | {' | '.join(sites)} | seconds of training |"
    lines = [
        f"{len(results['seeds'])} seeds; test: {test['images']} images, {test['lesions']} lesions.",
        "",
        head,
        "|" + "---|" * (5 + len(sites)),
    ]
    for method, row in results["methods"].items():
        cells = [f"{row[k]['mean']:.4f} ± {row[k]['sd']:.4f}" for k in ("site_mean_auc", "pooled_auc", "malignant_auc")]
        cells += ["-" if row["sites"][site] is None else f"{row['sites'][site]:.4f}" for site in sites]
        lines.append(f"| {method} | {' | '.join(cells)} | {row['train_s']:.0f} |")
    lines += ["", "| difference | statistic | mean (95% interval) | aim | verdict |", "|---|---|---|---|---|"]
    for row in results["differences"]:
        aim = "" if row["aim"] is None else f"≥ {row['aim']:+.3f}"
        interval = f"{row['mean']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})"
        lines.append(f"| {row['what']} | {row['statistic']} | {interval} | {aim} | {row['verdict'] or ''} |")
    lines += ["", "Classes with at least ten positive lesions in the site's test part, averaged in its AUC:", ""]
    lines += [f"- {site}: {', '.join(classes)}" for site, classes in results["auc_classes"].items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
