"""What a site remembers of its own updates, so that it recognises them in the ledger."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from wardround.core.codec import canonical_json
from wardround.core.files import write_atomically
from wardround.errors import SiteError
from wardround.ledger.entries import Broadcast, DataUse, GroupSum, UpdateCommitment, Verdict

_KIND = "contribution"
_ROUNDS_KEPT = 2


@dataclass(frozen=True)
class Contribution:
    """One update that left this site.

    Attributes:
        round: index of the round, from 0.
        attempt: at the sum of frames; 0 where updates travel as tensors.
        broadcast: digest of what the site trained from; see `ledger.entries.Broadcast`.
        digest: of the update; see `ledger.entries.UpdateCommitment`.
        size_bytes: of the update on the wire.
        weight: in the sum; ``None`` where the coordinator weighs and does not tell by what.
        use_root: root of the list of used images; empty where none is kept.
        use_count: number of images in it.
        group: the sites that it signed to be summed with, itself included, where they are dealt to groups.
    """

    round: int
    attempt: int
    broadcast: str
    digest: str
    size_bytes: int
    weight: float | None
    use_root: str = ""
    use_count: int = 0
    group: tuple[str, ...] = ()

    def entries(self, verdict: Verdict) -> list[bytes]:
        """Return what the ledger must hold of this update, in the order in which places are shown."""
        site = verdict.site
        found = [
            Broadcast(self.round, self.broadcast),
            UpdateCommitment(self.round, site, self.digest, self.size_bytes),
            verdict,
        ]
        used = [DataUse(self.round, site, self.use_root, self.use_count)] if self.use_root else []
        summed = [GroupSum(self.round, self.group)] if self.group else []
        return [entry.to_bytes() for entry in (*found, *used, *summed)]


class Contributions:
    """The contributions of the last two rounds, one file a round: a ledger that lags by one round can be signed."""

    def __init__(self, folder: Path) -> None:
        """Keep them in `folder`, which is made on the first write."""
        self._folder = folder

    def note(self, contribution: Contribution) -> None:
        """Remember what is about to leave this site; a killed process forgets nothing."""
        attempts = {**self._attempts(contribution.round), str(contribution.attempt): asdict(contribution)}
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self._path(contribution.round), canonical_json(attempts), sync=False)
        for path in self._folder.glob(f"{_KIND}-*.json"):
            if path < self._path(max(0, contribution.round + 1 - _ROUNDS_KEPT)):
                path.unlink(missing_ok=True)

    def grouped(self, round_index: int, attempt: int, sites: tuple[str, ...]) -> None:
        """Remember with whom this site signs to be summed.

        Raises:
            SiteError: nothing left this site in that attempt.
        """
        sent = self.of(round_index, attempt)
        if sent is None:
            raise SiteError(f"this site sent no update in attempt {attempt} of round {round_index}")
        self.note(replace(sent, group=sites))

    def of(self, round_index: int, attempt: int) -> Contribution | None:
        """Return what this site sent in an attempt; ``None`` if nothing.

        Raises:
            SiteError: what it kept cannot be read.
        """
        found = self._attempts(round_index).get(str(attempt))
        try:
            return None if found is None else Contribution(**{**found, "group": tuple(found.get("group", ()))})
        except TypeError as error:
            raise SiteError(f"what this site kept of round {round_index} cannot be read: {error}") from None

    def any_of(self, round_index: int) -> bool:
        """Whether an update left this site in a round."""
        return bool(self._attempts(round_index))

    def _attempts(self, round_index: int) -> dict[str, dict[str, Any]]:
        path = self._path(round_index)
        if not path.exists():
            return {}
        try:
            held = json.loads(path.read_bytes())
        except ValueError:
            raise SiteError(f"what this site kept of round {round_index} is damaged: remove {path.name}") from None
        if not isinstance(held, dict) or not all(isinstance(one, dict) for one in held.values()):
            raise SiteError(f"what this site kept of round {round_index} is damaged: remove {path.name}")
        return held

    def _path(self, round_index: int) -> Path:
        return self._folder / f"{_KIND}-{round_index:06d}.json"
