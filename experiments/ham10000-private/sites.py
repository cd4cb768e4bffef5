"""How many sites site-level privacy needs: the noise of ever more sites, on the four that there are.

    WARDROUND_DATA=folder python experiments/ham10000-private/sites.py [OUT]

With M sites like these four, the sum of updates is M / 4 times as long and the noise the same, so that the mean has
4 / M of the noise. That is what is trained here: ``site.toml`` with its noise multiplier divided by M / 4. It says how
the noise of M sites hurts; it does not say what more data would help. Writes ``sites.csv`` and ``sites.png``.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from rows import HERE, Runner
from run import LARGE, predictions, site_prior_floor

from wardround.metrics.clinical import macro_auc
from wardround.metrics.intervals import site_mean_auc
from wardround.protect.noise import AddNoise
from wardround.protect.pipeline import Pipeline
from wardround.rounds.plan import Plan
from wardround.study.spec import load

REAL = 4
NUMBERS = (4, 64, 256, 1024, 4096)
SEEDS = (11, 12, 13)


def plan_of(sites: int, seed: int) -> Plan:
    """Return the plan with the noise that so many sites would see in their mean."""
    plan = replace(load(HERE / "site.toml"), seed=seed)
    if plan.privacy is None or plan.guarantee is None or plan.pipeline.clip is None:
        raise ValueError("site.toml claims nothing")
    multiplier = plan.guarantee.multiplier * REAL / sites
    stages = (plan.pipeline.clip, AddNoise(at="coordinator"))  # the same noise, without the cost of hiding its shares
    privacy = replace(plan.privacy, epsilon=0.0, noise_multiplier=multiplier)
    return replace(plan, privacy=privacy, pipeline=Pipeline(stages))


def main() -> None:
    """Train what is missing, write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/ham10000-private"))
    runner = Runner(parser.parse_args().out, Path(os.environ["WARDROUND_DATA"]))
    lines = ["sites,seeds,pooled_auc,pooled_sd,site_mean_auc,site_mean_sd"]
    found: dict[int, np.ndarray] = {}
    for sites in NUMBERS:
        values = []
        for seed in SEEDS:
            each, origins = predictions(runner.run(f"sites-{sites}-{seed}", plan_of(sites, seed)))
            ones = np.ones(len(each))
            values.append((macro_auc(each, ones), site_mean_auc(origins, LARGE)(each, ones)))
        found[sites] = np.array(values)
        cells = np.stack([found[sites].mean(axis=0), found[sites].std(axis=0, ddof=1)], axis=1).ravel()
        lines.append(",".join([str(sites), str(len(SEEDS)), *(f"{cell:.4f}" for cell in cells)]))
        print(lines[-1], flush=True)
    (HERE / "sites.csv").write_text("\n".join(lines) + "\n")
    floor = site_prior_floor(runner)
    draw(found, macro_auc(floor, np.ones(len(floor))))


def draw(found: dict[int, np.ndarray], floor: float) -> None:
    """Draw AUC over the number of sites."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4.0), layout="constrained")
    for column, name in enumerate(("pooled", "mean of three sites")):
        means = [values[:, column].mean() for values in found.values()]
        spread = [values[:, column].std(ddof=1) for values in found.values()]
        axes.errorbar(list(found), means, yerr=spread, marker="o", capsize=3, label=name)
    axes.axhline(floor, color="grey", linestyle=":", linewidth=1, label="site prior, pooled")
    axes.set_xscale("log", base=2)
    axes.set_xlabel("sites in the sum (ε = 1.2 per site, δ = 1e-5)")
    axes.set_ylabel("macro AUC on the test part")
    axes.legend(fontsize="small", loc="lower right")
    figure.savefig(HERE / "sites.png", dpi=150, metadata={"Software": None})
    pyplot.close(figure)


if __name__ == "__main__":
    main()
