"""Writers of a log killed at 1,000 random points: nothing acknowledged is lost, nothing half-written is accepted."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from ledger_writer import entry, write

from wardround.errors import LedgerError
from wardround.ledger.acknowledged import read_acknowledged
from wardround.ledger.log import ACKNOWLEDGED_NAME, Log
from wardround.ledger.merkle import leaf_hash, root_of, verify_consistency

pytestmark = pytest.mark.slow

KILLS = 1000
KILLS_PER_LOG = 10
PATIENCE_S = 60


def test_killed_writers(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ledger_writer"])
    rng, seen = random.Random(8), Counter[str]()
    before, root_before = 0, b""
    for kill in range(KILLS):
        folder = tmp_path / str(kill // KILLS_PER_LOG)
        if kill % KILLS_PER_LOG == 0:
            before = 0
        receiving, sending = context.Pipe(duplex=False)
        piece = rng.choice((0, 3, 64, 4096))
        child = context.Process(target=write, args=(folder, sending, kill, piece), daemon=True)
        child.start()
        sending.close()
        heard = Heard(receiving)
        heard.until_it_writes(rng.choice((0, 1, 1, 2, 5)))
        time.sleep(rng.random() * rng.choice((0.0001, 0.001, 0.01)))
        child.kill()
        child.join(PATIENCE_S)
        heard.to_the_end()
        receiving.close()

        if read_acknowledged(folder / ACKNOWLEDGED_NAME) is None:  # only ever after the entries are on the disk
            seen["killed while it counted"] += 1
            with pytest.raises(LedgerError, match="acknowledged is missing or damaged"):
                Log(folder, read_only=True)
            with Log(folder) as log:
                assert log.size == heard.announced
                assert log.unfinished_bytes == 0
        with Log(folder, read_only=True) as log:
            size, root = log.size, log.root()
            assert size in (heard.acknowledged, heard.announced), f"kill {kill}"
            assert size >= before
            assert all(found == entry(index) for index, found in enumerate(log.entries()))
            assert root == root_of(leaf_hash(entry(index)) for index in range(size))
            if before:
                verify_consistency(before, size, root_before, root, log.consistency(before))
            seen["half-written"] += log.unfinished_bytes > 0
            seen["whole, not acknowledged"] += size > heard.acknowledged
            seen["nothing under way"] += size == heard.acknowledged and log.unfinished_bytes == 0
        with Log(folder) as log:  # as the next run finds it: it mends the log and finds the same
            assert (log.size, log.root()) == (size, root)
        before, root_before = size, root
    print(f"{KILLS} kills: {dict(seen)}")
    assert seen["half-written"] >= KILLS // 20
    assert seen["whole, not acknowledged"] >= KILLS // 100


class Heard:
    """What a writer said.

    Attributes:
        acknowledged: size of the log after its last append that returned.
        announced: size that the log was to have after the append that it last began.
    """

    def __init__(self, saying: Connection) -> None:
        self._saying = saying
        self.acknowledged = self.announced = 0

    def until_it_writes(self, appends: int) -> None:
        """Listen until it has made so many appends and is at the next."""
        while appends >= 0 or self.announced == self.acknowledged:
            assert self._saying.poll(PATIENCE_S), "the writer says nothing"
            appends -= self._hear()

    def to_the_end(self) -> None:
        """Listen to what it still said before it was killed."""
        with contextlib.suppress(EOFError):
            while True:
                self._hear()

    def _hear(self) -> bool:
        size = int(self._saying.recv_bytes())
        self.announced = abs(size)
        if size >= 0:
            self.acknowledged = size
        return size >= 0
