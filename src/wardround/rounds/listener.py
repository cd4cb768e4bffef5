"""Who is told of a run while it runs."""

from __future__ import annotations

from typing import Protocol

from wardround.rounds.record import RoundRecord


class Listener(Protocol):
    """Is told what happens while it happens."""

    def answered(self, round_index: int, site: str, failure: str | None) -> None:
        """Hear that a site's answer of this round is in."""
        ...

    def completed(self, record: RoundRecord) -> None:
        """Hear that a round is done and on disk."""
        ...


class Silent:
    """A `Listener` that does nothing."""

    def answered(self, round_index: int, site: str, failure: str | None) -> None:
        """Ignore it."""

    def completed(self, record: RoundRecord) -> None:
        """Ignore it."""
