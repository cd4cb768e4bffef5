"""The coordinator: runs the rounds of a plan over a fabric."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from wardround.algorithms import Algorithm
from wardround.core.codec import Message
from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.errors import PlanError, QuorumLost, RunError, WireError
from wardround.fabric.base import Fabric
from wardround.rounds.assessment import Assessment, Reader, SiteTest
from wardround.rounds.checks import check_facts
from wardround.rounds.inbox import Inbox
from wardround.rounds.listener import Listener, Silent
from wardround.rounds.plan import Plan
from wardround.rounds.record import Journal, RoundRecord
from wardround.rounds.site import Workbench
from wardround.tasks.classification import Classification


@dataclass(frozen=True)
class RunResult:
    """What a run ends with.

    Attributes:
        weights: weights to save, ``net/…`` and ``stat/…``; personal ones at their initial values.
        personal: names of the weights that stayed at the sites.
        task: what was learned.
        facts: site -> what it said of itself when it joined.
        records: one per round.
        test: the model on the test parts.
        test_failed: site -> why it is missing from `test`.
        seconds: phase -> seconds, over all rounds.
    """

    weights: Tensors
    personal: tuple[str, ...]
    task: Classification
    facts: Mapping[str, Mapping[str, Any]]
    records: Sequence[RoundRecord]
    test: Assessment
    test_failed: Mapping[str, str]
    seconds: Mapping[str, float]


@dataclass
class Coordinator:
    """Runs one plan. Holds no image, and of the updates never more than one and their sum.

    Attributes:
        plan: checked here, whoever checked it before.
        fabric: carries the calls.
        journal: keeps completed rounds.
        listener: is told of progress.
    """

    plan: Plan
    fabric: Fabric
    journal: Journal
    listener: Listener = field(default_factory=Silent)

    def run(self) -> RunResult:
        """Run the plan to its end, from the journal's last completed round.

        Raises:
            PlanError: the plan is refused, or does not fit the sites.
            QuorumLost: a round had too few good updates; all rounds before it are kept.
            RunError: a site could not join, or none could be tested.
        """
        self.plan.check()
        clock = Clock()
        with clock.phase("open"):
            facts = self._open()
            task = self._task(facts)
            bench = Workbench(task, self.plan.seed)
        algorithm = self.plan.composed()
        personal = algorithm.personal(bench.lend())
        trainers = tuple(site for site in sorted(facts) if facts[site]["num_train"])
        self.plan.check_cohort(len(trainers))
        records, state = self.journal.last() or ([], None)
        if state is None:
            state = algorithm.server.start({k: v for k, v in bench.initial.items() if k not in personal})
        memories: dict[str, int] = {}
        for record in records:
            memories |= record.memories
        for index in range(len(records), self.plan.rounds):
            ctx = self._context(index, trainers)
            record, state = self._round(algorithm, task, ctx, state, memories)
            self.journal.commit(record, state)
            records.append(record)
            self.listener.completed(record)
        with clock.phase("test"):
            test, failed = self._assess(algorithm, task, "test", state, memories)
        for record in records:
            clock.add(record.seconds)
        weights = {**bench.initial, **algorithm.server.model(state)}
        return RunResult(weights, tuple(sorted(personal)), task, facts, records, test, failed, clock.seconds)

    def _open(self) -> dict[str, Mapping[str, Any]]:
        body = Message({"digest": self.plan.digest()})
        facts = {}
        for answer in self.fabric.gather(self.fabric.sites(), "open", body, self._timeout_s):
            if answer.message is None:
                raise RunError(f"site {answer.site} could not join: {answer.failure}")
            check_facts(answer.site, answer.message.fields)
            facts[answer.site] = answer.message.fields
        return facts

    def _task(self, facts: Mapping[str, Mapping[str, Any]]) -> Classification:
        described = {site: (f["channels"], tuple(f["classes"]), tuple(f["malignant"])) for site, f in facts.items()}
        if len(set(described.values())) != 1:
            raise PlanError(
                "the sites hold different classes or channels: name the classes in [data] so that all agree ("
                + "; ".join(f"{site}: {', '.join(classes)}" for site, (_, classes, _) in described.items())
                + ")"
            )
        channels, classes, malignant = next(iter(described.values()))
        for index, name in enumerate(classes):
            if not any(site["trains_class"][index] for site in facts.values()):
                raise PlanError(f"class {name!r} has no training image at any site: drop it from the classes in [data]")
        return Classification(self.plan.model, channels, classes, malignant)

    def _context(self, index: int, trainers: tuple[str, ...]) -> RoundContext:
        size = self.plan.sites_per_round or len(trainers)
        everyone = RoundContext(self.plan.seed, index, self.plan.rounds, trainers, len(trainers))
        if size == len(trainers):
            return everyone
        chosen = everyone.rng("cohort").choice(len(trainers), size, replace=False)
        cohort = tuple(trainers[place] for place in sorted(chosen.tolist()))
        return RoundContext(self.plan.seed, index, self.plan.rounds, cohort, len(trainers))

    def _round(
        self,
        algorithm: Algorithm,
        task: Classification,
        ctx: RoundContext,
        state: Tensors,
        memories: dict[str, int],
    ) -> tuple[RoundRecord, Tensors]:
        clock = Clock()
        broadcast = algorithm.server.broadcast(state)
        body = Message(
            {
                "round": ctx.round,
                "cohort": list(ctx.cohort),
                "population": ctx.population,
                "accepted": {site: memories[site] for site in ctx.cohort if site in memories},
            },
            broadcast,
        )
        inbox = Inbox(ctx.round, broadcast, self.listener)
        with clock.phase("train"):
            answers = self.fabric.gather(ctx.cohort, "train", body, self._timeout_s)
            total = self.plan.aggregator.combine(inbox.updates(answers))
        quorum = self.plan.quorum or len(ctx.cohort) // 2 + 1
        if len(total.sites) < quorum:
            reasons = "; ".join(f"{site}: {reason}" for site, reason in inbox.failed.items())
            raise QuorumLost(
                f"round {ctx.round} had {len(total.sites)} good updates, its quorum is {quorum} ({reasons}): "
                "mend the sites and go on with --resume"
            )
        with clock.phase("server"):
            # The step sees who is in the mean: SCAFFOLD weighs the change of the variates by their share.
            state = algorithm.server.apply(state, total.mean(), replace(ctx, cohort=total.sites))
        record = RoundRecord(
            round=ctx.round,
            cohort=ctx.cohort,
            accepted=inbox.accepted,
            failed=inbox.failed,
            events=(),
            validation={},
            bytes_down=len(ctx.cohort) * body.size_bytes,
            bytes_up=inbox.bytes_up,
            seconds={},
            state_digest=digest_of(state),
        )
        memories |= record.memories
        if self.plan.evaluation.every and (ctx.round + 1) % self.plan.evaluation.every == 0:
            with clock.phase("validate"):
                looked, missing = self._assess(algorithm, task, "val", state, memories)
            mishaps = [f"site {site} is missing from the validation: {reason}" for site, reason in missing.items()]
            record = record.having(validation=looked.values(), events=tuple(mishaps))
        events = (*record.events, *self.fabric.events())
        return record.having(events=events, seconds=clock.seconds), state

    def _assess(
        self,
        algorithm: Algorithm,
        task: Classification,
        part: str,
        state: Tensors,
        memories: Mapping[str, int],
    ) -> tuple[Assessment, dict[str, str]]:
        body = Message({"part": part, "accepted": dict(memories)}, algorithm.server.model(state))
        failed: dict[str, str] = {}
        tests: dict[str, SiteTest] = {}
        reader = Reader(
            task,
            self.plan.evaluation.bootstrap if part == "test" else 0,
            self.plan.data.split_seed,
            self.plan.evaluation.min_positives,
            algorithm.pooled,
        )
        answers = self.fabric.gather(self.fabric.sites(), "evaluate", body, self._timeout_s)
        for answer in answers:
            try:
                tests |= reader.read(answer)
            except WireError as error:
                failed[answer.site] = str(error)
        if len(failed) == len(self.fabric.sites()):
            reasons = "; ".join(f"{site}: {reason}" for site, reason in failed.items())
            raise RunError(f"no site could evaluate the model ({reasons}): mend the sites and go on with --resume")
        return reader.assessment(tests), failed

    @property
    def _timeout_s(self) -> float | None:
        return self.plan.timeout_s or None


def digest_of(tensors: Tensors) -> str:
    """Return the SHA-256 of names, dtypes, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name}\x1f{value.dtype.str}\x1f{value.shape}\x1f".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


class Clock:
    """Adds up seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time inside the block as `name`."""
        began = time.perf_counter()
        yield
        self.add({name: time.perf_counter() - began})

    def add(self, seconds: Mapping[str, float]) -> None:
        """Add seconds counted elsewhere."""
        for name, value in seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + value
