"""Lets a plan's screens judge each round, and keeps what they remember between rounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from wardround.core.context import RoundContext
from wardround.core.update import Tensors, Update, in_group, of_group, without_group
from wardround.rounds.probing import Probing
from wardround.screen import Case, Screen, Verdict

GROUP = "screen"
"""Group of a coordinator's journal that holds what screens remember: ``screen/<place in the plan>/…``."""

_RESTING = f"{GROUP}/resting"


class Screening:
    """A plan's screens, one after the other.

    Attributes:
        state: what they remember, for the journal.
        verdicts: site -> what `RoundRecord.judged` says of it, in the round that was judged last.
    """

    def __init__(self, screens: Sequence[Screen], kept: Tensors, probing: Probing | None = None) -> None:
        """Go on from what the journal kept.

        Args:
            screens: of the plan.
            kept: the journal's state; all but what is in `GROUP` is left alone.
            probing: makes a probe for each round, where the plan has one.
        """
        self._screens = tuple(screens)
        self._probing = probing
        self.state: dict[str, Any] = {n: v for n, v in kept.items() if n.startswith(f"{GROUP}/")}
        self.verdicts: dict[str, dict[str, Any]] = {}
        self._members: dict[str, tuple[str, ...]] = {}

    def judge(self, updates: Iterable[Update], ctx: RoundContext, weights: Tensors) -> Iterable[Update]:
        """Return what of the updates counts; where nobody judges, they stream on."""
        self.verdicts, self._members = {}, {}
        self.state = without_group(self.state, _RESTING)
        for place, screen in enumerate(self._screens):
            updates = self._heard(place, screen, list(updates), ctx, weights)
        return updates

    @property
    def resting(self) -> frozenset[str]:
        """Sites that are not asked for an update in the next round."""
        return frozenset(of_group(self.state, _RESTING))

    def _heard(
        self, place: int, screen: Screen, held: list[Update], ctx: RoundContext, weights: Tensors
    ) -> list[Update]:
        group = f"{GROUP}/{place}"
        probe = self._probing.probe(ctx, weights) if self._probing and screen.combiner.asks_probe else None
        self._members |= {update.site: tuple(update.members) for update in held if update.members}
        judgement = screen.judge(Case(held, ctx, of_group(self.state, group), weights, probe))
        self.state = without_group(self.state, group) | in_group(judgement.memory, group)
        for name, verdict in judgement.verdicts.items():
            for site in self._members.get(name, (name,)):
                self._enter(site, screen.combiner.name, verdict)
        self._stand(judgement.members, screen.combiner.name)
        return [
            dataclasses.replace(update, trust=update.trust * judgement.verdicts[update.site].trust)
            for update in (held if judgement.updates is None else judgement.updates)
            if judgement.verdicts[update.site].trust > 0
        ]

    def _stand(self, members: Mapping[str, Verdict], name: str) -> None:
        """Enter what is said of members by themselves: it leaves what they sent in this round as it is."""
        for site, verdict in members.items():
            if not verdict.trust:
                self.state[f"{_RESTING}/{site}"] = np.zeros(())
            asked = site in self.verdicts
            self._enter(site, name, dataclasses.replace(verdict, trust=1.0 if asked else verdict.trust))

    def _enter(self, site: str, name: str, verdict: Verdict) -> None:
        said = self.verdicts.setdefault(site, {"trust": 1.0, "reason": "", "evidence": {}})
        said["trust"] *= verdict.trust
        said["reason"] = "; ".join(filter(None, (said["reason"], verdict.reason)))
        said["evidence"] |= {f"{name} {key}": float(value) for key, value in verdict.evidence.items()}

    def with_weights(self, name: str, chosen: Mapping[str, float]) -> dict[str, dict[str, Any]]:
        """Return the verdicts, and beside them the weights that an aggregator of that name chose."""
        for judged, weight in chosen.items():
            for site in self._members.get(judged, (judged,)):
                self._enter(site, name, Verdict(evidence={"weight": weight}))
        return self.verdicts

    def refused(self, cohort: Iterable[str]) -> Mapping[str, str]:
        """Return site -> why its update was left out of the round, for those of `cohort` that sent one."""
        return {s: self.verdicts[s]["reason"] for s in cohort if s in self.verdicts and not self.verdicts[s]["trust"]}
