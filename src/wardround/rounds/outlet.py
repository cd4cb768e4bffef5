"""All that stands between a site's trained update and the wire, where updates are summed as frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wardround.core.codec import Message
from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.errors import TrustError
from wardround.privacy import Event
from wardround.privacy.words import Words
from wardround.protect.noisy_grid import NoisyGrid
from wardround.protect.scheme import Scheme
from wardround.rounds.groups import Company
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
class Encoded:
    """An update as one row of numbers.

    Attributes:
        values: int64 or float64 ``(num_values,)``.
        cut: share of values that were cut to their range.
        events: noise that was added on the way, one event for each.
    """

    values: np.ndarray
    cut: float
    events: tuple[Event, ...] = ()


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
        trials, company = None, None
        self.operations: dict[str, Callable[[Message], Message]] = {}
        if plan.pipeline.masks and self._keyring is not None:
            masks = plan.pipeline.masks
            if plan.groups is not None:
                company = Company(plan.groups, plan.seed, plan.rounds, site)
                masks = replace(masks, least_sites=max(masks.least_sites, plan.groups.size))
            trials = Trials(site, masks, self._keyring, plan.aggregator.weighting == "uniform")
        shelf = FrameShelf(store.folder)
        sealing = Sealing(site, self._scheme, self._pending, shelf, self._keyring, trials, contributions, company)
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

    def encoded(self, ctx: RoundContext, broadcast: Tensors, change: Tensors) -> Encoded:
        """Turn an update into a row of numbers, with this site's share of noise where the plan says so.

        Args:
            ctx: the round, as this site sees it.
            broadcast: what the update is a difference to.
            change: the update, clipped.
        """
        grid = self._plan.grid(broadcast, ctx)
        if not isinstance(grid, NoisyGrid):
            return Encoded(*grid.encode(change, ctx.rng("quantise")))
        words = Words.at(ctx, "noise", grid.scale.seeded)
        values, event = grid.encode(change, words)
        return Encoded(values, 0.0, (event,))

    def hold(
        self, ctx: RoundContext, cause: str, said: Mapping[str, Any], given: Given, encoded: Encoded
    ) -> Mapping[str, Any]:
        """Keep an update until its frames are asked for.

        Args:
            ctx: the round, as this site sees it.
            cause: digest of everything that the training depended on.
            said: what the coordinator is told of the update.
            given: what the update is a difference to.
            encoded: the update as numbers.

        Returns:
            `said`, and the share of values that were cut to their range.
        """
        said = {**said, "cut": float(encoded.cut)}
        self._pending.keep(ctx.round, cause, Pending(given.digest, given.logged, said, encoded.values, ctx.cohort))
        return said
