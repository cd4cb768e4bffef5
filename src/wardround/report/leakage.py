"""The page of an attack: what updates gave away, in words, numbers and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from statistics import median

import numpy as np

from wardround.attacks.inversion.scoring import REBUILT_DB, REBUILT_SSIM, Leak
from wardround.core.files import write_atomically
from wardround.report.png import as_png

PAGE = "leakage.html"
MOST_PICTURES = 24


def write_leakage(
    folder: Path, name: str, setting: Sequence[str], leaks: Sequence[tuple[str, Leak]], pictures: bool
) -> Path:
    """Write ``leakage.html``: one file that needs no other and no network.

    Args:
        folder: of the attack.
        name: of the plan.
        setting: what was attacked and how, one sentence each.
        leaks: for each image under attack whose update it was in, and what became of it.
        pictures: whether images may be shown: they are published, or stay where the page is made.

    Returns:
        The page.
    """
    from jinja2 import Environment, StrictUndefined

    source = files("wardround.report")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((source / "leakage.html").read_text(encoding="utf-8"))
    every = [leak for _, leak in leaks]
    text = template.render(
        name=name,
        style=(source / "style.css").read_text(encoding="utf-8"),
        verdict=verdict_of(every),
        setting=setting,
        count=len(every),
        rebuilt=sum(leak.is_rebuilt for leak in every),
        identified=sum(leak.rank == 1 for leak in every),
        psnr_db=median(leak.of_best.psnr_db for leak in every),
        ssim=median(leak.of_best.ssim for leak in every),
        mean_db=median(leak.of_mean.psnr_db for leak in every),
        gate=f"more than {REBUILT_DB:.0f} dB and an SSIM above {REBUILT_SSIM}",
        rows=leaks,
        pictures=[(where, [_shown(image) for image in (leak.true, leak.raw, leak.best)]) for where, leak in leaks][
            : MOST_PICTURES if pictures else 0
        ],
    )
    path = folder / PAGE
    write_atomically(path, text.encode("utf-8", errors="replace"))
    return path


def verdict_of(leaks: Sequence[Leak]) -> str:
    """Return what the attack amounts to, in words that need no signal processing."""
    count, rebuilt = len(leaks), sum(leak.is_rebuilt for leak in leaks)
    recognisable = sum(leak.is_recognisable for leak in leaks)
    something = sum(leak.shows_something for leak in leaks)
    if rebuilt:
        return f"{rebuilt} of {count} images were rebuilt almost as they are: these updates are images in another form."
    if recognisable:
        return (
            f"{recognisable} of {count} images were rebuilt so far that they are recognisable, or can be told from all "
            "others at their site."
        )
    if something:
        return (
            f"None of {count} images is recognisable; {something} came out nearer to the true one than an average "
            "image, which anybody has. A longer or a newer attack may do better."
        )
    return (
        f"This attack learned nothing of {count} images that an average image does not show. That one attack fails "
        "does not prove that all do."
    )


def _shown(image: np.ndarray) -> str:
    return as_png(np.round(np.clip(image, 0, 1) * 255).astype(np.uint8))
