"""All that stands between a site's trained update and the wire, where updates are summed as frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wardround.core.codec import Message
from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.errors import TrustError
from wardround.protect.scheme import Scheme
from wardround.rounds.keyring import Keyring
from wardround.rounds.logbook.contributions import Contributions
from wardround.rounds.pending import Pending, PendingUpdates
from wardround.rounds.plan import Plan
from wardround.rounds.replica import Replica
from wardround.rounds.replication import Replication
from wardround.rounds.sealing import Sealing
from wardround.rounds.shelf import FrameShelf
from wardround.rounds.store import SiteStore
from wardround.rounds.trials import Trials


@dataclass(frozen=True)
class Given:
    """What a site was given to train from.

    Attributes:
        tensors: the broadcast.
        digest: of them.
        logged: what the ledger holds for it; see `ledger.entries.Broadcast`.
    """

    tensors: Tensors
    digest: str
    logged: str


class Outlet:
    """Puts together what a plan's protections need at one site.

    Attributes:
        operations: what the coordinator may call.
    """

    def __init__(
        self, site: str, plan: Plan, store: SiteStore, keyring: Keyring | None, contributions: Contributions
    ) -> None:
        """Prepare for one run.

        Args:
            site: name of this site.
            plan: of the run.
            store: where the site keeps what it remembers.
            keyring: the keys of the run; ``None`` where the plan needs none.
            contributions: notes what leaves this site.
        """
        self._plan = plan
        self._scheme = Scheme.of(plan.pipeline, plan.weight_total)
        self._pending = PendingUpdates(store.folder)
        self._keyring = keyring
        trials = None
        self.operations: dict[str, Callable[[Message], Message]] = {}
        if plan.pipeline.masks and self._keyring is not None:
            trials = Trials(site, plan.pipeline.masks, self._keyring, plan.aggregator.weighting == "uniform")
        shelf = FrameShelf(store.folder)
        sealing = Sealing(site, self._scheme, self._pending, shelf, self._keyring, trials, contributions)
        self.operations |= sealing.operations

    def replication(self, replica: Replica) -> dict[str, Callable[[Message], Message]]:
        """Return what a site may be asked where the coordinator is blind.

        Raises:
            TrustError: there are no keys.
        """
        if self._keyring is None:
            raise TrustError("a blind coordinator needs an encrypted sum: add a homomorphic stage")
        return Replication(self._plan, self._scheme, self._keyring, replica).operations

    def trained(self, round_index: int, cause: str) -> Mapping[str, Any] | None:
        """Return what was said of the update of a round that was trained before, from the same state."""
        return self._pending.facts(round_index, cause)

    def hold(
        self, ctx: RoundContext, cause: str, said: Mapping[str, Any], given: Given, change: Tensors
    ) -> Mapping[str, Any]:
        """Turn an update into a row of numbers and keep it until its frames are asked for.

        Args:
            ctx: the round, as this site sees it.
            cause: digest of everything that the training depended on.
            said: what the coordinator is told of the update.
            given: what the update is a difference to.
            change: the update, clipped.

        Returns:
            `said`, and the share of values that were cut to their range.
        """
        values, cut = self._plan.pipeline.grid(given.tensors).encode(change, ctx.rng("quantise"))
        said = {**said, "cut": float(cut)}
        self._pending.keep(ctx.round, cause, Pending(given.digest, given.logged, said, values))
        return said
