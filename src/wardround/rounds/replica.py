"""The model's state at a site, where the coordinator is blind: every site takes the same server step."""

from __future__ import annotations

from pathlib import Path

from wardround.algorithms import ServerStep
from wardround.core.context import RoundContext
from wardround.core.update import Aggregate, Tensors
from wardround.errors import SiteError
from wardround.rounds.checks import check_against
from wardround.rounds.digests import digest_of
from wardround.rounds.store import SiteStore


class Replica:
    """One site's copy of the server's state, one version a round.

    The coordinator says which round was the last that everybody took, so a round that was voided or cut short leaves
    nothing behind, as in `SiteStore`.
    """

    def __init__(self, folder: Path, server: ServerStep, initial: Tensors) -> None:
        """Start from the initial shared weights `initial`."""
        self._store = SiteStore(folder, "state")
        self._server = server
        self._initial = initial
        self._held: tuple[int, Tensors] | None = None
        self._digests: dict[int, str] = {}

    def digest(self, round_index: int) -> str:
        """Return the digest of the state after a round."""
        if round_index not in self._digests:
            self._digests = {round_index: digest_of(self.after(round_index))}
        return self._digests[round_index]

    def after(self, round_index: int) -> Tensors:
        """Return the state after a round; -1 for the one before round 0.

        Raises:
            SiteError: this site does not hold it.
        """
        if round_index < 0:
            return self._server.start(self._initial)
        if self._held is None or self._held[0] != round_index:
            self._held = (round_index, self._store.read(round_index))
        return self._held[1]

    def broadcast(self, round_index: int) -> Tensors:
        """Return what a coordinator would broadcast after that round."""
        return self._server.broadcast(self.after(round_index))

    def model(self, round_index: int) -> Tensors:
        """Return the shared weights to evaluate and to save after that round."""
        return self._server.model(self.after(round_index))

    def step(self, total: Aggregate, ctx: RoundContext) -> str:
        """Take the server step of round `ctx.round` and return the digest of the new state."""
        return self._keep(ctx.round, self._server.apply(self.after(ctx.round - 1), total.mean(), ctx))

    def adopt(self, round_index: int, state: Tensors, digest: str) -> None:
        """Take over a state that another site sent.

        Raises:
            SiteError: it is not the state that the sites agreed on.
            WireError: it is no state of this plan's model.
        """
        check_against(state, self._server.start(self._initial))
        if digest_of(state) != digest:
            raise SiteError(f"the state of round {round_index} that another site sent is not the one agreed on")
        self._keep(round_index, state)

    def _keep(self, round_index: int, state: Tensors) -> str:
        self._store.write(round_index, dict(state), sync=False)
        self._store.forget(round_index - 1)
        self._held = (round_index, state)
        self._digests = {}
        return self.digest(round_index)
