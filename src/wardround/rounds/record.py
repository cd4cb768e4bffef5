"""What a round leaves behind: one line of ``rounds.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from wardround.core.update import Tensors
from wardround.ledger.log import Log
from wardround.rounds.store import SiteStore


@dataclass(frozen=True)
class RoundRecord:
    """One completed round.

    Attributes:
        round: index, from 0.
        cohort: sites that were asked.
        accepted: site -> its training loss, number of examples, seconds, the bytes, digest and weight of its update;
            where updates are summed as frames, also the attempt and the share of values that were cut to their range;
            where it keeps a list of the images that it used, the list's root and count.
        failed: site -> the sentence that says why its answer does not count.
        events: what the fabric had to mend (restarts, retries).
        validation: metric -> value for each site, and under ``pooled``; empty in rounds without a look.
        bytes_down: bytes of the broadcasts.
        bytes_up: bytes of the accepted updates.
        seconds: phase -> seconds at the coordinator.
        state_digest: SHA-256 of the server's state after the round.
        privacy: ``spent``, site -> events of this round with their counts, and ``epsilon`` so far, the largest of all
            sites, at ``delta`` (no epsilon where none is finite); ``None`` where the plan claims nothing.
        started: SHA-256 of what the sites were given to train from; see `ledger.entries.Broadcast`.
        refused: site -> what `accepted` would say of its update, for those of `failed` whose update was judged and left
            out.
        split: where the network is cut, ``steps`` that the body took, ``bytes_up`` and ``bytes_down`` over the cut, and
            ``body_digest``, SHA-256 of the body's state after the round; else ``None``.
        judged: site -> what screens said of its update: ``trust``, the part of its weight that it was left, a
            ``reason`` that is empty where nothing was held against it, and ``evidence``, the numbers behind it; where
            sites are dealt to groups, also of sites that were not asked because of it.
        groups: the sites of each sum that was opened, where they are dealt to groups.
    """

    round: int
    cohort: tuple[str, ...]
    accepted: Mapping[str, Mapping[str, Any]]
    failed: Mapping[str, str]
    events: tuple[str, ...]
    validation: Mapping[str, Mapping[str, float | None]]
    bytes_down: int
    bytes_up: int
    seconds: Mapping[str, float]
    state_digest: str
    privacy: Mapping[str, Any] | None = None
    started: str = ""
    refused: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    split: Mapping[str, Any] | None = None
    judged: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    groups: tuple[tuple[str, ...], ...] = ()

    def having(self, **changes: Any) -> RoundRecord:
        """Return a copy with some fields replaced."""
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        values = asdict(self)
        if self.privacy is None:
            del values["privacy"]
        for key in ("refused", "judged", "groups"):
            if not values[key]:
                del values[key]
        if self.split is None:
            del values["split"]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RoundRecord:
        """Read what `to_json` wrote.

        Raises:
            TypeError: a field is missing or unknown.
        """
        listed = {"cohort": tuple(values["cohort"]), "events": tuple(values["events"])}
        groups = tuple(map(tuple, values.get("groups", ())))
        return cls(**{**values, **listed, "groups": groups})

    @property
    def memories(self) -> dict[str, int]:
        """Sites that remember something of this round -> the round."""
        return {site: self.round for site, said in self.accepted.items() if said["remembers"]}

    @property
    def loss(self) -> float:
        """Mean training loss of the accepted sites, weighted by their examples; NaN when there are none."""
        weight = sum(site["num_examples"] for site in self.accepted.values())
        total = sum(site["loss"] * site["num_examples"] for site in self.accepted.values())
        return total / weight if weight else float("nan")


class Journal(Protocol):
    """Where a coordinator keeps what must outlive it."""

    def last(self) -> tuple[list[RoundRecord], Tensors] | None:
        """Return the completed rounds and the state after the last of them, or ``None`` before the first."""
        ...

    def roster(self) -> tuple[str, Mapping[str, bytes]]:
        """Return the run's name in hex and its sites' public keys; empty before the sites agreed on keys."""
        ...

    def keep_roster(self, run: str, identities: Mapping[str, bytes]) -> None:
        """Keep them."""
        ...

    def commit(self, record: RoundRecord, state: Tensors) -> None:
        """Keep a completed round; when this returns, a crash cannot lose it."""
        ...

    def ledger(self) -> Log:
        """Open the log of the run for writing, or begin it."""
        ...

    def log_seed(self) -> bytes:
        """Return 32 secret bytes from which the run's log key comes: the same ones as long as there is a log."""
        ...

    def checkpoint(self) -> bytes | None:
        """Return the last checkpoint of the log; ``None`` before the first."""
        ...

    def body_store(self) -> SiteStore:
        """Return where a body host keeps the body: apart from what the coordinator keeps."""
        ...

    def keep_checkpoint(self, note: bytes) -> None:
        """Keep the last checkpoint of the log, with all that signed it."""
        ...
