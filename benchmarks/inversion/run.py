"""Seconds of the same attack, iteration for iteration, here and in breaching: one guess, and eight."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import numpy as np  # noqa: E402
import peer  # noqa: E402
import torch  # noqa: E402
from measure import Report, Row, Spread, finish, options  # noqa: E402
from skimage import data, transform  # noqa: E402

from wardround.attacks import Budget, InvertingGradients, Observation  # noqa: E402
from wardround.metrics.image_quality import psnr_db  # noqa: E402
from wardround.tasks.models import FlatCnn  # noqa: E402

STEPS, REPEATS = 200, 5
LABEL = 3


def main() -> None:
    """Measure in turn, so that a busy moment of the machine hits both alike."""
    chosen = options(__doc__ or "")
    steps, repeats = (10, 2) if chosen.quick else (STEPS, REPEATS)
    torch.set_num_threads(1)
    image = transform.resize(data.retina(), (32, 32), anti_aliasing=True).astype(np.float32)
    torch.manual_seed(0)
    network = FlatCnn().build(3, 7)
    inputs = torch.from_numpy(image).permute(2, 0, 1)[None] * 4 - 2
    loss = torch.nn.functional.cross_entropy(network(inputs), torch.tensor([LABEL]))
    gradients = [slope.detach() for slope in torch.autograd.grad(loss, list(network.parameters()))]
    attacker = peer.load()

    def ours(restarts: int) -> np.ndarray:
        seen = Observation.of_gradients(network, gradients, (3, 32, 32), 1)
        attack = InvertingGradients(Budget(steps, restarts=restarts))
        return attack.run(seen, seed=1, labels=np.array([LABEL])).images[0]

    def theirs(restarts: int) -> np.ndarray:
        found = peer.attack(attacker, network, gradients, LABEL, steps, restarts)
        return ((found[0].permute(1, 2, 0).numpy() + 2) / 4).clip(0, 1)

    report = Report("inversion", {"iterations": steps, "repeats": repeats, "attack": "Inverting Gradients, 32 px"})
    for restarts in (1, 8):
        ratios, seconds, reached = [], {"wardround": [], "breaching": []}, {}
        for repeat in range(repeats + 1):
            for name, attack in (("wardround", ours), ("breaching", theirs)):
                took, reached[name] = _timed(attack, restarts)
                if repeat:
                    seconds[name].append(took)
            if repeat:
                ratios.append(seconds["breaching"][-1] / seconds["wardround"][-1])
        guesses = "one guess" if restarts == 1 else f"{restarts} guesses"
        for name, samples in seconds.items():
            note = f"reaches {psnr_db(image, reached[name]):.1f} dB"
            report.rows.append(Row(f"{name}, {guesses}", Spread.of(samples), note=note))
            report.samples[f"{name}, {guesses}"] = samples
        report.rows.append(Row(f"breaching / wardround, {guesses}", Spread.of(ratios), unit="×", at_least=2))
    finish(report, HERE, chosen)


def _timed(attack: Callable[[int], np.ndarray], restarts: int) -> tuple[float, np.ndarray]:
    began = time.perf_counter()
    found = attack(restarts)
    return time.perf_counter() - began, found


if __name__ == "__main__":
    main()
