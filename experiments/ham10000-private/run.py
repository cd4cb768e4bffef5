"""What privacy costs on HAM10000's four sites: the published table on real data, seven seeds, one split, paired.

    WARDROUND_DATA=folder python experiments/ham10000-private/run.py [OUT] [--seeds N] [--rows NAME …]

Writes ``results.json``, ``results.md``, ``frontier.csv`` and ``frontier.png``. Rows without all their runs are left out
and named. Every run checkpoints; stop it and start it again as you like. One process, one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rows import FEDERATED, FRONTIER, HERE, ROWS, Row, Runner

from wardround.metrics.clinical import Predictions, Statistic, macro_auc, malignant_auc
from wardround.metrics.intervals import paired_difference, site_mean_auc, verdict
from wardround.study.build import sites_of
from wardround.study.folder import RunFolder

sys.path.insert(0, str(FEDERATED))
from reproduce import LARGE, predictions

SEEDS = tuple(range(11, 18))
REPLICATES = 1000
STATISTICS = ("pooled_auc", "site_mean_auc", "malignant_auc")
AIMS = {("private", "features-central", "pooled_auc"): -0.030}
"""Row, yardstick, statistic -> smallest difference aimed at."""
SCRATCH_AIM = 0.85
EVERYTHING_AIM = 2.0
"""Seconds of everything on, over seconds of central training."""
EXTRA = (("everything", "private"), ("lesion", "private"), ("private", "features-federated"), ("private", "central"))
"""Differences beside those of each row to its yardstick."""
CATALOGUE: dict[str, Row] = {**ROWS, **FRONTIER}


def main() -> None:
    """Train what is missing, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/ham10000-private"))
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--rows", nargs="*", default=list(CATALOGUE), help="train these and no others")
    parser.add_argument("--no-training", action="store_true", help="compare what there is")
    arguments = parser.parse_args()
    runner = Runner(arguments.out, Path(os.environ["WARDROUND_DATA"]))
    for seed in [] if arguments.no_training else SEEDS[: arguments.seeds]:
        for name in arguments.rows:
            runner.run(f"{name}-{seed}", CATALOGUE[name].plan(seed))
            print(name, seed, flush=True)
    results = compare(runner)
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    text = markdown(results)
    (HERE / "results.md").write_text(text)
    write_frontier(results)
    print(text)


def done_seeds(runner: Runner, name: str) -> list[int]:
    """Return the seeds with which a row was trained."""
    paths = {seed: runner.out / f"{name}-{seed}" for seed in SEEDS}
    return [seed for seed, path in paths.items() if path.exists() and RunFolder(path).is_done()]


def compare(runner: Runner) -> dict[str, Any]:
    """Compute every row's test figures, and the differences in pairs of the seeds that both have."""
    seeds = {name: done_seeds(runner, name) for name in CATALOGUE}
    found = {
        name: {seed: predictions(runner.out / f"{name}-{seed}")[0] for seed in seeds[name]}
        for name in CATALOGUE
        if seeds[name]
    }
    first = next(iter(found))
    origins = predictions(runner.out / f"{first}-{seeds[first][0]}")[1]
    statistics: dict[str, Statistic] = {
        "pooled_auc": macro_auc,
        "site_mean_auc": site_mean_auc(origins, LARGE),
        "malignant_auc": malignant_auc,
    }
    floor = site_prior_floor(runner)
    pairs = [(name, CATALOGUE[name].yardstick) for name in found if CATALOGUE[name].yardstick] + list(EXTRA)
    return {
        "seeds": list(SEEDS),
        "test": {"images": len(origins)},
        "missing": [name for name in CATALOGUE if len(seeds[name]) < len(SEEDS)],
        "floor": {name: float(statistic(floor, np.ones(len(floor)))) for name, statistic in statistics.items()},
        "rows": {name: row_of(runner, name, runs, statistics) for name, runs in found.items()},
        "differences": [
            difference(name, other, statistic, statistics[statistic], found)
            for name, other in pairs
            if name in found and other in found
            for statistic in STATISTICS[:2]
        ],
        "features_cpu_s": [float(path.read_text()) for path in sorted(runner.out.glob("features-*.cpu"))],
    }


