"""A trained update on its way out: what a site holds between training and the last frame."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wardround.core.codec import canonical_json
from wardround.errors import SiteError
from wardround.rounds.store import SiteStore

_FACTS, _VALUES = "facts", "values"


class PendingUpdates:
    """One round's update as a row of numbers, on disk: a round that is asked for again is not trained again.

    An update is what the frames hide, so it lies where the site's other memories lie and never leaves.
    """

    def __init__(self, folder: Path) -> None:
        self._store = SiteStore(folder, "update")
        self._held: tuple[int, np.ndarray] | None = None

    def facts(self, round_index: int, cause: str) -> Mapping[str, Any] | None:
        """Return what was said of the update of a round, if it was trained from `cause`; else ``None``.

        Args:
            round_index: from 0.
            cause: digest of everything that the training depended on.
        """
        import json

        try:
            held = self._store.read(round_index)
            facts = json.loads(held[_FACTS].tobytes())
        except (SiteError, KeyError, ValueError):
            return None
        return facts["said"] if facts.get("cause") == cause else None

    def keep(self, round_index: int, cause: str, said: Mapping[str, Any], values: np.ndarray) -> None:
        """Keep the update of a round: `values` int64 or float64 ``(num_values,)``."""
        facts = np.frombuffer(canonical_json({"cause": cause, "said": dict(said)}), np.uint8)
        narrow = values.astype(np.int32) if values.dtype == np.int64 else values
        self._store.write(round_index, {_FACTS: facts, _VALUES: narrow}, sync=False)
        self._store.forget(round_index)
        self._held = (round_index, narrow)

    def values(self, round_index: int) -> np.ndarray:
        """Return the update's row of numbers.

        Raises:
            SiteError: this site did not train in that round.
        """
        if self._held is None or self._held[0] != round_index:
            try:
                self._held = (round_index, self._store.read(round_index)[_VALUES])
            except (SiteError, KeyError):
                raise SiteError(f"this site holds no update of round {round_index}") from None
        return self._held[1]
