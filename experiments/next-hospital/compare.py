"""The choice among training sites, and what it is worth at the sites that had no part in it."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from methods import FEDAVG, HERE, METHODS, SITES

from wardround.metrics.clinical import FloatArray, Predictions, Statistic, auc_classes, macro_auc, malignant_auc
from wardround.metrics.intervals import Estimate, paired_difference, verdict, worst_of

sys.path.insert(0, str(HERE.parent / "ham10000-federated"))

from reproduce import predictions

AIM = 0.02
REPLICATES = 1000
STATISTICS: dict[str, Statistic] = {"auc": macro_auc, "malignant_auc": malignant_auc}
Folder = Callable[..., Path]
"""``(method, sites, seed, rounds) -> run folder``."""


@dataclass(frozen=True)
class Choice:
    """The method for one site, chosen on the others.

    Attributes:
        site: that is held out.
        method: with the best mean AUC over the inner sites and seeds.
        inner: method -> inner site -> mean AUC over seeds, where `site` and the inner site are left out.
    """

    site: str
    method: str
    inner: Mapping[str, Mapping[str, float]]

    def mean(self, method: str) -> float:
        """Return what the choice goes by."""
        return float(np.mean(list(self.inner[method].values())))


@cache
def at_site(folder: Path, site: str) -> Predictions:
    """Read a run's predictions on one site's test images; the names of groups say which site they are of."""
    found, sites = predictions(folder)
    mine = found.take(sites == site)
    groups = np.char.add(f"{site}/", mine.groups.astype(str))
    return Predictions(mine.probabilities, mine.labels, groups, mine.classes, mine.malignant)


def chosen_methods(folder: Folder, inner: Mapping[str, Sequence[str]], seeds: Sequence[int]) -> list[Choice]:
    """Choose for each site by the mean AUC at the inner sites, none of whose images trained, and no image of `site`."""
    choices = []
    for site, others in inner.items():
        found = {
            method: {
                other: float(
                    np.mean([macro_auc(at_site(folder(method, (site, other), seed), other)) for seed in seeds])
                )
                for other in others
            }
            for method in METHODS
        }
        best = max(found, key=lambda method: float(np.mean(list(found[method].values()))))
        choices.append(Choice(site, best, found))
    return choices


def over_sites(statistic: Statistic) -> Statistic:
    """Make the statistic "mean over the held-out sites", of predictions at all of them below each other."""

    def mean(found: Predictions, weights: FloatArray) -> FloatArray:
        names = np.char.partition(found.groups.astype(str), "/")[:, 0]
        rows = [np.flatnonzero(names == site) for site in SITES]
        return np.asarray(np.mean([statistic(found.take(own), weights[..., own]) for own in rows], axis=0))

    return mean


def held_out(
    folder: Folder, methods: Mapping[str, str], seeds: Sequence[int], *rounds: int
) -> tuple[list[Predictions], dict[str, list[Predictions]]]:
    """Return predictions at every site by a model that never saw it: all below each other, and by site; one a seed.

    Args:
        folder: of a run.
        methods: site -> method.
        seeds: of the runs.
        rounds: of the runs, if not the usual number.
    """
    sites = {
        site: [at_site(folder(method, (site,), seed, *rounds), site) for seed in seeds]
        for site, method in methods.items()
    }
    return [Predictions.concatenate([sites[site][n] for site in sites]) for n in range(len(seeds))], sites


def results_of(
    folder: Folder,
    choices: Sequence[Choice],
    names: Sequence[str],
    seeds: Sequence[int],
    compared: Mapping[int, Sequence[int]],
) -> dict[str, Any]:
    """Compute every method's figures at the held-out sites, and the paired differences of the choice to FedAvg.

    Args:
        folder: of a run.
        choices: one for each site.
        names: of the methods that are done.
        seeds: of their runs.
        compared: rounds -> seeds with which the choice is compared to FedAvg.
    """
    chosen = {choice.site: choice.method for choice in choices}
    methods = {method: _figures(folder, dict.fromkeys(SITES, method), seeds) for method in names}
    taking_part = [
        run for run in (folder(FEDAVG, (), seed) for seed in seeds) if (run / "predictions.safetensors").exists()
    ]
    plain, _ = held_out(folder, dict.fromkeys(SITES, FEDAVG), seeds)
    return {
        "seeds": list(seeds),
        "rounds": {str(number): list(used) for number, used in compared.items()},
        "auc_classes": {site: _classes(folder(FEDAVG, (site,), seeds[0]), site) for site in SITES},
        "images": {site: len(at_site(folder(FEDAVG, (site,), seeds[0]), site)) for site in SITES},
        "methods": methods | {"chosen among training sites": _figures(folder, chosen, seeds)},
        "longer": {
            f"{name}, {number} rounds, {len(used)} seeds": _figures(folder, named, used, number)
            for number, used in list(compared.items())[1:]
            for name, named in ((FEDAVG, dict.fromkeys(SITES, FEDAVG)), ("chosen", chosen))
        },
        "not_chosen": {
            method: {
                name: asdict(paired_difference(found, plain, over_sites(statistic), REPLICATES))
                for name, statistic in STATISTICS.items()
            }
            for method in names
            if method != FEDAVG
            for found in [held_out(folder, dict.fromkeys(SITES, method), seeds)[0]]
        },
        "taking_part": {
            name: {
                site: float(np.mean([statistic(at_site(run, site), _once(at_site(run, site))) for run in taking_part]))
                for site in SITES
            }
            for name, statistic in STATISTICS.items()
        }
        if len(taking_part) == len(seeds)
        else None,
        "chosen": chosen,
        "differences": [row for number, used in compared.items() for row in _differences(folder, chosen, used, number)],
    }


def _figures(folder: Folder, methods: Mapping[str, str], seeds: Sequence[int], *rounds: int) -> dict[str, Any]:
    _, sites = held_out(folder, methods, seeds, *rounds)
    figures: dict[str, Any] = {}
    for name, statistic in STATISTICS.items():
        values = np.array([[statistic(each, _once(each)) for each in sites[site]] for site in SITES])
        means = {site: {name: float(np.mean(row))} for site, row in zip(SITES, values, strict=True)}
        over_seeds = values.mean(axis=0)
        figures[name] = {
            "sites": {site: found[name] for site, found in means.items()},
            "mean": float(over_seeds.mean()),
            "sd": float(over_seeds.std(ddof=1)) if len(seeds) > 1 else 0.0,
            "worst": list(worst_of(means)[name]),
        }
    return figures


def _differences(folder: Folder, chosen: Mapping[str, str], seeds: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    ours, ours_by_site = held_out(folder, chosen, seeds, rounds)
    plain, plain_by_site = held_out(folder, dict.fromkeys(SITES, FEDAVG), seeds, rounds)
    rows = []
    for name, statistic in STATISTICS.items():
        compared = {"mean of the four": (ours, plain, over_sites(statistic))} | {
            site: (ours_by_site[site], plain_by_site[site], statistic) for site in SITES
        }
        for where, (a, b, measured) in compared.items():
            found = paired_difference(a, b, measured, REPLICATES)
            aim = AIM if (where, name) == ("mean of the four", "auc") else None
            rows.append(
                {
                    "rounds": rounds,
                    "seeds": len(seeds),
                    "where": where,
                    "statistic": name,
                    "mean": found.value,
                    "low": found.low,
                    "high": found.high,
                    "aim": aim,
                    "verdict": verdict(found, aim) if aim is not None else _sign(found),
                }
            )
    return rows


def _sign(found: Estimate) -> str:
    if found.low is None or found.high is None or found.low <= 0 <= found.high:
        return "undecided"
    return "better" if found.low > 0 else "worse"


def _classes(folder: Path, site: str) -> list[str]:
    return list(auc_classes(at_site(folder, site)))


def _once(found: Predictions) -> FloatArray:
    return np.ones(len(found))


def write(results: dict[str, Any], choices: Sequence[Choice], cpu: Path) -> None:
    """Write the three files, with the CPU time that all runs took."""
    spent = sum(json.loads(line)["cpu_s"] for line in cpu.read_text().splitlines())
    results = {**results, "cpu_hours": round(spent / 3600, 2)}
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    (HERE / "results.md").write_text(markdown(results))
    with (HERE / "selection.csv").open("w", newline="") as opened:
        table = csv.writer(opened, lineterminator="\n")
        table.writerow(["held_out", "method", "mean_inner_auc", *(f"{site}_inner_auc" for site in SITES), "chosen"])
        for choice in choices:
            for method in METHODS:
                inner = [choice.inner[method].get(site) for site in SITES]
                cells = ["" if value is None else f"{value:.4f}" for value in inner]
                mine = "yes" if method == choice.method else ""
                table.writerow([choice.site, method, f"{choice.mean(method):.4f}", *cells, mine])
    print(markdown(results))


def markdown(results: dict[str, Any]) -> str:
    """Return the results as tables."""
    lines = []
    for name, title in (("auc", "AUC"), ("malignant_auc", "AUC, malignant against benign")):
        lines += [
            f"{title} at the site that was left out, mean over {len(results['seeds'])} seeds "
            f"({next(iter(results['rounds']))} rounds of a tenth of a pass):",
            "",
            f"| method | {' | '.join(SITES)} | mean ± sd | worst site |",
            "|" + "---|" * (3 + len(SITES)),
        ]
        for method, row in (results["methods"] | results["longer"]).items():
            found = row[name]
            cells = " | ".join(f"{found['sites'][site]:.3f}" for site in SITES)
            worst = f"{found['worst'][1]:.3f} ({found['worst'][0]})"
            lines.append(f"| {method} | {cells} | {found['mean']:.4f} ± {found['sd']:.4f} | {worst} |")
        if results["taking_part"]:
            cells = " | ".join(f"{results['taking_part'][name][site]:.3f}" for site in SITES)
            lines.append(f"| fedavg, the site takes part (its own test part) | {cells} | | |")
        lines.append("")
    lines += ["Chosen on the training sites alone: " + _chosen(results) + ".", ""]
    lines += [
        "| chosen - fedavg | statistic | rounds | seeds | difference (95% interval) | aim | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results["differences"]:
        aim = "" if row["aim"] is None else f"≥ {row['aim']:+.3f}"
        interval = f"{row['mean']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})"
        cells = (row["where"], row["statistic"], row["rounds"], row["seeds"], interval, aim, row["verdict"])
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", "Every method at all four sites against FedAvg, whatever was chosen (mean of the four):", ""]
    for method, found in results["not_chosen"].items():
        said = (f"{name} {row['value']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})" for name, row in found.items())
        lines.append(f"- {method}: {'; '.join(said)}")
    lines += ["", "Classes that ten or more lesions of the site show, averaged in its AUC:", ""]
    lines += [
        f"- {site} ({results['images'][site]} images): {', '.join(classes)}"
        for site, classes in results["auc_classes"].items()
    ]
    return "\n".join(lines) + f"\n\nAll runs took {results['cpu_hours']} CPU-hours.\n"


def _chosen(results: dict[str, Any]) -> str:
    return "; ".join(f"{site}: {method}" for site, method in results["chosen"].items())
