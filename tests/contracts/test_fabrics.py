"""Every fabric keeps the contract; FLARE's with both its ends, and a call in place of FLARE between them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial

from contracts.fabric_contract import FabricContract, closing, make_actors, open_actor

from wardround.fabric.base import Fabric
from wardround.fabric.flare.fabric import FlareFabric
from wardround.fabric.flare.site import SiteEnd
from wardround.fabric.local import LocalFabric
from wardround.fabric.workers import WINDOW_PER_WORKER, WorkerFabric


class Direct:
    """A FLARE proxy whose site is in this process."""

    def __init__(self, site: str) -> None:
        self._end = SiteEnd(site, partial(open_actor, site))

    def __call__(self, *, timeout: float) -> SiteEnd:
        return self._end


class TestFlare(FabricContract):
    """Time limits are FLARE's; ``tests/unit/fabric/flare`` and the slow tests look at them."""

    keeps_timeouts = tells_what_broke = False
    window = 2

    @classmethod
    def opened(cls, names: Sequence[str]) -> AbstractContextManager[Fabric]:
        proxies = {name: Direct(name) for name in names}
        return closing(lambda: FlareFabric(proxies, RuntimeError, window=cls.window))


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
