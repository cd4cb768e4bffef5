"""Prepares a site's images for a plan: decoded and harmonised once, so that training only reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wardround.data.catalogue import Manifest, Source
from wardround.data.prepare import Decoding, Prepared
from wardround.study.spec import load


@dataclass(frozen=True)
class Preparation:
    """What is ready.

    Attributes:
        images: that can be trained on.
        made: images decoded now; the others were in the cache.
        refused: why the others cannot be used, with their places in the table.
        notes: what the site should know of some images, with their number.
        cache: the file that holds the pixels; ``None`` for a source that needs none.
    """

    images: int
    made: int
    refused: tuple[str, ...]
    notes: tuple[str, ...]
    cache: Path | None


def prepare(folder: Path, spec: Path | None, workers: int) -> Preparation:
    """Fill the cache that training with a plan on `folder` will use, and compare its checksums if it is there.

    Args:
        folder: the data root.
        spec: of the plan; ``None`` takes ``manifest.csv`` with the defaults of that source.
        workers: processes that decode; 0 decodes in this one.

    Raises:
        PlanError: the plan cannot be used.
        DataError: the images cannot be used, or more are unreadable than the plan allows.
    """
    source: Source = load(spec).data.source if spec else Manifest()
    found: list[Prepared] = []
    images = source.load(folder, Decoding(workers, thorough=True, told=found.append))
    if not found:
        return Preparation(len(images), 0, (), (), None)
    [one] = found
    notes = tuple(f"{count} {note}" for note, count in one.notes.items())
    return Preparation(len(images), one.made, tuple(one.refused.values()), notes, one.path)
