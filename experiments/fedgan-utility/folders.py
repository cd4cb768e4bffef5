"""Folders of real and synthetic images, and the tables that put them together for a classifier."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from wardround.core.files import write_atomically
from wardround.data.images import LabelledImages
from wardround.rounds.plan import Plan
from wardround.study.build import joined, sites_of

COLUMNS = ("image", "label", "site", "patient", "part")
PARTS = ("train", "val", "test")
REAL = "real.csv"
Rows = list[dict[str, str]]


def write_real(plan: Plan, data: Path, folder: Path) -> None:
    """Write the real images of all sites of a plan, part by part as these hold them, unless they are there."""
    if (folder / REAL).exists():
        return
    (folder / "real").mkdir(parents=True, exist_ok=True)
    held = list(sites_of(plan, data).values())
    rows: Rows = []
    for part in PARTS:
        images = joined([getattr(site, part) for site in held])
        for number, pixels in enumerate(images.batch(slice(None))):
            file = f"real/{part}-{number:05d}.png"
            Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]).save(folder / file)
            rows.append(_row(images, number, file, part))
    write_table(folder / REAL, rows)


def _row(images: LabelledImages, number: int, file: str, part: str) -> dict[str, str]:
    label, patient = images.classes[images.labels[number]], str(images.groups[number])
    return {"image": file, "label": label, "site": "one", "patient": patient, "part": part}


def mixed(folder: Path, each: int, seed: int, synthetic: str) -> Rows:
    """Return the rows of a training set: some real images of each class, synthetic ones, and all real test images.

    Args:
        folder: with `REAL`, and with the folders that ``wardround synthesise`` wrote.
        each: real training images of each class, or as many as there are; 0 takes all.
        seed: of the draw; draws of fewer images are the beginning of draws of more.
        synthetic: folder of synthetic images; empty for none.
    """
    real = read_table(folder / REAL)
    training = [row for row in real if row["part"] == "train"]
    order = np.random.default_rng(seed).permutation(len(training))
    rows = [row for row in real if row["part"] != "train"]
    taken: dict[str, int] = {}
    for row in (training[place] for place in order):
        if not each or taken.get(row["label"], 0) < each:
            rows.append(row)
            taken[row["label"]] = taken.get(row["label"], 0) + 1
    if synthetic:
        made = read_table(folder / synthetic / "manifest.csv")
        rows += [{**row, "image": f"{synthetic}/{row['image']}", "site": "one", "part": "train"} for row in made]
    return rows


def read_table(path: Path) -> Rows:
    """Return the lines of a table."""
    with path.open(newline="") as opened:
        return list(csv.DictReader(opened))


def write_table(path: Path, rows: Rows) -> None:
    """Write a table in one step."""
    write_atomically(path, "\n".join([",".join(COLUMNS), *_lines(rows), ""]).encode())


def _lines(rows: Rows) -> Iterator[str]:
    for row in rows:
        yield ",".join(row[column] for column in COLUMNS)
