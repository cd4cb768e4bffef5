"""A trained update on its way out: what a site holds between training and the last frame."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from wardround.core.codec import canonical_json
from wardround.core.update import Tensors
from wardround.errors import SiteError
from wardround.rounds.store import SiteStore

_FACTS, _VALUES = "facts", "values"


@dataclass(frozen=True)
class Pending:
    """An update on its way out.

    Attributes:
        start: digest of the broadcast that it is a difference to.
        broadcast: what the ledger holds for that broadcast; see `ledger.entries.Broadcast`.
        said: what the coordinator was told of it.
        values: int32 or float64 ``(num_values,)``.
        cohort: of the round, as this site was told when it trained.
    """

    start: str
    broadcast: str
    said: Mapping[str, Any]
    values: np.ndarray
    cohort: tuple[str, ...] = ()

    @property
    def examples(self) -> int:
        """Training examples behind it."""
        return int(self.said["num_examples"])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the values."""
        return hashlib.sha256(self.values.tobytes()).hexdigest()


class PendingUpdates:
    """One round's update as a row of numbers, on disk: a round that is asked for again is not trained again.

    An update is what the frames hide, so it lies where the site's other memories lie and never leaves.
    """

    def __init__(self, folder: Path) -> None:
        self._store = SiteStore(folder, "update")
        self._held: tuple[int, Pending] | None = None

    def facts(self, round_index: int, cause: str) -> Mapping[str, Any] | None:
        """Return what was said of the update of a round, if it was trained from `cause`; else ``None``.

        Args:
            round_index: from 0.
            cause: digest of everything that the training depended on.
        """
        try:
            facts = _facts(self._store.read(round_index))
            return facts["said"] if facts["cause"] == cause else None
        except (SiteError, KeyError, ValueError):
            return None

    def keep(self, round_index: int, cause: str, update: Pending) -> None:
        """Keep the update of a round.

        Args:
            round_index: from 0.
            cause: digest of everything that the training depended on.
            update: its values int64 or float64 ``(num_values,)``.
        """
        told = {"cause": cause, "start": update.start, "broadcast": update.broadcast, "said": dict(update.said)}
        told |= {"cohort": update.cohort}
        facts, values = np.frombuffer(canonical_json(told), np.uint8), update.values
        narrow = values.astype(np.int32) if values.dtype == np.int64 else values
        self._store.write(round_index, {_FACTS: facts, _VALUES: narrow}, sync=False)
        self._store.forget(round_index)
        self._held = (round_index, replace(update, values=narrow))

    def read(self, round_index: int) -> Pending:
        """Return the update of a round.

        Raises:
            SiteError: this site did not train in that round.
        """
        if self._held is None or self._held[0] != round_index:
            try:
                held = self._store.read(round_index)
                facts = _facts(held)
                start, broadcast, cohort = str(facts["start"]), str(facts["broadcast"]), tuple(facts["cohort"])
                found = Pending(start, broadcast, dict(facts["said"]), held[_VALUES], cohort)
                self._held = (round_index, found)
            except (SiteError, KeyError, TypeError, ValueError):
                raise SiteError(f"this site holds no update of round {round_index}") from None
        return self._held[1]


def _facts(held: Tensors) -> dict[str, Any]:
    facts = json.loads(held[_FACTS].tobytes())
    if not isinstance(facts, dict):
        raise ValueError("the facts of an update are no table")
    return facts
