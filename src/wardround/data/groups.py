"""Groups of images that belong together: all images of one patient, one lesion or one block of a slide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wardround.core.context import derive_seed
from wardround.data.images import LabelledImages
from wardround.errors import DataError


@dataclass(frozen=True)
class Groups:
    """The groups of a collection of images, in the order of their names.

    Attributes:
        names: str ``(G,)``.
        of_image: int64 ``(N,)``, the group of each image.
        labels: int64 ``(G,)``, the commonest label of each group (the smallest of equals).
        parts: str ``(G,)``, the part that the source fixes for the group, or ``""``.
    """

    names: np.ndarray
    of_image: np.ndarray
    labels: np.ndarray
    parts: np.ndarray

    @classmethod
    def of(cls, images: LabelledImages) -> Groups:
        """Collect the groups of `images`.

        Raises:
            DataError: a group is in two parts, or only some of the images have a part.
        """
        names, first, of_image = np.unique(images.groups, return_index=True, return_inverse=True)
        parts = images.parts[first] if len(first) else images.parts
        if (images.parts == "").any() and (images.parts != "").any():
            name = str(images.groups[images.parts == ""][0])
            raise DataError(f"an image of group {name!r} has no part although others have: name all or none")
        if len(torn := np.flatnonzero(parts[of_image] != images.parts)):
            name, here, there = (str(array[torn[0]]) for array in (images.groups, images.parts, parts[of_image]))
            raise DataError(f"group {name!r} is in two parts, {there!r} and {here!r}: move all its images to one part")
        return cls(names, of_image, commonest(of_image, images.labels, len(names)), parts)

    def shuffled(self, seed: int, purpose: str) -> np.ndarray:
        """Return int64 ``(G,)``: a rank for each group, by a seeded hash of its name."""
        keys = np.array([derive_seed(seed, purpose, str(name)) for name in self.names], dtype=np.int64)
        return np.argsort(np.argsort(keys, kind="stable"), kind="stable")

    @property
    def may_train(self) -> np.ndarray:
        """Bool ``(G,)``: groups that the source does not keep for validation or test."""
        return np.isin(self.parts, ("", "train"))


def members_of(key: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return each value of `key` with the places where it stands, in the order of the values."""
    order = np.argsort(key, kind="stable")
    values, starts = np.unique(key[order], return_index=True)
    return list(zip(values.tolist(), np.split(order, starts[1:]), strict=True))


def commonest(key: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Return int64 ``(count,)``: for each key the value it meets most often, the smallest of equals."""
    pairs, times = np.unique(np.stack([key, values]), axis=1, return_counts=True)
    order = np.lexsort((pairs[1], -times, pairs[0]))
    first = np.unique(pairs[0][order], return_index=True)[1]
    return pairs[1][order][first] if count else np.empty(0, dtype=np.int64)
