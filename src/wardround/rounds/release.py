"""What a site does under a claim of (epsilon, delta) before an update leaves: noise, its price written down, once."""

from __future__ import annotations

from typing import Any

from wardround.errors import PlanError, SiteError
from wardround.privacy import Event
from wardround.rounds.events import events_to_json
from wardround.rounds.plan import Plan
from wardround.rounds.replies import Replies
from wardround.rounds.spending import Account
from wardround.rounds.store import SiteStore


class Release:
    """A site's side of the claim in one run.

    Attributes:
        replies: what was sent in the clear, to be sent again as it is.
    """

    def __init__(self, plan: Plan, store: SiteStore, account: Account | None) -> None:
        """Prepare for one run.

        Raises:
            PlanError: the plan claims nothing.
            SiteError: there is no account to write into.
        """
        if plan.guarantee is None:
            raise PlanError("the plan claims no (epsilon, delta)")
        if account is None:
            raise SiteError("this site has nowhere to write down what noise costs, so it adds none and sends nothing")
        self._guarantee = plan.guarantee
        self._account = account
        self.replies = Replies(store)

    def check(self) -> None:
        """Refuse a round that this site's budget does not cover; see `Account.check`."""
        self._account.check(self._guarantee.events_of_round())

    def enter(self, events: tuple[Event, ...]) -> list[list[Any]]:
        """Write down what was spent, before anything is sent, and return it as the coordinator is told.

        Where the coordinator adds the noise, it is the one to tell of it; the site counts on it all the same.
        """
        stage = self._guarantee.pipeline.noise
        central = stage is not None and stage.is_central
        self._account.add(self._guarantee.events_of_round() if central else events)
        return events_to_json(events)
