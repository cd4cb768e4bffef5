"""Lets a plan's screens judge each round, and keeps what they remember between rounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wardround.core.context import RoundContext
from wardround.core.update import Tensors, Update, in_group, of_group, without_group
from wardround.rounds.probing import Probing
from wardround.screen import Case, Screen, Verdict

GROUP = "screen"
"""Group of a coordinator's journal that holds what screens remember: ``screen/<place in the plan>/…``."""


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

    def judge(self, updates: Iterable[Update], ctx: RoundContext, weights: Tensors) -> Iterable[Update]:
        """Return what of the updates counts; where nobody judges, they stream on."""
        self.verdicts = {}
        for place, screen in enumerate(self._screens):
            updates = self._heard(place, screen, list(updates), ctx, weights)
        return updates

    def _heard(
        self, place: int, screen: Screen, held: list[Update], ctx: RoundContext, weights: Tensors
    ) -> list[Update]:
        group = f"{GROUP}/{place}"
        probe = self._probing.probe(ctx, weights) if self._probing and screen.combiner.asks_probe else None
        judgement = screen.judge(Case(held, ctx, of_group(self.state, group), weights, probe))
        self.state = without_group(self.state, group) | in_group(judgement.memory, group)
        for site, verdict in judgement.verdicts.items():
            self._enter(site, screen.combiner.name, verdict)
        return [
            dataclasses.replace(update, trust=update.trust * judgement.verdicts[update.site].trust)
            for update in (held if judgement.updates is None else judgement.updates)
            if judgement.verdicts[update.site].trust > 0
        ]

    def _enter(self, site: str, name: str, verdict: Verdict) -> None:
        said = self.verdicts.setdefault(site, {"trust": 1.0, "reason": "", "evidence": {}})
        said["trust"] *= verdict.trust
        said["reason"] = "; ".join(filter(None, (said["reason"], verdict.reason)))
        said["evidence"] |= {f"{name} {key}": float(value) for key, value in verdict.evidence.items()}

    def with_weights(self, name: str, chosen: Mapping[str, float]) -> dict[str, dict[str, Any]]:
        """Return the verdicts, and beside them the weights that an aggregator of that name chose."""
        for site, weight in chosen.items():
            self._enter(site, name, Verdict(evidence={"weight": weight}))
        return self.verdicts

    @property
    def refused(self) -> Mapping[str, str]:
        """Site -> why its update was left out of the round."""
        return {site: said["reason"] for site, said in self.verdicts.items() if not said["trust"]}
