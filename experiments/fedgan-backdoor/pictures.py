"""A sheet of synthetic images of several runs, below real ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from judge import generator_of
from matplotlib.figure import Figure

from wardround.data.images import LabelledImages

EACH = 8
LETTER_IN = 0.085
"""Inches that a letter of a row's name takes."""


def draw_grid(real: LabelledImages, runs: Mapping[str, Path], file: Path) -> None:
    """Write a PNG with a row of real images and one for each run, `EACH` of every class; the same noise in all rows."""
    labels = np.repeat(np.arange(len(real.classes)), EACH)
    rng = np.random.default_rng(0)
    places = [
        rng.choice(np.flatnonzero(real.labels == label), EACH, replace=False) for label in range(len(real.classes))
    ]
    sheets = {"real": real.batch(np.concatenate(places))}
    for name, run in runs.items():
        task, network = generator_of(run)
        sheets[name] = task.draw(network, labels, np.random.default_rng(1))
    names_in = 0.2 + LETTER_IN * max(map(len, sheets))
    width_in = len(labels) * 0.5 + names_in
    figure = Figure(figsize=(width_in, len(sheets) * 0.56 + 0.3), dpi=110)
    axes = figure.subplots(len(sheets), 1)
    for panel, (name, images) in zip(axes, sheets.items(), strict=True):
        tiles = np.pad(images[..., 0], ((0, 0), (1, 1), (1, 1)), constant_values=255)
        panel.imshow(np.concatenate(list(tiles), axis=1), cmap="gray", vmin=0, vmax=255)
        panel.set_yticks([tiles.shape[1] / 2], [name])
        panel.set_xticks([])
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
    halves = [f"{name}" for name in real.classes]
    axes[0].set_xticks([(place + 0.5) * EACH * tiles.shape[2] for place in range(len(halves))], halves)
    axes[0].xaxis.tick_top()
    figure.subplots_adjust(left=names_in / width_in, right=0.995, top=0.93, bottom=0.01, hspace=0.05)
    figure.savefig(file)
