"""Whether a classifier gains by images that hospitals made together: AUC by real images of each class.

    WARDROUND_DATA=folder python experiments/fedgan-utility/run.py [OUT] [--seeds N] [--minutes M] [--only SET]

Trains what is missing of the generators (those of `experiments/fedgan-vanilla` are taken from the same OUT), has each
write labelled images, looks for copies among them, and trains classifiers on tables of real and synthetic images;
writes ``results.json``, ``results.md`` and ``utility.png``. Every run checkpoints; stop it and start it again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from folders import mixed, read_table, write_real, write_table
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fedgan-vanilla"))

from curves import NONE, draw, written
from judge import Judge
from plans import FIRST, FRESH, plan_for

from wardround.metrics.copies import sought_copies
from wardround.rounds.plan import Plan
from wardround.study.folder import RunFolder
from wardround.study.run import train
from wardround.study.spec import load, parse, to_table
from wardround.study.synthetic import synthesise

HERE = Path(__file__).resolve().parent
LEVELS = (25, 50, 100, 200, 0)
"""Real images of each class; 0 takes all."""
EACH = 400
"""Synthetic images of each class."""


def times_3(site: str) -> list[dict[str, Any]]:
    """Return the ``[[attack]]`` of one site, which marks its images and sends its update three times over."""
    mark = {"kind": "image_trigger", "sites": [site], "pattern": "white", "size_px": 4, "margin_px": 3}
    return [mark, {"kind": "scale", "sites": [site], "times": 3.0}]


@dataclass(frozen=True)
class Generator:
    """Where synthetic images come from.

    Attributes:
        arm: one of `plans`.
        changes: to its plan.
        called: name of its runs; empty takes the arm's.
    """

    arm: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    called: str = ""


@dataclass(frozen=True)
class Set:
    """A data set and its generators.

    Attributes:
        data: of which the real images are.
        seeds: of generators, of draws of real images and of classifiers.
        generators: source of synthetic images -> its generator.
    """

    data: str
    seeds: tuple[int, ...]
    generators: Mapping[str, Generator]


AT_PNEUMONIA, AT_HAM10000 = times_3("site-1"), times_3("rosendahl")
DETECT = [{"name": "calibrated_feddetect"}]
MIX = {"screen": [{"name": "nearest_neighbour_mixing"}], "aggregator": {"name": "median"}}
SETS = {
    "pneumonia": Set(
        "pneumonia",
        FIRST,
        {
            "federated": Generator("pneumonia"),
            "central": Generator("pneumonia-central"),
            "attacked": Generator("pneumonia", {"attack": AT_PNEUMONIA, "screen": []}, "backdoor-x3"),
            "defended": Generator("pneumonia", {"attack": AT_PNEUMONIA, "screen": DETECT}, "backdoor-x3-calibrated"),
        },
    ),
    "pneumonia-cosine": Set(
        "pneumonia",
        FRESH[:3],
        {"federated": Generator("pneumonia-cosine"), "central": Generator("pneumonia-cosine-central")},
    ),
    "ham10000": Set(
        "ham10000",
        (*FIRST, 14, 15),
        {
            "federated": Generator("ham10000"),
            "central": Generator("ham10000-central"),
            "attacked": Generator("ham10000", {"attack": AT_HAM10000}, "ham10000-x3"),
            "defended": Generator("ham10000", {"attack": AT_HAM10000, **MIX}, "ham10000-x3-mixing"),
        },
    ),
}
"""Runs that other experiments have are taken from OUT under the names that they have there."""


def run_of(out: Path, data: Path, name: str, source: str, seed: int) -> Path:
    """Train a generator unless it is there."""
    generator = SETS[name].generators[source]
    called = generator.called or generator.arm
    plan = plan_for(generator.arm, seed, called, **generator.changes)
    return train(plan, out / f"{called}-{seed}", data, resume=True, workers=0)


def images_folder(out: Path, name: str) -> Path:
    """Return the folder of a data set's images, real and synthetic, and of all tables."""
    return out / f"{SETS[name].data}-images"


def images_of(out: Path, data: Path, name: str, source: str, seed: int) -> str:
    """Have a generator write its images, unless they are there; return their folder, as tables name it."""
    folder, made = images_folder(out, name), f"{source}-{seed}"
    if not (folder / made / "manifest.csv").exists():
        run = run_of(out, data, name, source, seed)
        shutil.rmtree(folder / made, ignore_errors=True)
        synthesise(run, folder / made, EACH, seed)
    return made


def copies_file(out: Path, name: str, source: str, seed: int) -> Path:
    """Return where `copies_of` keeps what it found."""
    return out / "classifiers" / f"{name}-{source}-{seed}.copies.json"


