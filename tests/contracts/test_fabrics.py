"""Every fabric on this machine keeps the contract."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from contracts.fabric_contract import FabricContract, closing, make_actors, open_actor

from wardround.fabric.base import Fabric
from wardround.fabric.local import LocalFabric
from wardround.fabric.workers import WINDOW_PER_WORKER, WorkerFabric


class TestLocalPlain(FabricContract):
    keeps_timeouts = checks_encoding = False

    @classmethod
    def opened(cls, names: Sequence[str]) -> AbstractContextManager[Fabric]:
        return closing(lambda: LocalFabric(names, open_actor))


class TestLocalEncoded(FabricContract):
    keeps_timeouts = False

    @classmethod
    def opened(cls, names: Sequence[str]) -> AbstractContextManager[Fabric]:
        return closing(lambda: LocalFabric(names, open_actor, encoded=True))


class TestOneWorker(FabricContract):
    window = WINDOW_PER_WORKER

    @classmethod
    def opened(cls, names: Sequence[str]) -> AbstractContextManager[Fabric]:
        return closing(lambda: WorkerFabric(names, make_actors, workers=1))


class TestTwoWorkers(FabricContract):
    window = 2 * WINDOW_PER_WORKER

    @classmethod
    def opened(cls, names: Sequence[str]) -> AbstractContextManager[Fabric]:
        return closing(lambda: WorkerFabric(names, make_actors, workers=2))
