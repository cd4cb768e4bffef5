"""How the sites differ: labels, light, features; from sums over each site's test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wardround.report.drawing import DASHES, Panel, colours, draw, legend_below
from wardround.report.looks import Looks
from wardround.report.reading import Results
from wardround.report.results import MOST_BARS
from wardround.report.words import UNDEFINED, decimal, plural, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}
MOST_LINES = 8
NOT_SHARED = "The sites did not say what their images look like (evaluation.share)."


@dataclass(frozen=True)
class Apart:
    """One site beside all others.

    Attributes:
        site: its name.
        labels: total variation distance between its label mix and that of all others, 0 to 1.
        light: mean of each channel, with its deviation, in grey levels.
        features: mean distance of its features from those of the others.
    """

    site: str
    labels: str
    light: str
    features: str


def drift_rows(results: Results) -> list[Apart]:
    """Return one row for each tested site; nothing for a single site."""
    if len(results.confusion) < 2:
        return []
    shifts = label_shifts(results.confusion)
    rows = []
    for site in results.confusion:
        looks, distances = results.looks.get(site), list(results.feature_distances.get(site, {}).values())
        light = UNDEFINED if looks is None else _light(looks)
        far = f"{np.mean(distances):.2f}" if distances else UNDEFINED
        rows.append(Apart(site, decimal(shifts[site]), light, far))
    return rows


def label_shifts(confusion: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    """Return the total variation distance of each site's test labels from those of all other sites.

    Args:
        confusion: site -> ``(C, C)``, rows true; sums of rows are numbers of images.
    """
    counts = {site: each.sum(axis=1).astype(np.float64) for site, each in confusion.items()}
    total = sum(counts.values(), np.zeros(1))
    shifts: dict[str, float | None] = {}
    for site, own in counts.items():
        others = total - own
        known = own.sum() > 0 and others.sum() > 0
        shifts[site] = float(np.abs(own / own.sum() - others / others.sum()).sum() / 2) if known else None
    return shifts


def light_panel(results: Results) -> Panel:
    """Draw how bright the pixels of each site are, channel by channel."""
    title = "Light by site"
    looks = dict(list(results.looks.items())[:MOST_LINES])
    if not looks:
        return Panel(title, NOT_SHARED)
    names = CHANNELS[len(next(iter(looks.values())).mean)]
    alt = "Mean grey level of each channel. " + " ".join(f"{site}: {_light(each)}." for site, each in looks.items())

    def paint(figure: Figure) -> None:
        panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
        for channel, (axes, name) in enumerate(zip(panels, names, strict=True)):
            for index, (site, each) in enumerate(looks.items()):
                counts = np.asarray(each.histogram[channel], np.float64)
                levels = (np.arange(counts.size) + 0.5) * 256 / counts.size
                share = 100 * counts / max(1.0, counts.sum())
                colour, dash = colours(len(looks))[index], DASHES[index % len(DASHES)]
                axes.plot(levels, share, color=colour, linestyle=dash, label=shortened(site))
            axes.set_ylabel(f"{name}, %")
        panels[-1].set(xlabel="grey level", xlim=(0, 256))
        legend_below(figure, panels[0])

    caption = "Share of the pixels of each site's test images by grey level, in 16 bins."
    if len(results.looks) > MOST_LINES:
        caption += f" The first {MOST_LINES} of {plural(len(results.looks), 'site')}."
    return Panel(title, caption, draw("light", alt, 1.3 + 1.3 * len(names), paint))


def feature_panel(results: Results) -> Panel:
    """Draw how far apart the sites' mean features lie."""
    title = "Features, from site to site"
    sites = list(results.feature_distances)[:MOST_BARS]
    if len(sites) < 2:
        return Panel(title, NOT_SHARED if not results.looks else "The network has no head whose inputs could be held.")
    far = np.array([[results.feature_distances[a].get(b, 0.0) for b in sites] for a in sites])
    alt = "Distance of mean features. " + " ".join(
        f"{a} and {b}: {far[i, j]:.2f}." for i, a in enumerate(sites) for j, b in enumerate(sites) if i < j
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.pcolormesh(far, cmap="Blues", vmin=0.0, vmax=max(2.0, float(far.max())), rasterized=False)
        ticks = [shortened(site, 14) for site in sites]
        middles = np.arange(len(sites)) + 0.5
        axes.set_xticks(middles, ticks, rotation=30, ha="right")
        axes.set_yticks(middles, ticks)
        axes.invert_yaxis()
        axes.grid(visible=False)
        for i, j in _pairs(len(sites)):
            axes.text(j + 0.5, i + 0.5, f"{far[i, j]:.2f}", ha="center", va="center", fontsize=8)

    caption = (
        "Distance between the means of what the trained network's head is fed, in units of the spread of single images "
        "within a site: at 1 the sites lie as far apart as two images of one."
    )
    return Panel(title, caption, draw("features", alt, 1.6 + 0.45 * len(sites), paint))


def _pairs(count: int) -> Sequence[tuple[int, int]]:
    return [(i, j) for i in range(count) for j in range(count) if i != j]


def _light(looks: Looks) -> str:
    names = CHANNELS[len(looks.mean)]
    return ", ".join(f"{n} {m:.0f} ± {d:.0f}" for n, m, d in zip(names, looks.mean, looks.deviation, strict=True))
