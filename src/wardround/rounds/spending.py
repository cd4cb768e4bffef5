"""What a site has spent of its patients' privacy: on its own disk, across runs, and never more than its budget."""

from __future__ import annotations

import fcntl
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wardround.core.codec import canonical_json
from wardround.errors import SiteError, TrustError, WireError
from wardround.privacy import Event, epsilon_of
from wardround.protect.private_files import make_private_folder, read_own, write_private
from wardround.protect.trust import Budget
from wardround.rounds.events import events_of, events_to_json

VERSION = 1
MAX_BYTES = 2**22


@dataclass(frozen=True)
class Account:
    """A site's spending on one data set, for one unit.

    Attributes:
        path: of the file that all accounts of a site share; made on the first entry.
        data: the data set, as the plan names it.
        unit: whose presence the events hide.
        budget: what the operator allows on this site's data, all runs together; ``None`` allows everything.
    """

    path: Path
    data: str
    unit: str
    budget: Budget | None = None

    def spent(self) -> Counter[Event]:
        """Return everything that was ever added to this account.

        Raises:
            SiteError: the file is damaged.
        """
        return Counter(events_of(self._read().get(self._key, [])))

    def check(self, events: Iterable[Event]) -> None:
        """Refuse noise that would not be covered by the budget any more, before it is made.

        Raises:
            SiteError: the budget is for another unit, or with `events` it would be exceeded.
        """
        if self.budget is None:
            return
        if self.budget.unit != self.unit:
            raise SiteError(f"this site's budget counts {self.budget.unit}s, and the plan hides {self.unit}s")
        together = self.spent() + Counter(events)
        if epsilon_of(together, self.budget.delta) > self.budget.epsilon:
            raise SiteError("this site's privacy budget for these data is spent: its operator may raise it, or not")

    def add(self, events: Iterable[Event]) -> None:
        """Enter noise that was made; when this returns, it is on the disk. Two runs at once wait for each other.

        Raises:
            SiteError: the file is damaged or cannot be written, or another run spent the budget meanwhile; then nothing
                of the update may leave.
        """
        made = list(events)
        try:
            make_private_folder(self.path.parent)
            with self._alone():
                self.check(made)
                accounts = self._read()
                accounts[self._key] = events_to_json((self.spent() + Counter(made)).elements())
                write_private(self.path, canonical_json({"version": VERSION, "accounts": accounts}))
        except (OSError, TrustError) as error:
            raise SiteError("this site cannot write down what it spends, so it sends nothing") from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @property
    def _key(self) -> str:
        return f"{self.unit} {self.data}"

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        try:
            held = json.loads(read_own(self.path, MAX_BYTES))
            accounts: Mapping[str, Any] = held["accounts"]
            if held["version"] != VERSION:
                raise WireError("it is of another version")
            for values in accounts.values():
                events_of(values)
        except (TrustError, WireError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SiteError("this site's record of what it spent cannot be read, so it sends nothing") from error
        return dict(accounts)


def refuse_uncovered(budget: Budget | None) -> None:
    """Refuse a plan without (epsilon, delta) at a site whose operator set a budget.

    Raises:
        TrustError: there is a budget.
    """
    if budget is not None:
        raise TrustError(
            f"this site has a privacy budget, and the plan claims no (epsilon, delta): it needs a [privacy] table with "
            f'unit = "{budget.unit}"'
        )
