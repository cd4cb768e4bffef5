"""Of what use the images are: a classifier of few real images, alone and with synthetic ones beside them.

    WARDROUND_DATA=folder python experiments/fedgan-vanilla/utility.py [OUT] [--seeds N]

Takes the generators that ``run.py`` trained into OUT, of the same seeds; writes ``utility.json`` and ``utility.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from judge import HERE, Judge, generator_of
from run import SEEDS
from seeds import interval

from wardround.core.context import derive_seed
from wardround.metrics.clinical import binary_auc
from wardround.tasks import Classification
from wardround.tasks.inputs import to_input
from wardround.tasks.models import SmallCnn

REAL_PER_CLASS = (25, 50, 100, 200)
SYNTHETIC_PER_CLASS = 1000
STEPS, BATCH = 300, 32
TASK = Classification(SmallCnn(width=16), 1, ("normal", "pneumonia"))
Labelled = tuple[np.ndarray, np.ndarray]


def fitted(parts: list[Labelled], seed: int) -> torch.nn.Module:
    """Train a classifier; each batch has as many images of one part as of another."""
    torch.manual_seed(derive_seed(seed, "utility"))
    rng = np.random.default_rng(derive_seed(seed, "utility batches"))
    network = TASK.build(seed).train()
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3)
    for _ in range(STEPS):
        drawn = [(pixels, labels, rng.integers(0, len(labels), BATCH // len(parts))) for pixels, labels in parts]
        inputs = np.concatenate([pixels[rows] for pixels, _, rows in drawn])
        targets = np.concatenate([labels[rows] for _, labels, rows in drawn])
        loss = TASK.loss(network, to_input(inputs), torch.from_numpy(targets))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    return network.eval()


def few(judge: Judge, count: int, seed: int) -> Labelled:
    """Return `count` real training images of each class."""
    images, rng = judge.real["train"], np.random.default_rng(derive_seed(seed, "few"))
    rows = [rng.permutation(np.flatnonzero(images.labels == label))[:count] for label in (0, 1)]
    return images.batch(np.concatenate(rows)), images.labels[np.concatenate(rows)]


def rows_of(judge: Judge, out: Path, seed: int) -> list[dict[str, Any]]:
    """Train with and without synthetic images, and test on the official test part and on the validation part."""
    task, network = generator_of(out / f"pneumonia-{seed}")
    labels = np.repeat(np.arange(2), SYNTHETIC_PER_CLASS)
    synthetic = task.draw(network, labels, np.random.default_rng(derive_seed(seed, "utility"))), labels
    arms = {("synthetic alone", 0): [synthetic]}
    for count in REAL_PER_CLASS:
        arms["real", count] = [few(judge, count, seed)]
        arms["both", count] = [few(judge, count, seed), synthetic]
    found = []
    for (arm, count), parts in arms.items():
        classifier = fitted(parts, seed)
        aucs = {}
        for part in ("val", "test"):
            said = TASK.evaluate(classifier, judge.real[part])
            aucs[part] = float(binary_auc(said.probabilities[:, 1], said.labels == 1))
        found.append({"arm": arm, "real_per_class": count, "seed": seed, **aucs})
        print(found[-1], flush=True)
    return found


def written(rows: list[Mapping[str, Any]]) -> str:
    """Return the AUCs on validation images, and the paired gain by synthetic ones."""
    by = {(row["arm"], row["real_per_class"], row["seed"]): row["val"] for row in rows}
    seeds = sorted({row["seed"] for row in rows})
    lines = ["| real images per class | alone | with synthetic ones | gain |", "|---|---|---|---|"]
    for count in REAL_PER_CLASS:
        alone, both = ([by[arm, count, seed] for seed in seeds] for arm in ("real", "both"))
        gains = [after - before for after, before in zip(both, alone, strict=True)]
        lines.append(f"| {count} | {' | '.join(_cell(values) for values in (alone, both, gains))} |")
    lines.append(f"| none | | {_cell([by['synthetic alone', 0, seed] for seed in seeds])} | |")
    return "\n".join(lines) + "\n"


def _cell(values: list[float]) -> str:
    found = interval(values)
    ends = f" ({found[1]:.3f} to {found[2]:.3f})" if len(found) == 3 else ""
    return f"{found[0]:.3f}{ends}"


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs"))
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    judge = Judge.of("pneumonia-judge.toml", chosen.out, Path(os.environ["WARDROUND_DATA"]))
    rows = [row for seed in SEEDS[: chosen.seeds] for row in rows_of(judge, chosen.out, seed)]
    (HERE / "utility.json").write_text(json.dumps(rows, indent=1) + "\n")
    (HERE / "utility.md").write_text(written(rows))
    sys.stdout.write(written(rows))


if __name__ == "__main__":
    main()
