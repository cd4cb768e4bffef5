"""Seconds of a run, by phase."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager


class Clock:
    """Adds up seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time inside the block as `name`."""
        began = time.perf_counter()
        yield
        self.add({name: time.perf_counter() - began})

    def add(self, seconds: Mapping[str, float]) -> None:
        """Add seconds counted elsewhere."""
        for name, value in seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + value

    def add_all(self, spans: Iterable[Mapping[str, float]]) -> None:
        """Add the seconds of several records."""
        for seconds in spans:
            self.add(seconds)
