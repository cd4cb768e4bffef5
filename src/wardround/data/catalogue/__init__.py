"""Where images come from: one dataclass for each source that a plan may name."""

from __future__ import annotations

from wardround.data.catalogue.base import Masked, Source
from wardround.data.catalogue.ham10000 import Ham10000
from wardround.data.catalogue.manifest import Manifest
from wardround.data.catalogue.medmnist import MedMnist
from wardround.data.catalogue.phantoms import Phantoms
from wardround.data.catalogue.slide import Slide

SOURCES: dict[str, type[Slide | Ham10000 | MedMnist | Manifest | Phantoms]] = {
    "slide": Slide,
    "ham10000": Ham10000,
    "medmnist": MedMnist,
    "manifest": Manifest,
    "phantoms": Phantoms,
}
"""Sources by the name that a plan gives them (``[data] source = "ham10000"``)."""

__all__ = ["SOURCES", "Ham10000", "Manifest", "Masked", "MedMnist", "Phantoms", "Slide", "Source"]
