"""The published comparison: how far each defence throws the attack back, and what it costs in F1."""

from __future__ import annotations

from pathlib import Path

import costs
import numpy as np
import utility
from leaks import Left, attacked, over_images, over_seeds, read, same_images, told
from settings import GAUSSIAN, OURS, RMS, on_updates, soteria

SITES = 4
ATS = "ATS"


def compared(out: Path, data: str, bar: Path) -> list[str]:
    """Return the section on one data set, with the noises on images of its bar."""
    bare = attacked(out, data, utility.UNDEFENDED)
    if bare is None:
        return []
    lines = [
        f"## Every defence: {data}",
        "",
        f"{len(bare.best)} images, two of each site; the worst attack for each image. Noise on images at "
        f"{-20 * np.log10(RMS):.0f} dB and ATS: what every attack on the update ends at, the disguised image itself. "
        "The others: what was rebuilt from the site's update. Drops are to no defence, paired by image, 95%; costs in "
        "macro F1 are paired by training seed, 95% (t).",
        "",
        "| defence | as rebuilt dB, SSIM | drop as rebuilt, dB | SSIM | cleaned up dB, SSIM | drop, dB | SSIM | "
        "picked out | seeds | F1 difference |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    runs = costs.done(out, data)
    for name, left in _rows(out, data, bar, bare).items():
        paired = costs.gaps(runs, _trained_as(name))
        cost = told(over_seeds(paired[:, 1]), 4) if len(paired) and left is not bare else "–"
        lines.append(_line(name, left, bare, f"{len(paired) or '–'} | {cost}"))
    return [*lines, ""]


def _rows(out: Path, data: str, bar: Path, bare: Left) -> dict[str, Left]:
    found = {utility.UNDEFENDED: bare}
    held = {name: rows for name, rows in read(bar).items() if "anti" not in name and "shuffled" not in name}
    found |= {name: same_images(rows, SITES) for name, rows in held.items()}
    changed = read(out / "ats")
    if data in changed:
        found[ATS] = same_images(changed[data], SITES)
    for name in {**on_updates(), **soteria((0.2, 0.4, 0.6))}:
        left = attacked(out, data, name)
        if left is not None:
            found[name] = left
    return found


def _trained_as(name: str) -> str:
    return utility.at(name, RMS) if name in (OURS, GAUSSIAN) else name


def _line(name: str, left: Left, bare: Left, cost: str) -> str:
    def both(values: np.ndarray) -> str:
        return f"{values[:, 0].mean():.1f}, {values[:, 1].mean():.3f}"

    drops = ["–"] * 4
    if left is not bare:
        gaps = [
            (then - now)[:, column] for then, now in ((bare.raw, left.raw), (bare.best, left.best)) for column in (0, 1)
        ]
        drops = [told(over_images(gap), digits) for gap, digits in zip(gaps, (1, 2, 1, 2), strict=True)]
    out_of = "–" if left.picked_out is None else f"{left.picked_out} of {len(left.best)}"
    return (
        f"| {name} | {both(left.raw)} | {drops[0]} | {drops[1]} | {both(left.best)} | {drops[2]} | {drops[3]} | "
        f"{out_of} | {cost} |"
    )
