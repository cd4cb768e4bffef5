"""What every source of images offers, and how sources look for their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from wardround.data.images import LabelledImages
from wardround.data.prepare import Decoding
from wardround.errors import DataError


@runtime_checkable
class Masked(Protocol):
    """A source whose images have masks."""

    def load_masked(self, root: Path | None, how: Decoding | None = None) -> LabelledImages:
        """Return all images with their masks; see `Source.load`.

        Raises:
            DataError: likewise, and where a mask is absent or damaged.
        """
        ...


class Source(Protocol):
    """A source of labelled images: a frozen dataclass whose fields a plan may set under ``[data]``."""

    public: ClassVar[bool]
    """Whether the images are published, so that predictions on them may leave a site by default."""

    def load(self, root: Path | None, how: Decoding | None = None) -> LabelledImages:
        """Return all images of the source.

        Args:
            root: the data root (``--data``, else ``WARDROUND_DATA``); ``None`` if the user named none.
            how: in how many processes images are decoded that no cache holds yet.

        Raises:
            DataError: the files are absent, damaged or contradict each other.
        """
        ...


def find(path: str, root: Path | None, usual: Sequence[str], what: str) -> Path:
    """Return where a source's files lie: `path` if given, else the first of `usual` below `root` that exists.

    A relative `path` counts from `root`, or from the working directory if there is none.

    Raises:
        DataError: nothing is there.
    """
    if path:
        given = Path(path) if root is None else root / path
        if given.exists():
            return given
        raise DataError(f"{what}: {given} does not exist; correct data.path or --data")
    if root is None:
        raise DataError(f"{what} needs its files: name their folder with --data, WARDROUND_DATA or data.path")
    for name in usual:
        if (root / name).exists():
            return root / name
    raise DataError(f"{what}: the data root {root} holds no {' or '.join(usual)}; put it there or set data.path")
