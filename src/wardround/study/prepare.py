"""Prepares a site's images for a plan: decoded and harmonised once, so that training only reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wardround.data.catalogue import Manifest, Source
from wardround.data.prepare import Decoding, Prepared
from wardround.study.spec import load
from wardround.tasks import Classify, TaskSpec


@dataclass(frozen=True)
class Preparation:
    """What is ready.

    Attributes:
        images: that can be trained on.
        made: images, or masks of images, decoded now; the others were in the cache.
        refused: why the others cannot be used, with their places in the table.
        notes: what the site should know of some images, with their number.
        cache: the file that holds the images' pixels; ``None`` for a source that needs none.
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
    plan = load(spec) if spec else None
    source: Source = plan.data.source if plan else Manifest()
    task: TaskSpec = plan.learns if plan else Classify()
    found: list[Prepared] = []
    images = task.load(source, folder, Decoding(workers, thorough=True, told=found.append))
    if not found:
        return Preparation(len(images), 0, (), (), None)
    notes = tuple(f"{count} {note}" for one in found for note, count in one.notes.items())
    refused = tuple(why for one in found for why in one.refused.values())
    return Preparation(len(images), max(one.made for one in found), refused, notes, found[0].path)