def site_prior_floor(runner: Runner) -> Predictions:
    """Predict each site's label frequencies for all its test images: what recognising the site alone is worth."""
    sites = [data for _, data in sorted(sites_of(ROWS["features-federated"].plan(1), runner.data_root).items())]
    parts = []
    for data in sites:
        prior = data.train.label_counts() / len(data.train)
        test = data.test
        rows = np.repeat(prior[None], len(test), axis=0).astype(np.float32)
        parts.append(Predictions(rows, test.labels, test.groups, test.classes, test.malignant))
    return Predictions.concatenate(parts)


def row_of(runner: Runner, name: str, runs: dict[int, Predictions], statistics: dict[str, Statistic]) -> dict[str, Any]:
    """Return a row's figures over its seeds."""
    summaries = [RunFolder(runner.out / f"{name}-{seed}").summary() for seed in runs]
    values = {
        key: [float(statistic(each, np.ones(len(each)))) for each in runs.values()]
        for key, statistic in statistics.items()
    }
    privacy = summaries[0]["privacy"]
    return {
        "label": CATALOGUE[name].label,
        "seeds": list(runs),
        **{
            key: {"mean": float(np.mean(v)), "sd": float(np.std(v, ddof=1)) if len(v) > 1 else None}
            for key, v in values.items()
        },
        "epsilon": privacy["epsilon"],
        "delta": privacy["delta"],
        "unit": privacy["unit"],
        "cpu_s": float(np.median([runner.cpu_s(f"{name}-{seed}") for seed in runs])),
        "on_features": CATALOGUE[name].plan(1).trains_on_features,
        "bytes_up": summaries[0]["bytes"]["up"],
        "bytes_down": summaries[0]["bytes"]["down"],
        "rounds": summaries[0]["rounds"],
    }


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None}


def difference(
    name: str, other: str, key: str, statistic: Statistic, found: dict[str, dict[int, Predictions]]
) -> dict[str, Any]:
    """Return row minus other row over the seeds that both have, with its interval."""
    seeds = [seed for seed in found[name] if seed in found[other]]
    if not seeds:
        return {"what": f"{name} - {other}", "statistic": key, "seeds": []}
    a, b = ([found[each][seed] for seed in seeds] for each in (name, other))
    estimate = paired_difference(a, b, statistic, REPLICATES)
    aim = AIMS.get((name, other, key))
    return {
        "what": f"{name} - {other}",
        "statistic": key,
        "seeds": seeds,
        "mean": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "aim": aim,
        "verdict": verdict(estimate, aim) if aim is not None else None,
    }


