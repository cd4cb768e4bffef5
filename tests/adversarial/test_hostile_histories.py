"""Whatever a coordinator asks for, over rounds, attempts, restarts and runs: no site is ever given away.

Sites here are their memory of attempts, `Trials`, with the real secrets, offers, lists and reveals; what they put under
their masks is a name. The coordinator tries what it likes, and collects all that it is ever told.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from desks import NAMES, STATE, Consortium

from wardround.errors import WardroundError
from wardround.protect.attempt import SurvivorList
from wardround.protect.commitment import Commitment, Sign
from wardround.protect.offers import Received
from wardround.protect.retry import groups
from wardround.protect.unmask import Reveal
from wardround.rounds import past
from wardround.rounds.past import Cargo, Trial
from wardround.rounds.trials import Trials

STEPS = 14


class Liar:
    """A coordinator that does what it likes, and keeps all it is told.

    Attributes:
        sums: what it can open: what each site put in.
        shares: (secret, kind) -> who revealed a share of it.
        thresholds: secret -> shares that open it.
    """

    def __init__(self, rng: random.Random, num_sites: int) -> None:
        self.rng = rng
        self.sites = NAMES[:num_sites]
        self.consortium = Consortium(self.sites)
        self.runs = 1
        self.numbers: dict[int, int] = defaultdict(int)
        self.lists: list[tuple[str, ...]] = []
        self.last: tuple[int, int, tuple[str, ...], bool] | None = None
        self.cargoes: dict[str, Cargo] = {}
        self.sums: list[dict[str, str]] = []
        self.shares: dict[tuple[bytes, str], set[int]] = defaultdict(set)
        self.thresholds: dict[bytes, int] = {}

    def start_run(self) -> None:
        self.runs += 1
        self.consortium.start_run()

    def step(self) -> None:
        chance = self.rng.random()
        if chance < 0.06:
            self.start_run()
        elif chance < 0.2:
            self.consortium.restart(self.rng.choice(self.sites))
        else:
            self.attempt(self.rng.choice([0, 0, 0, 0, 1]))

    def attempt(self, round_index: int) -> None:
        if self.last is None or self.rng.random() < 0.7:
            self.numbers[round_index] += self.rng.choice([1, 1, 1, 0])
            self.last = round_index, self.numbers[round_index], self.cohort(), self.rng.random() < 0.4
            self.cargoes = {}
        round_index, number, cohort, whole = self.last
        trials = self.consortium.trials
        found = {site: self.asked(trials[site].offer, round_index, number, cohort, whole) for site in cohort}
        offered = {site: one for site, one in found.items() if isinstance(one, Trial)}
        if len(offered) < len(cohort):
            return
        threshold = next(iter(offered.values())).secrets.threshold
        cargoes: dict[str, str] = {}
        self.cargoes = self.cargoes or self.some_cargoes(cohort)
        for site, cargo in self.cargoes.items():
            boxes = {peer: offered[peer].boxes[site] for peer in cohort if peer != site}
            if self.asked(trials[site].receive, round_index, number, cargo, boxes):
                cargoes[site] = f"{cargo.weights[site]} {cargo.update}"
        shown = [self.survivors(cohort, threshold) for _ in range(self.rng.choice([1, 1, 2, 3]))]
        signed: dict[tuple[str, ...], dict[str, bytes]] = defaultdict(dict)
        for site in cargoes:
            listed = self.rng.choice(shown)
            signature = self.asked(trials[site].agree, round_index, number, listed)
            if signature:
                signed[listed][site] = signature
        for survivors, signatures in signed.items():
            listed_as = SurvivorList(offered[cohort[0]].attempt, threshold, survivors)
            self.collect(listed_as, signatures, cargoes)
        self.lists += signed

    def collect(self, listed: SurvivorList, signatures: Mapping[str, bytes], cargoes: Mapping[str, str]) -> None:
        place = listed.attempt.round, listed.attempt.number
        chance = self.rng.choice([0.3, 0.7, 1, 1])
        revealed = 0
        for site in listed.survivors:
            if self.rng.random() > chance:
                continue
            told = self.asked(self.consortium.trials[site].reveal, *place, listed.survivors, signatures)
            if told:
                revealed += 1
                self.note(Reveal.from_bytes(told), listed.threshold)
        if revealed >= listed.threshold:
            self.sums.append({site: f"{site} {listed.attempt.round} {cargoes[site]}" for site in listed.survivors})

    def some_cargoes(self, cohort: Sequence[str]) -> dict[str, Cargo]:
        """Choose weights and updates, most of them as they always are."""
        weights = {site: self.rng.choice([1, 1, 1, 1, 2]) for site in cohort}
        updates = {site: self.rng.choice(["first", "first", "first", "anew"]) for site in cohort}
        return {site: Cargo(weights, STATE, updates[site], 100) for site in cohort}

    def note(self, reveal: Reveal, threshold: int) -> None:
        for shown in reveal.shown:
            kind = "mask seed" if shown.wrapped else "self seed"
            self.shares[shown.mask_key, kind].add(reveal.index)
            self.thresholds[shown.mask_key] = threshold

    def cohort(self) -> tuple[str, ...]:
        chosen = {site for site in self.sites if self.rng.random() < 0.9}
        if self.lists and self.rng.random() < 0.7:
            listed = self.rng.choice(self.lists[-4:])
            chosen = set(self.rng.choice([*groups(listed), listed, listed]))
            if self.rng.random() < 0.3:
                chosen ^= {self.rng.choice(self.sites)}
        return tuple(sorted(chosen)) if len(chosen) > 1 else self.sites

    def survivors(self, cohort: Sequence[str], threshold: int) -> tuple[str, ...]:
        size = self.rng.choice([len(cohort), self.rng.randint(threshold, len(cohort))])
        return tuple(sorted(self.rng.sample(list(cohort), size)))

    @staticmethod
    def asked(operation: Callable[..., Any], *words: Any) -> Any:
        try:
            return operation(*words)
        except WardroundError:
            return None


def given_away(liar: Liar) -> list[str]:
    """Return of whom the sums say something alone.

    The unknowns are what the sites put in, by round, weight and update; of a site all that it ever put in counts as its
    own. A combination of sums in which all others cancel and its own does not is one more in rank with its columns.
    """
    unknowns = sorted({what for one in liar.sums for what in one.values()})
    matrix = np.array([[float(weight_in(one, what)) for what in unknowns] for one in liar.sums])
    matrix = matrix.reshape(len(liar.sums), len(unknowns))
    found = []
    for site in liar.sites:
        others = matrix[:, [not what.startswith(f"{site} ") for what in unknowns]]
        if np.linalg.matrix_rank(matrix) > (np.linalg.matrix_rank(others) if others.size else 0):
            found.append(site)
    return found


def weight_in(one: Mapping[str, str], what: str) -> int:
    return int(what.split()[2]) if one.get(what.split(maxsplit=1)[0]) == what else 0


def both_opened(liar: Liar) -> list[bytes]:
    """Return the secrets of which both seeds open; that nobody revealed shares of both is asked besides."""
    secrets = {secret for secret, _ in liar.shares}
    return [
        secret
        for secret in secrets
        if min(len(liar.shares[secret, kind]) for kind in ("mask seed", "self seed")) >= liar.thresholds[secret]
    ]


def histories(count: int, seed: int = 0) -> Iterator[Liar]:
    rng = random.Random(seed)
    for _ in range(count):
        liar = Liar(rng, rng.randint(3, 7))
        for _ in range(STEPS):
            liar.step()
        yield liar


def test_no_history_gives_a_site_away() -> None:
    several = restarts = 0
    for liar in histories(70):
        assert given_away(liar) == []
        assert both_opened(liar) == []
        for secret, _ in list(liar.shares):
            assert not liar.shares[secret, "mask seed"] & liar.shares[secret, "self seed"]
        several += len(liar.sums) > 1
        restarts += liar.runs > 1 and bool(liar.sums)
    # The coordinator did get somewhere: the claim is not an empty one.
    assert several > 10
    assert restarts > 10


def no_account(self: Trials, before: Any, attempt: Any, threshold: int) -> Commitment:
    return Commitment(self._site, attempt, threshold)


def another_list(self: Commitment, listed: SurvivorList, received: Received, sign: Sign) -> tuple[Commitment, bytes]:
    signed = tuple(one for one in self.signed if one.listed.attempt != self.attempt)
    return SIGN(replace(self, signed=signed), listed, received, sign)


SIGN = Commitment.sign


@pytest.mark.parametrize("forgotten", ["what was opened", "weights and updates", "the list of the attempt"])
def test_each_of_the_rules_is_needed(forgotten: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: sites that forget one thing are given away within a few histories."""
    if forgotten == "weights and updates":
        monkeypatch.setattr(past.Cargo, "of", lambda self, site: "")
        assert any(given_away(liar) for liar in histories(400))
        return
    monkeypatch.setattr(past.Past, "opened", None)
    if forgotten == "what was opened":
        monkeypatch.setattr(Trials, "_following", no_account)
        assert any(given_away(liar) for liar in histories(400))
    else:
        monkeypatch.setattr(Commitment, "sign", another_list)
        monkeypatch.setattr(Trials, "signed_for", ())
        assert any(both_opened(liar) for liar in histories(400))
