"""An attacker who knows every canary and sees every model: it refutes no claim, unless the noise is off."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from wardround.privacy.audit import epsilon_lower_bound

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "privacy-audit"
CANARIES, GUESSES, DELTA = 200, 120, 1e-5
SEALED = [
    {"stage": "clip", "norm": 64.0},
    {"stage": "quantise", "bits": 22},
    {"stage": "noise", "mechanism": "discrete_gaussian"},
    {"stage": "masks", "threshold": 2},
]


@pytest.fixture(scope="module", autouse=True)
def _experiment() -> None:
    sys.path.insert(0, str(EXPERIMENT))


@pytest.mark.parametrize("noise", ["sum", "site"])
def test_a_claim_holds_against_canaries_and_falls_without_its_noise(tmp_path: Path, noise: str) -> None:
    from canaries import audited, plan_of, silent

    plan = plan_of(
        {
            "rounds": 3,
            "algorithm": {"name": "dpsgd", "noise": noise, "sampling_rate": 1.0, "expected_units": 100.0, "clip": 0.5},
            "training": {"learning_rate": 0.01, "steps": 1},
            "privacy": {"unit": "image", "noise_multiplier": 3.0, "delta": DELTA, "randomness": "seed"},
            "protect": SEALED if noise == "sum" else [],
        }
    )

    def refuted(folder: Path) -> tuple[float, float]:
        there, score, epsilon = audited(plan, CANARIES, 1, 7, folder)
        order = np.argsort(score)
        correct = int(there[order[-GUESSES // 2 :]].sum() + (~there[order[: GUESSES // 2]]).sum())
        return epsilon_lower_bound(correct, GUESSES, CANARIES, DELTA), epsilon

    bound, epsilon = refuted(tmp_path / "noisy")
    assert bound <= epsilon < 3.6
    with silent():
        bound, epsilon = refuted(tmp_path / "silent")
    assert bound > epsilon
