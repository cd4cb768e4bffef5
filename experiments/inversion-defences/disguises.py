"""Noise on images against clean-ups: the attacker is given the disguised image, which is the most it can rebuild.

Gradient inversion at its best returns the image that was trained on. So these rows need no gradient, and can be over
many images; ``wire.py`` shows on fewer that the attack over the wire gets that far.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from settings import ANTI, CHOSEN, EXPONENTS, GAUSSIAN, OURS, RMS, SHUFFLED, STRENGTHS, VICTIM, ats, noises

from wardround.algorithms.defences import Defence, MatchedNoise
from wardround.attacks.inversion.cleanup import cleaned
from wardround.attacks.inversion.knowing import knowing, pairs_behind, undoing
from wardround.core.context import RoundContext
from wardround.data.images import LabelledImages
from wardround.data.sites import SiteData
from wardround.metrics.image_quality import psnr_db, ssim
from wardround.rounds.plan import Plan
from wardround.study.build import joined, task_of

LOOKS = 10
PUBLIC, DESIGNED = 600, 12
ATTACKER_SEED, SITE_SEED = 99, 7
Rows = list[dict[str, list[float]]]
"""For each image: clean-up -> PSNR in dB and SSIM; ``raw`` is what was rebuilt."""


@dataclass(frozen=True, eq=False)
class Ground:
    """Images that nobody else's set touches.

    Attributes:
        design: on which the exponent was chosen.
        report: on which the tables are made; no lesion of `design`.
        public: what the attacker learns from: validation images.
    """

    design: LabelledImages
    report: LabelledImages
    public: LabelledImages


def ground(sites: Mapping[str, SiteData], each: int) -> Ground:
    """Return the three sets; `each` images of every site are reported."""
    parts = [sites[name].train.take(rows) for name, rows in reported(sites, each).items()]
    public = joined([site.val for site in sites.values()])
    rows = np.random.default_rng(ATTACKER_SEED).permutation(len(public))[:PUBLIC]
    return Ground(_design(sites), joined(parts), public.take(rows))


def reported(sites: Mapping[str, SiteData], each: int) -> dict[str, np.ndarray]:
    """Return the places of the reported images among each site's training images."""
    seen, found = set(_design(sites).groups.tolist()), {}
    for name, site in sites.items():
        free = [row for row in range(DESIGNED, len(site.train)) if site.train.groups[row] not in seen]
        found[name] = np.random.default_rng(SITE_SEED).permutation(free)[:each]
    return found


def _design(sites: Mapping[str, SiteData]) -> LabelledImages:
    return joined([site.train.take(np.arange(DESIGNED)) for site in sites.values()])


def choose(sites: Mapping[str, SiteData], out: Path) -> None:
    """Measure each exponent on the images of the design, and keep it."""
    where = ground(sites, 1)
    for exponent in EXPONENTS:
        defence = MatchedNoise(rms=RMS, exponent=exponent, randomness="seed")
        _measure(out / "design" / f"{exponent}.json", defence, sites, where.design, where.public, 1)


def measure(plan: Plan, sites: Mapping[str, SiteData], folder: Path, each: int) -> None:
    """Measure every noise at one energy."""
    where = ground(sites, each)
    for name, defence in noises().items():
        _measure(folder / f"{name}.json", defence, sites, where.report, where.public, 1, plan)


def measure_chosen(grounds: Mapping[str, tuple[Plan, dict[str, SiteData]]], out: Path, each: int) -> None:
    """Measure ours and its controls at the chosen strength, on every data set."""
    for data, (plan, sites) in grounds.items():
        where = ground(sites, each)
        for name in (OURS, GAUSSIAN, SHUFFLED, ANTI):
            path = out / "bar-chosen" / data / f"{name}.json"
            _measure(path, noises(CHOSEN)[name], sites, where.report, where.public, 1, plan)


def measure_ats(grounds: Mapping[str, tuple[Plan, dict[str, SiteData]]], out: Path, each: int) -> None:
    """Measure what the changed images of ATS give away."""
    for data, (plan, sites) in grounds.items():
        where = ground(sites, each)
        _measure(out / "ats" / f"{data}.json", ats(data), sites, where.report, where.public, 1, plan)


def measure_strengths(sites: Mapping[str, SiteData], out: Path, each: int) -> None:
    """Measure Gaussian noise and ours at all strengths."""
    where = ground(sites, each)
    for strength in STRENGTHS:
        for name in (GAUSSIAN, OURS):
            made = noises(strength)[name]
            _measure(out / "strength" / f"{name} {strength}.json", made, sites, where.report, where.public, 1)


def measure_rounds(sites: Mapping[str, SiteData], out: Path, each: int) -> None:
    """Measure ten looks at the same image, each under noise of its own, which the attacker averages."""
    where = ground(sites, each)
    for name in (GAUSSIAN, OURS):
        made = replace(noises()[name], draw="each_round")  # type: ignore[type-var]
        _measure(out / "rounds" / f"{name}.json", made, sites, where.report, where.public, LOOKS)


def _measure(
    path: Path,
    defence: Defence,
    sites: Mapping[str, SiteData],
    images: LabelledImages,
    public: LabelledImages,
    looks: int,
    plan: Plan = VICTIM,
) -> None:
    if path.exists():
        return
    task = task_of(plan, sites)
    network = task.build(plan.seed)
    learned = pairs_behind(defence, task, network, public, _place(ATTACKER_SEED, 0))
    clean_ups = {**knowing(learned, ATTACKER_SEED, looks), **undoing(defence)}
    seen = [pairs_behind(defence, task, network, images, _place(SITE_SEED, index)) for index in range(looks)]
    mean = np.mean([pairs.disguised for pairs in seen], 0, dtype=np.float64).astype(np.float32)
    rows = [
        {
            name: [psnr_db(true, found), ssim(true, found)]
            for name, found in {"raw": seen[0].disguised[place], **cleaned(mean[place], clean_ups)}.items()
        }
        for place, true in enumerate(seen[0].clean)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))
    print(path.parent.name, path.stem, np.round(best(rows).mean(0), 3), flush=True)


def best(rows: Rows) -> np.ndarray:
    """Return each image's largest PSNR and its largest SSIM over all clean-ups, ``(N, 2)``."""
    return np.array([np.max(list(row.values()), 0) for row in rows])


def _place(seed: int, index: int) -> RoundContext:
    return RoundContext(seed, index, LOOKS, ("here",), 1, "here")
