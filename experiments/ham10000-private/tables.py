"""Results as tables and figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from rows import FRONTIER, HERE, ROWS, SCRATCH_FRONTIER

SCRATCH_AIM = 0.85
EVERYTHING_AIM = 2.0
"""Seconds of everything on, over seconds of central training."""

Results = dict[str, Any]


def markdown(results: Results) -> str:
    """Return all tables."""
    lines = [
        f"Test: {results['test']['images']} images. Floor: the AUC of knowing each site's label frequencies alone. "
        "CPU: one run on one thread, the features of all images included where there are any.",
        "",
        "| row | seeds | pooled AUC | floor | site-mean AUC | floor | malignant AUC | ε | δ | unit | CPU s | hours "
        "| MB up | MB down |",
        "|" + "---|" * 14,
        *(_line(name, results) for name in ROWS if name in results["rows"] or name in results["quoted"]),
        "",
        "| difference | statistic | seeds | mean (95% interval) | aim | verdict |",
        "|---|---|---|---|---|---|",
        *(_difference(row) for row in results["differences"] if row["seeds"]),
        "",
        *aims(results),
    ]
    if results["quoted"]:
        lines += [
            "",
            f"Quoted from the experiment named, same plan, not trained again: {', '.join(results['quoted'])}.",
        ]
    if results["missing"]:
        lines += ["", f"Not done with all seeds: {', '.join(results['missing'])}."]
    return "\n".join(lines) + "\n"


def _line(name: str, results: Results) -> str:
    floor, row, quoted = results["floor"], results["rows"].get(name), results["quoted"].get(name)
    cells = [ROWS[name].label]
    if quoted is not None:
        pooled, mean = f"{quoted['pooled_auc']:.4f}", f"{quoted['site_mean_auc']:.4f}"
        cells += [f"7, {quoted['source']}", pooled, f"{floor['pooled_auc']:.3f}", mean]
        cells += [f"{floor['site_mean_auc']:.3f}", "–"]
    else:
        cells += [str(len(row["seeds"])), _with_sd(row["pooled_auc"]), f"{floor['pooled_auc']:.3f}"]
        cells += [_with_sd(row["site_mean_auc"]), f"{floor['site_mean_auc']:.3f}", _with_sd(row["malignant_auc"])]
    if row is None:
        return f"| {' | '.join([*cells, *['–'] * 7])} |"
    cells += ["–" if row[key] is None else f"{row[key]:.3g}" for key in ("epsilon", "delta")]
    seconds = cpu_s(results, name)
    cells += [row["unit"] or "–", f"{seconds:.0f}", f"{seconds / 3600:.4f}"]
    cells += ["–" if row["pooled"] else f"{row[key] / 1e6:.2f}" for key in ("bytes_up", "bytes_down")]
    return f"| {' | '.join(cells)} |"


def _difference(row: Results) -> str:
    aim = "" if row["aim"] is None else f"≥ {row['aim']:+.3f}"
    interval = f"{row['mean']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})"
    cells = (row["what"], row["statistic"], str(len(row["seeds"])), interval, aim, row["verdict"] or "")
    return f"| {' | '.join(cells)} |"


def cpu_s(results: Results, name: str) -> float:
    """Return a row's CPU seconds, with those of its features."""
    row = results["rows"][name]
    return float(row["cpu_s"]) + float(row["features_cpu_s"])


def aims(results: Results) -> Iterator[str]:
    """Return a line for each aim that is no difference of AUCs."""
    rows = results["rows"]
    if "scratch" in rows:
        value = rows["scratch"]["pooled_auc"]["mean"]
        yield f"- (a) from scratch, pooled AUC {value:.3f}: aim above {SCRATCH_AIM:.2f} {_met(value > SCRATCH_AIM)}."
    for other in ("central", "features-central"):
        if "everything" in rows and other in rows:
            own, base = cpu_s(results, "everything"), cpu_s(results, other)
            yield (
                f"- Everything on against {rows[other]['label']}: {own:.0f} s of CPU against {base:.0f} s, "
                f"{own / base:.2f} ×: aim at most {EVERYTHING_AIM:.1f} × {_met(own / base <= EVERYTHING_AIM)}."
            )


def _met(met: bool) -> str:
    return "met" if met else "missed"


def _with_sd(value: dict[str, float | None]) -> str:
    return f"{value['mean']:.4f}" + ("" if value["sd"] is None else f" ± {value['sd']:.4f}")


def write_frontier(results: Results) -> None:
    """Write AUC over epsilon as ``frontier.csv`` and ``frontier.png``."""
    lines = ["model,epsilon,seeds,pooled_auc,pooled_sd,site_mean_auc,site_mean_sd"]
    curves = {}
    for model, frontier in (("fixed features", FRONTIER), ("from scratch", SCRATCH_FRONTIER)):
        points = [(row.epsilon, results["rows"][name]) for name, row in frontier.items() if name in results["rows"]]
        for epsilon, row in points:
            cells = [
                value for key in ("pooled_auc", "site_mean_auc") for value in (row[key]["mean"], row[key]["sd"] or 0.0)
            ]
            lines.append(",".join([model, epsilon, str(len(row["seeds"])), *(f"{cell:.4f}" for cell in cells)]))
        if points:
            curves[model] = points
    (HERE / "frontier.csv").write_text("\n".join(lines) + "\n")
    draw(curves, results)


def draw(curves: dict[str, list[tuple[str, Results]]], results: Results) -> None:
    """Draw each model's frontier with the noise-free centre and the floor."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4.0), layout="constrained")
    epsilons = [row.epsilon for row in FRONTIER.values()]
    colours = {"pooled_auc": "tab:blue", "site_mean_auc": "tab:orange"}
    for (model, points), (marker, dash) in zip(curves.items(), (("o", "-"), ("s", "-.")), strict=False):
        places = [epsilons.index(epsilon) for epsilon, _ in points]
        for key, name in (("pooled_auc", "pooled"), ("site_mean_auc", "mean of three sites")):
            means = np.array([row[key]["mean"] for _, row in points])
            spread = np.array([row[key]["sd"] or 0.0 for _, row in points])
            axes.plot(places, means, dash, marker=marker, color=colours[key], label=f"{model}, {name}")
            axes.fill_between(places, means - spread, means + spread, color=colours[key], alpha=0.15, linewidth=0)
    if "features-central" in results["rows"]:
        for key, name in (("pooled_auc", "pooled"), ("site_mean_auc", "mean of three sites")):
            central = results["rows"]["features-central"][key]["mean"]
            axes.axhline(central, color=colours[key], linestyle="--", linewidth=1, label=f"central features, {name}")
    axes.axhline(results["floor"]["pooled_auc"], color="grey", linestyle=":", linewidth=1, label="site prior, pooled")
    axes.set_xticks(range(len(epsilons)), ["∞" if epsilon == "inf" else epsilon for epsilon in epsilons])
    axes.set_xlabel("ε per image (δ = 1e-5)")
    axes.set_ylabel("macro AUC on the test part")
    axes.legend(fontsize="x-small", loc="lower right")
    figure.savefig(HERE / "frontier.png", dpi=150, metadata={"Software": None})
    pyplot.close(figure)
