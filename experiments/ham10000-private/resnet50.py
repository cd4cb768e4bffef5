"""A ResNet-50 with GroupNorm, as the published setting has one: seconds and bytes of a few rounds, no AUC claimed.

    WARDROUND_DATA=folder python experiments/ham10000-private/resnet50.py [OUT]

Central, federated, sealed, and sealed with the noise of the sum, each with one step a site and round of about eight
images. Writes ``resnet50.csv``. One process, one thread; needs 8 GB of memory.
"""

from __future__ import annotations

import argparse
import csv
import os
from dataclasses import replace
from pathlib import Path

from rows import FEDERATED, HERE, SEALED, Runner

from wardround.aggregate import Mean
from wardround.algorithms import Central, DpSgd, FedAvg, Training
from wardround.privacy import Privacy
from wardround.protect.clip import Clip
from wardround.protect.noise import AddNoise
from wardround.protect.pipeline import Homomorphic, Masks, Pipeline
from wardround.protect.quantise import Quantise
from wardround.rounds.evaluation import Evaluation
from wardround.rounds.plan import Plan
from wardround.study.folder import RunFolder
from wardround.study.spec import load
from wardround.tasks.models import ResNet50

ROUNDS = 3
IMAGES = 8
SITES = 4
PRIVATE = Pipeline((Clip(256.0), Quantise(24), AddNoise("discrete_gaussian"), Masks(threshold=SITES), Homomorphic()))
CLAIM = Privacy("image", 1e-5, epsilon=1.2, randomness="seed")


def plans() -> dict[str, Plan]:
    """Return the four plans."""
    base = load(FEDERATED / "federated.toml")
    federated = replace(
        base,
        name="resnet50",
        data=replace(base.data, source=replace(base.data.source, size_px=64)),
        model=ResNet50(64),
        rounds=ROUNDS,
        algorithm=FedAvg(),
        aggregator=Mean("uniform"),
        training=Training(steps=1, batch_size=IMAGES, learning_rate=0.001, precision="float32"),
        evaluation=Evaluation(every=0, bootstrap=0),
    )
    sampled = DpSgd(sampling_rate=IMAGES * SITES / 7000, expected_units=IMAGES * SITES, clip=1.0, noise="sum")
    return {
        "central": replace(federated, algorithm=Central(), training=replace(federated.training, steps=SITES)),
        "federated": federated,
        "sealed": replace(federated, pipeline=SEALED),
        "everything": replace(federated, algorithm=sampled, pipeline=PRIVATE, privacy=CLAIM),
    }


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/ham10000-private"))
    runner = Runner(parser.parse_args().out, Path(os.environ["WARDROUND_DATA"]))
    rows = []
    for name, plan in plans().items():
        folder = RunFolder(runner.run(f"resnet50-{name}", plan))
        records = folder.records()
        train_s = sum(record.seconds["train"] + record.seconds["server"] for record in records) / ROUNDS
        sites = len(records[0].cohort)
        up, down = (sum(getattr(r, key) for r in records) / ROUNDS / sites / 1e6 for key in ("bytes_up", "bytes_down"))
        rows.append((name, f"{train_s:.1f}", f"{up:.1f}", f"{down:.1f}"))
        print(*rows[-1], flush=True)
    with (HERE / "resnet50.csv").open("w", newline="") as table:
        csv.writer(table).writerows([("row", "seconds_per_round", "MB_up_per_site", "MB_down_per_site"), *rows])


if __name__ == "__main__":
    main()
