"""The page of an inspection: one HTML file that needs no other and no network."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from pathlib import Path

from wardround.core.files import write_atomically
from wardround.data.catalogue.manifest import BURNT_IN_UNSAID
from wardround.data.inspect import Inspection
from wardround.report.png import as_png

ROWS = 12
"""Longest table; what is rarer is summed up in its last row."""


def write_inspection(found: Inspection, path: Path, thumbnails: bool = True) -> Path:
    """Write the page.

    Args:
        found: what was counted.
        path: of the page; one that is there is replaced.
        thumbnails: whether to show the thumbnails.

    Returns:
        `path`.
    """
    from jinja2 import Environment, StrictUndefined

    folder = files("wardround.report")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((folder / "inspection.html").read_text(encoding="utf-8"))
    text = template.render(
        found=found,
        style=(folder / "style.css").read_text(encoding="utf-8"),
        tables=tables_of(found),
        warnings=warnings_of(found),
        thumbnails=[(what, as_png(picture)) for what, picture in found.thumbnails] if thumbnails else [],
    )
    write_atomically(path, text.encode("utf-8", errors="replace"))
    return path


def tables_of(found: Inspection) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return what was counted as titled tables of name and number, the most frequent first; empty ones are left out."""
    labels = Counter({f"{site}: {label}": count for (site, label), count in found.labels.items()})
    named = [
        ("Files", found.kinds),
        ("Labels by site", labels),
        ("Parts", found.parts),
        ("Modalities", found.modalities),
        ("Scanners", found.scanners),
        ("Sizes in pixels", found.sizes),
        ("Spacings in mm", found.spacings),
        ("Taken out of headers, or left behind", found.removed),
        ("Refused", found.refused),
    ]
    return [(title, _shortened(counts)) for title, counts in named if counts]


def warnings_of(found: Inspection) -> list[str]:
    """Return what the site should look into before it trains, one sentence each."""
    unsaid = found.burned_in["unsaid"]
    said = [
        (len(found.refused_files), "{} files cannot be used; wardround data inspect --names lists them"),
        (found.outside, "{} links lead out of the folder and are not followed"),
        (unsaid, "{} " + BURNT_IN_UNSAID),
        (found.repeated, "{} images look like another one: a copy in another part makes results look better"),
        (found.in_two_parts, "{} patients have images in two parts: training refuses that"),
        (int(bool(found.table_problem)), "{} table, manifest.csv, cannot be used; the terminal says why"),
    ]
    return [sentence.format(count) for count, sentence in said if count]


def _shortened(counts: Counter[str]) -> list[tuple[str, int]]:
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    rest = rows[ROWS:]
    return rows[:ROWS] + ([(f"{len(rest)} others", sum(count for _, count in rest))] if rest else [])