def markdown(results: dict[str, Any]) -> str:
    """Return the results as tables."""
    floor = results["floor"]
    lines = [
        f"Test: {results['test']['images']} images. Floor: the AUC of knowing each site's label frequencies alone.",
        "",
        "| row | seeds | pooled AUC | floor | site-mean AUC | floor | malignant AUC | ε | δ | unit "
        "| CPU min | MB up | MB down |",
        "|" + "---|" * 13,
    ]
    features_s = max(results["features_cpu_s"], default=0.0)
    for name in (name for name in ROWS if name in results["rows"]):
        row = results["rows"][name]
        seconds = row["cpu_s"] + (features_s if row["on_features"] else 0.0)
        cells = [
            row["label"],
            str(len(row["seeds"])),
            _with_sd(row["pooled_auc"]),
            f"{floor['pooled_auc']:.3f}",
            _with_sd(row["site_mean_auc"]),
            f"{floor['site_mean_auc']:.3f}",
            _with_sd(row["malignant_auc"]),
            "–" if row["epsilon"] is None else f"{row['epsilon']:.3g}",
            "–" if row["delta"] is None else f"{row['delta']:g}",
            row["unit"] or "–",
            f"{seconds / 60:.2f}",
            f"{row['bytes_up'] / 1e6:.2f}",
            f"{row['bytes_down'] / 1e6:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "| difference | statistic | seeds | mean (95% interval) | aim | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for row in results["differences"]:
        if row["seeds"]:
            aim = "" if row["aim"] is None else f"≥ {row['aim']:+.3f}"
            interval = f"{row['mean']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})"
            lines.append(
                f"| {row['what']} | {row['statistic']} | {len(row['seeds'])} | {interval} | {aim} | "
                f"{row['verdict'] or ''} |"
            )
    lines += ["", *aims(results)]
    if results["missing"]:
        lines += ["", f"Not done with all seeds: {', '.join(results['missing'])}."]
    return "\n".join(lines) + "\n"


def aims(results: dict[str, Any]) -> Iterable[str]:
    """Return a line for each aim that is no difference of AUCs."""
    rows = results["rows"]
    features_s = max(results["features_cpu_s"], default=0.0)
    if "scratch" in rows:
        value = rows["scratch"]["pooled_auc"]["mean"]
        yield f"- (a) from scratch, pooled AUC {value:.3f}: aim above {SCRATCH_AIM:.2f} {_met(value > SCRATCH_AIM)}."
    for other in ("central", "features-central"):
        if "everything" in rows and other in rows:
            own = rows["everything"]["cpu_s"] + features_s
            base = rows[other]["cpu_s"] + (features_s if rows[other]["on_features"] else 0.0)
            ratio = own / base
            yield (
                f"- Everything on against {rows[other]['label']}: {own:.0f} s of CPU against {base:.0f} s, "
                f"{ratio:.2f} ×: aim at most {EVERYTHING_AIM:.1f} × {_met(ratio <= EVERYTHING_AIM)}."
            )


def _met(met: bool) -> str:
    return "met" if met else "missed"


def _with_sd(value: dict[str, float | None]) -> str:
    return f"{value['mean']:.4f}" + ("" if value["sd"] is None else f" ± {value['sd']:.4f}")


def write_frontier(results: dict[str, Any]) -> None:
    """Write AUC over epsilon as a table and a figure."""
    points: Sequence[tuple[str, dict[str, Any]]] = [
        (row.label if name != "private" else "1.2", results["rows"][name])
        for name, row in FRONTIER.items()
        if name in results["rows"]
    ]
    if not points:
        return
    lines = ["epsilon,seeds,pooled_auc,pooled_sd,site_mean_auc,site_mean_sd"]
    for label, row in points:
        cells = [v for key in STATISTICS[:2] for v in (row[key]["mean"], row[key]["sd"] or 0.0)]
        lines.append(",".join([label, str(len(row["seeds"])), *(f"{cell:.4f}" for cell in cells)]))
    (HERE / "frontier.csv").write_text("\n".join(lines) + "\n")
    draw([label for label, _ in points], [row for _, row in points], results)


def draw(labels: Sequence[str], rows: Sequence[dict[str, Any]], results: dict[str, Any]) -> None:
    """Draw the frontier with the noise-free centre and the floor."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4.0), layout="constrained")
    places = range(len(labels))
    for key, name in zip(STATISTICS[:2], ("pooled", "mean of three sites"), strict=True):
        means = [row[key]["mean"] for row in rows]
        spread = [row[key]["sd"] or 0.0 for row in rows]
        [line] = axes.plot(places, means, marker="o", label=f"private, {name}")
        axes.fill_between(
            places, np.subtract(means, spread), np.add(means, spread), color=line.get_color(), alpha=0.2, linewidth=0
        )
        if "features-central" in results["rows"]:
            central = results["rows"]["features-central"][key]["mean"]
            axes.axhline(central, color=line.get_color(), linestyle="--", linewidth=1, label=f"central, {name}")
    axes.axhline(results["floor"]["pooled_auc"], color="grey", linestyle=":", linewidth=1, label="site prior, pooled")
    axes.set_xticks(places, ["∞" if label == "inf" else label for label in labels])
    axes.set_xlabel("ε per image (δ = 1e-5)")
    axes.set_ylabel("macro AUC on the test part")
    axes.legend(fontsize="small", loc="lower right")
    figure.savefig(HERE / "frontier.png", dpi=150, metadata={"Software": None})
    pyplot.close(figure)


if __name__ == "__main__":
    main()
