"""Does the noise keep what epsilon claims? Remakes ``results.json`` and ``results.md`` beside this file.

    OMP_NUM_THREADS=1 python experiments/privacy-audit/run.py

Needs no data. Coins, sampling and noise are seeded.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from canaries import audited, plan_of, silent  # noqa: E402
from opacus.accountants import PRVAccountant  # noqa: E402

from wardround.privacy import DiscreteGaussian, Gaussian, epsilon_of  # noqa: E402
from wardround.privacy.audit import epsilon_lower_bound  # noqa: E402

CANARIES = 2000
GUESSES = CANARIES // 5
SEEDS = (1, 2, 3, 4, 5)
DELTA = 1e-5
SEALED = [
    {"stage": "clip", "norm": 128.0},
    {"stage": "quantise", "bits": 22},
    {"stage": "noise", "mechanism": "discrete_gaussian"},
    {"stage": "masks", "threshold": 2},
]


def table(unit: str, epsilon: float, rounds: int, rate: float, noise: str, steps: int = 1) -> dict[str, Any]:
    """Return a plan; `noise` as in ``[algorithm]``."""
    expected = rate * CANARIES / (2 if noise == "sum" else 6)
    return {
        "rounds": rounds,
        "algorithm": {"name": "dpsgd", "noise": noise, "sampling_rate": rate, "expected_units": expected, "clip": 0.5},
        "training": {"learning_rate": 0.01, "steps": steps},
        "privacy": {"unit": unit, "epsilon": epsilon, "delta": DELTA, "randomness": "seed"},
        "protect": SEALED if noise == "sum" else [],
    }


PLANS: dict[str, tuple[dict[str, Any], int]] = {
    "sum, image, all in 10 rounds, epsilon 4": (table("image", 4.0, 10, 1.0, "sum"), 1),
    "sum, patient, all in 10 rounds, epsilon 4": (table("patient", 4.0, 10, 1.0, "sum"), 2),
    "sum, image, a tenth in 40 rounds, epsilon 1.2": (table("image", 1.2, 40, 0.1, "sum"), 1),
    "site, image, a fifth in 10 rounds of 2 steps, epsilon 2": (table("image", 2.0, 10, 0.2, "site", 2), 1),
}
"""What is audited -> its plan, and the images of a canary."""

RUNS = [
    (Gaussian(1.0, 0.01), 1000, 1e-5),
    (Gaussian(2.0, 0.07), 40, 1e-5),
    (Gaussian(1.1, 0.05), 200, 1e-5),
    (Gaussian(4.0, 0.3), 100, 1e-5),
    (Gaussian(0.8, 0.004), 3000, 1e-6),
    (Gaussian(5.0, 1.0), 20, 1e-5),
]


def accounted() -> list[dict[str, float]]:
    """Compare epsilon with Opacus's PRV accountant, and with what discrete noise of the same size costs."""
    rows = []
    for event, count, delta in RUNS:
        opacus = PRVAccountant()
        opacus.history = [(event.noise_multiplier, event.sampling_rate, count)]
        ours, theirs = epsilon_of({event: count}, delta), opacus.get_epsilon(delta, eps_error=0.001)
        discrete = epsilon_of({DiscreteGaussian(event.noise_multiplier, event.sampling_rate): count}, delta)
        rows.append(
            {
                "noise_multiplier": event.noise_multiplier,
                "sampling_rate": event.sampling_rate,
                "events": count,
                "delta": delta,
                "epsilon": ours,
                "opacus": theirs,
                "ratio": ours / theirs,
                "discrete": discrete,
            }
        )
    return rows


def attacked(name: str, off: bool, seed: int) -> dict[str, Any]:
    """Audit one run: guess that the highest scores were there, and the lowest were not."""
    settings, each = PLANS[name]
    with tempfile.TemporaryDirectory() as folder, silent() if off else nullcontext():
        there, score, epsilon = audited(plan_of({**settings, "seed": seed}), CANARIES, each, seed, Path(folder))
    order = np.argsort(score)
    half = GUESSES // 2
    correct = int(there[order[-half:]].sum() + (~there[order[:half]]).sum())
    bound = epsilon_lower_bound(correct, GUESSES, CANARIES, DELTA)
    return {"seed": seed, "correct": correct, "epsilon": epsilon, "at_least": bound}


def main() -> None:
    """Run everything and write the results."""
    began = time.process_time()
    found: dict[str, Any] = {"canaries": CANARIES, "guesses": GUESSES, "delta": DELTA, "audits": []}
    for name in PLANS:
        for off in (False, True):
            runs = [attacked(name, off, seed) for seed in SEEDS]
            found["audits"].append({"plan": name, "noise": "off" if off else "on", "runs": runs})
            print(name, "noise off" if off else "noise on", [round(run["at_least"], 2) for run in runs], flush=True)
    found["accounting"] = accounted()
    found["cpu_s"] = round(time.process_time() - began)
    (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "results.md").write_text(page(found))


def page(found: dict[str, Any]) -> str:
    """Write the results as tables."""
    lines = [
        "# Results",
        "",
        f"{found['canaries']} canaries, {found['guesses']} guesses, delta {found['delta']:g}, 95% confidence in each "
        f"run, {len(SEEDS)} seeds. CPU: {found['cpu_s']} s.",
        "",
        "| plan | noise | epsilon of the run | refuted below, each seed | right guesses of "
        f"{found['guesses']}, mean | claim exceeded |",
        "|---|---|---|---|---|---|",
    ]
    for audit in found["audits"]:
        runs = audit["runs"]
        exceeded = sum(run["at_least"] > run["epsilon"] for run in runs)
        bounds = ", ".join(f"{run['at_least']:.2f}" for run in runs)
        lines.append(
            f"| {audit['plan']} | {audit['noise']} | {runs[0]['epsilon']:.3f} | {bounds} | "
            f"{np.mean([run['correct'] for run in runs]):.0f} | {exceeded} of {len(runs)} |"
        )
    lines += [
        "",
        "| noise multiplier | sampling rate | events | delta | epsilon | Opacus PRV | ratio | discrete noise |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['noise_multiplier']:g} | {row['sampling_rate']:g} | {row['events']} | {row['delta']:g} | "
        f"{row['epsilon']:.4f} | {row['opacus']:.4f} | {row['ratio']:.4f} | {row['discrete']:.4f} |"
        for row in found["accounting"]
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
