"""The coordinator: runs the rounds of a plan over a fabric."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from wardround.algorithms import Algorithm
from wardround.core.codec import Message
from wardround.core.context import RoundContext
from wardround.core.update import Tensors, Update, all_finite
from wardround.errors import PlanError, QuorumLost, RunError, WireError
from wardround.fabric.base import Answer, Fabric
from wardround.rounds.assessment import Assessment, assess
from wardround.rounds.plan import Plan
from wardround.rounds.record import Journal, RoundRecord
from wardround.rounds.site import Workbench
from wardround.tasks.classification import Classification


class Listener(Protocol):
    """Is told what happens while it happens."""

    def answered(self, round_index: int, site: str, failure: str | None) -> None:
        """Hear that a site's answer of this round is in."""
        ...

    def completed(self, record: RoundRecord) -> None:
        """Hear that a round is done and on disk."""
        ...


class Silent:
    """A `Listener` that does nothing."""

    def answered(self, round_index: int, site: str, failure: str | None) -> None:
        """Ignore it."""

    def completed(self, record: RoundRecord) -> None:
        """Ignore it."""


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
        return Classification(self.plan.model, channels, classes, malignant)

    def _context(self, index: int, trainers: tuple[str, ...]) -> RoundContext:
        size = self.plan.sites_per_round or len(trainers)
        if size > len(trainers):
            raise PlanError(f"sites_per_round = {size}, but only {len(trainers)} sites train: lower it")
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
            state = algorithm.server.apply(state, total.mean(), ctx)
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
                looked, _ = self._assess(algorithm, task, "val", state, memories)
            record = record.having(validation=looked.values())
        return record.having(events=tuple(self.fabric.events()), seconds=clock.seconds), state

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
        replies = []
        for answer in self.fabric.gather(self.fabric.sites(), "evaluate", body, self._timeout_s):
            if answer.message is None:
                failed[answer.site] = answer.failure or "no answer"
            else:
                replies.append((answer.site, answer.message))
        if not replies:
            raise RunError(f"no site could evaluate the model: {'; '.join(failed.values())}")
        replicates = self.plan.evaluation.bootstrap if part == "test" else 0
        return assess(replies, task, self.plan.evaluation, replicates, self.plan.data.split_seed), failed

    @property
    def _timeout_s(self) -> float | None:
        return self.plan.timeout_s or None


@dataclass
class Inbox:
    """Sorts one round's answers into updates and failures, while the aggregator streams through them.

    Attributes:
        round: the round that is asked for.
        template: what was broadcast; an update has its names, shapes and dtypes.
        listener: is told of each answer.
        accepted: site -> what `RoundRecord.accepted` says of it.
        failed: site -> why its answer does not count.
        bytes_up: bytes of the accepted updates.
    """

    round: int
    template: Tensors
    listener: Listener
    accepted: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    bytes_up: int = 0

    def updates(self, answers: Iterable[Answer]) -> Iterator[Update]:
        """Yield the good updates, in the order of the answers."""
        for answer in answers:
            try:
                update = self._read(answer)
            except WireError as error:
                self.failed[answer.site] = str(error)
            else:
                yield update
            self.listener.answered(self.round, answer.site, self.failed.get(answer.site))

    def _read(self, answer: Answer) -> Update:
        if answer.message is None:
            raise WireError(answer.failure or "the site gave no answer")
        fields, tensors = answer.message.fields, answer.message.tensors
        if fields.get("round") != self.round:
            raise WireError(f"the answer is for round {fields.get('round')!r}, not for round {self.round}")
        for key, kind in (("num_examples", int), ("loss", float), ("seconds", float), ("remembers", bool)):
            if type(fields.get(key)) is not kind:
                raise WireError(f"the answer's {key} is {fields.get(key)!r}, which is no {kind.__name__}")
        if not fields["num_examples"] > 0:
            raise WireError(f"the answer claims {fields['num_examples']} training examples")
        check_against(tensors, self.template)
        self.bytes_up += answer.message.size_bytes
        self.accepted[answer.site] = {
            **{key: fields[key] for key in ("num_examples", "loss", "seconds", "remembers")},
            "bytes": answer.message.size_bytes,
        }
        return Update(answer.site, self.round, tensors, fields["num_examples"])


def check_against(tensors: Tensors, template: Tensors) -> None:
    """Check that a site's update has the template's names, shapes and dtypes, and only finite values.

    Raises:
        WireError: it has not.
    """
    if tensors.keys() != template.keys():
        strange = sorted(tensors.keys() ^ template.keys())[0]
        raise WireError(f"the update and the broadcast differ in tensor {strange!r}")
    for name, expected in template.items():
        found = tensors[name]
        if found.shape != expected.shape or found.dtype != expected.dtype:
            raise WireError(f"tensor {name!r} is {found.dtype} {found.shape}, not {expected.dtype} {expected.shape}")
    if not all_finite(tensors.values()):
        raise WireError("the update holds a NaN or an infinity")


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
