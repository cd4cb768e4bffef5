"""What is left of images, read from what is measured: image by image, the best attack and clean-up of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from disguises import Rows, best
from scipy.stats import t
from updates import EACH, ZEROS, path_of

REPLICATES = 2000
ATTACKS = ("idlg", "idlg-nonzero", "inverting-gradients")


@dataclass(frozen=True, eq=False)
class Left:
    """What all attacks on one defence left of the same images.

    Attributes:
        raw: ``(N, 2)``, PSNR and SSIM of what was rebuilt, of the attack that gave the most for each image and measure.
        best: the same after the best clean-up.
        picked_out: images that some attack told from all others of their site; ``None`` where that was not asked.
    """

    raw: np.ndarray
    best: np.ndarray
    picked_out: int | None


def read(folder: Path) -> dict[str, Rows]:
    """Return what a stage kept in a folder, by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def raw(rows: Rows) -> np.ndarray:
    """Return each image's PSNR and SSIM before clean-ups, ``(N, 2)``."""
    return np.array([row["raw"] for row in rows])


def attacked(out: Path, data: str, name: str, rounds: int = 1) -> Left | None:
    """Return what the attacks on a site's real updates left; ``None`` if none was run, or not the one that knows.

    Who watches for several `rounds` may also look at the first alone.
    """
    knows = path_of(out, data, name, "idlg-nonzero", rounds)
    if rounds > 1 and not knows.exists():
        return None
    paths = [path_of(out, data, name, attack, number) for attack in ATTACKS for number in {1, rounds}]
    found = [json.loads(path.read_text()) for path in paths if path.exists()]
    if not found or (name.startswith(ZEROS) and not knows.exists()):
        return None
    scores = [[one["scores"] for one in rows] for rows in found]
    firsts = np.any([[one["rank"] == 1 for one in rows] for rows in found], 0)
    return Left(
        np.max([raw(rows) for rows in scores], 0), np.max([best(rows) for rows in scores], 0), int(firsts.sum())
    )


def same_images(rows: Rows, sites: int) -> Left:
    """Return of a bar's rows, which are in order of sites, those of the images whose updates are attacked."""
    each = len(rows) // sites
    few = [rows[site * each + place] for site in range(sites) for place in range(EACH)]
    return Left(raw(few), best(few), None)


def over_images(values: Sequence[float]) -> tuple[float, float, float]:
    """Return mean and 95% interval by bootstrap over images."""
    found = np.asarray(values)
    draws = np.random.default_rng(0).integers(0, len(found), (REPLICATES, len(found)))
    low, high = np.percentile(found[draws].mean(1), (2.5, 97.5))
    return float(found.mean()), float(low), float(high)


def over_seeds(gaps: np.ndarray) -> tuple[float, float, float]:
    """Return mean and 95% interval (t) over training seeds; with one seed the interval is not finite."""
    if len(gaps) < 2:
        return float(gaps.mean()), -np.inf, np.inf
    half = float(t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps)))
    return float(gaps.mean()), float(gaps.mean()) - half, float(gaps.mean()) + half


def told(interval: tuple[float, float, float], digits: int) -> str:
    """Return a mean with its interval, as tables show them."""
    mean, low, high = (f"{value:+.{digits}f}" for value in interval)
    return f"{mean} ({low} to {high})" if np.isfinite(interval[1]) else f"{mean} (one seed)"