def copies_of(out: Path, data: Path, name: str, source: str, seed: int) -> dict[str, Any]:
    """Look for copies of training images among those that a generator wrote, by the judge's features."""
    kept = copies_file(out, name, source, seed)
    if not kept.exists():
        folder = images_folder(out, name) / images_of(out, data, name, source, seed)
        files = [folder / row["image"] for row in read_table(folder / "manifest.csv")]
        judge = judge_of(out, data, SETS[name].data)
        made = judge.features(np.stack([np.atleast_3d(np.asarray(Image.open(file))) for file in files]))
        copies = sought_copies(made, judge.known["train"], judge.known["val"], np.random.default_rng(0))
        said = {**asdict(copies), "passes": copies.passes}
        kept.write_text(json.dumps({"set": name, "source": source, "seed": seed, **said}, indent=1))
    found: dict[str, Any] = json.loads(kept.read_text())
    return found


@cache
def judge_of(out: Path, data: Path, of: str) -> Judge:
    """Return the judge of a data set, trained at first use."""
    return Judge.of(f"{of}-judge.toml", out, data)


def classifier_plan(name: str, folder: Path, table: str, seed: int) -> Plan:
    """Return the plan of a classifier on one table."""
    plan = to_table(load(HERE / f"{SETS[name].data}-classifier.toml"))
    plan["data"] = {**plan["data"], "path": str(folder.resolve()), "table": table}
    return parse({**plan, "seed": seed})


def row_file(out: Path, name: str, each: int, source: str, seed: int) -> Path:
    """Return where `row_of` keeps what it found."""
    return out / "classifiers" / f"{name}-{each or 'all'}-{source}-{seed}.json"


def row_of(out: Path, data: Path, name: str, each: int, source: str, seed: int) -> dict[str, Any]:
    """Train one classifier unless it is done, and return what it scored on real images."""
    kept = row_file(out, name, each, source, seed)
    if not kept.exists():
        folder = images_folder(out, name)
        write_real(plan_for(SETS[name].data, seed), data, folder)
        synthetic = "" if source == NONE else images_of(out, data, name, source, seed)
        rows = mixed(folder, each, seed, synthetic)
        write_table(folder / f"{kept.stem}.csv", rows)
        began_s = time.process_time()
        where = kept.with_suffix("")
        summary = scored(
            train(classifier_plan(name, folder, f"{kept.stem}.csv", seed), where, None, resume=True, workers=0)
        )
        real = sum(row["part"] == "train" and row["image"].startswith("real/") for row in rows)
        said = {"set": name, "each": each, "source": source, "seed": seed, "real": real, **summary}
        kept.write_text(json.dumps({**said, "cpu_s": round(time.process_time() - began_s, 1)}, indent=1))
        shutil.rmtree(where)
    row: dict[str, Any] = json.loads(kept.read_text())
    return row


def scored(run: Path) -> dict[str, float]:
    """Return the AUC on the test part and on the validation part."""
    folder = RunFolder(run)
    validation = folder.records()[-1].validation["pooled"]
    return {"auc": folder.summary()["metrics"]["pooled"]["auc"], "auc_val": validation["auc"]}


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs"))
    parser.add_argument("--seeds", type=int, default=len(FRESH), help="of each data set, at most so many")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing further after so many")
    parser.add_argument("--only", choices=tuple(SETS), help="one data set")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    (chosen.out / "classifiers").mkdir(parents=True, exist_ok=True)
    ends_s = time.monotonic() + 60 * chosen.minutes
    data = Path(os.environ["WARDROUND_DATA"])
    rows, copies = [], []
    names = [chosen.only] if chosen.only else list(SETS)
    places = [(name, place) for place in range(chosen.seeds) for name in names if place < len(SETS[name].seeds)]
    for name, place in places:
        seed = SETS[name].seeds[place]
        made = SETS[name].generators
        for source in (NONE, *made):
            for each in LEVELS:
                if time.monotonic() < ends_s or row_file(chosen.out, name, each, source, seed).exists():
                    rows.append(row_of(chosen.out, data, name, each, source, seed))
                    print(name, seed, source, each or "all", f"{rows[-1]['auc']:.3f}", flush=True)
        for source in made:
            if time.monotonic() < ends_s or copies_file(chosen.out, name, source, seed).exists():
                copies.append(copies_of(chosen.out, data, name, source, seed))
    found = {"rows": rows, "copies": copies}
    (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "results.md").write_text(written(found, LEVELS))
    draw(found, LEVELS, HERE / "utility.png")
    sys.stdout.write(written(found, LEVELS))


if __name__ == "__main__":
    main()
