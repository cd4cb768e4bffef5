"""Counts what calls carry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wardround.core.codec import Message
from wardround.fabric.base import Answer, Body, Fabric


class Metered:
    """A `Fabric` around a fabric.

    Attributes:
        bytes_down: bytes of what sites were told, once for each site.
        bytes_up: bytes of what they answered.
    """

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self.bytes_down = 0
        self.bytes_up = 0

    def sites(self) -> tuple[str, ...]:
        """Return the sites' names; see `Fabric.sites`."""
        return self._fabric.sites()

    def gather(self, sites: Sequence[str], op: str, body: Body, timeout_s: float | None) -> Iterator[Answer]:
        """Call and count; see `Fabric.gather`."""
        if isinstance(body, Message):
            self.bytes_down += len(sites) * body.size_bytes
        else:
            self.bytes_down += sum(body[site].size_bytes for site in sites)
        for answer in self._fabric.gather(sites, op, body, timeout_s):
            if answer.message is not None:
                self.bytes_up += answer.message.size_bytes
            yield answer

    def taken(self) -> tuple[int, int]:
        """Return bytes down and up since the last call."""
        taken = self.bytes_down, self.bytes_up
        self.bytes_down = self.bytes_up = 0
        return taken

    def events(self) -> list[str]:
        """Return what the fabric mended; see `Fabric.events`."""
        return self._fabric.events()

    def close(self) -> None:
        """Close the fabric."""
        self._fabric.close()
