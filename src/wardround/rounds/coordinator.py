"""The coordinator: runs the rounds of a plan over a fabric."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from wardround.algorithms import Algorithm
from wardround.core.codec import Message
from wardround.core.context import RoundContext
from wardround.core.update import Tensors, without_group
from wardround.data.images import LabelledImages
from wardround.errors import PlanError, RunError, WireError
from wardround.fabric.base import Fabric
from wardround.protect.scheme import Scheme
from wardround.rounds.assessment import Assessment, Reader, SiteTest
from wardround.rounds.checks import check_facts
from wardround.rounds.clock import Clock
from wardround.rounds.digests import digest_of
from wardround.rounds.exchange import ClearExchange, Exchange, FrameExchange
from wardround.rounds.grouped import GroupExchange
from wardround.rounds.listener import Listener, Silent
from wardround.rounds.logbook.keeper import Keeper, LedgerEnd
from wardround.rounds.model_file import model_file
from wardround.rounds.plan import Plan
from wardround.rounds.probing import Probing, refuse_unprobed
from wardround.rounds.record import Journal, RoundRecord
from wardround.rounds.roster import Roster, introduce
from wardround.rounds.screening import GROUP as SCREEN
from wardround.rounds.screening import Screening
from wardround.rounds.server import BlindServer, OpenServer, Server
from wardround.rounds.spent import SpentSoFar, spent_by
from wardround.rounds.split.between import Between
from wardround.rounds.split.body_host import BodyHost
from wardround.rounds.split.relay import RelayExchange
from wardround.rounds.workbench import Workbench
from wardround.tasks import Task


@dataclass(frozen=True)
class RunResult:
    """What a run ends with.

    Attributes:
        weights: weights to save, ``net/…`` and ``stat/…``; personal ones at their initial values. Empty where the
            coordinator is blind: the sites hold them.
        model_sha256: of the model file, whoever writes it.
        personal: names of the weights that stayed at the sites.
        task: what was learned.
        facts: site -> what it said of itself when it joined.
        records: one per round.
        test: the model on the test parts.
        test_failed: site -> why it is missing from `test`.
        seconds: phase -> seconds, over all rounds.
        ledger: what became of the run's ledger.
    """

    weights: Tensors
    model_sha256: str
    personal: tuple[str, ...]
    task: Task
    facts: Mapping[str, Mapping[str, Any]]
    records: Sequence[RoundRecord]
    test: Assessment
    test_failed: Mapping[str, str]
    seconds: Mapping[str, float]
    ledger: LedgerEnd


@dataclass
class Coordinator:
    """Runs one plan. Holds no image, and of the updates never more than one and their sum.

    Attributes:
        plan: checked here, whoever checked it before.
        fabric: carries the calls.
        journal: keeps completed rounds.
        listener: is told of progress.
        start: weights that the user supplied; see `Start`.
        probe: published images of its own, where the plan has a ``[probe]``.
    """

    plan: Plan
    fabric: Fabric
    journal: Journal
    listener: Listener = field(default_factory=Silent)
    start: Tensors = field(default_factory=dict)
    probe: LabelledImages | None = None

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
            bench = Workbench(task, self.plan.seed, self.plan.training.parts, self.start, self.plan.split)
        algorithm = self.plan.composed()
        trainers = tuple(site for site in sorted(facts) if facts[site]["num_train"])
        self.plan.check(len(trainers))
        with clock.phase("keys"):
            roster = self._roster()
        with closing(self.journal.ledger()) as log:
            keeper = Keeper(self.plan, self.journal, self.fabric, roster, log)
            records, state = self.journal.last() or ([], None)
            host = self._body_host(task, facts, records)
            start = algorithm.server.start(bench.shared(algorithm))
            screening = Screening(self.plan.screens, state or {}, self._probing(bench, algorithm))
            server = self._server(algorithm, start, state, records)
            template = algorithm.server.broadcast(start)
            if self.plan.guarantee is not None:
                self.plan.guarantee.check_fits(template)
            exchange = self._exchange(template, server, roster, facts, host, screening)
            memories: dict[str, int] = {}
            spent = SpentSoFar(self.plan.privacy)
            for record in records:
                memories |= record.memories
                spent.read(record)
            with clock.phase("ledger"):
                keeper.open(roster.run if roster else secrets.token_bytes(32), records)
            for index in range(len(records), self.plan.rounds):
                ctx = self._context(index, trainers, screening.resting)
                record = self._round(algorithm, task, ctx, server, exchange, memories, host)
                record = spent.entered(record)
                record = record.having(events=(*record.events, *keeper.events()))
                self.journal.commit(record, {**server.state, **screening.state})
                records.append(record)
                with clock.phase("ledger"):
                    keeper.enter(record)
                self.listener.completed(record)
            with clock.phase("test"):
                test, failed = self._assess(algorithm, task, "test", server, memories)
            personal = tuple(sorted(bench.own(algorithm)))
            clock.add_all(record.seconds for record in records)
            body = host.weights if host is not None else {}
            if isinstance(server, BlindServer):
                weights, model_sha256 = {}, server.finish(body)
            else:
                weights = {**bench.initial, **algorithm.server.model(server.state), **body}
                model_sha256 = hashlib.sha256(model_file(weights, task, tuple(sorted(personal)))).hexdigest()
            with clock.phase("ledger"):
                end = keeper.close(model_sha256)
            return RunResult(
                weights=weights,
                model_sha256=model_sha256,
                personal=personal,
                task=task,
                facts=facts,
                records=records,
                test=test,
                test_failed=failed,
                seconds=clock.seconds,
                ledger=end,
            )

    def _body_host(
        self, task: Task, facts: Mapping[str, Mapping[str, Any]], records: Sequence[RoundRecord]
    ) -> BodyHost | None:
        """Let the sites reach a body host with every call from now on, where the network is cut."""
        if self.plan.split is None:
            return None
        last = records[-1].round if records else -1
        host = BodyHost(self.plan, task, self.start, facts, self.journal.body_store(), last)
        self.fabric = Between(self.fabric, host)
        return host

    def _probing(self, bench: Workbench, algorithm: Algorithm) -> Probing | None:
        if self.plan.probe is None:
            return None
        if self.probe is None:
            raise PlanError("[probe] needs images at the coordinator, and it was given none: leave it out")
        refuse_unprobed(bench.task, bench.own(algorithm))
        return Probing(bench, self.probe, algorithm.local)

    def _roster(self) -> Roster | None:
        if not self.plan.needs_keys:
            return None
        run, identities = self.journal.roster()
        roster = introduce(self.fabric, run, identities, self._timeout_s)
        self.journal.keep_roster(roster.run.hex(), {s: key.to_bytes() for s, key in roster.identities.items()})
        return roster

    def _server(
        self, algorithm: Algorithm, start: Tensors, kept: Tensors | None, records: Sequence[RoundRecord]
    ) -> Server:
        state, initial = start if kept is None else without_group(kept, SCREEN), digest_of(start)
        if not self.plan.pipeline.opens_at_sites:
            scheme = self._scheme() if self.plan.pipeline.sums_frames else None
            return OpenServer(self.plan, algorithm.server, scheme, state)
        last = (records[-1].round, records[-1].state_digest) if records else (-1, initial)
        server = BlindServer(self.fabric, self._timeout_s, *last)
        server.find()
        return server

    def _exchange(
        self,
        template: Tensors,
        server: Server,
        roster: Roster | None,
        facts: Mapping[str, Mapping[str, Any]],
        host: BodyHost | None,
        screening: Screening,
    ) -> Exchange:
        if host is not None and self.plan.composed().relayed:
            return RelayExchange(self.plan, self.fabric, self.listener, template, host)
        if not self.plan.pipeline.sums_frames:
            return ClearExchange(self.plan, self.fabric, self.listener, template, screening)
        num_values = self.plan.pipeline.num_values(sum(value.size for value in template.values()))
        examples = {site: said["num_train"] for site, said in facts.items() if said["num_train"]}
        frames = FrameExchange(
            self.plan, self.fabric, self.listener, self._scheme(), roster, num_values, server, examples
        )
        return (
            GroupExchange(frames, server, screening) if isinstance(server, OpenServer) and self.plan.groups else frames
        )

    def _scheme(self) -> Scheme:
        return Scheme.of(self.plan.pipeline, self.plan.weight_total)

    def _open(self) -> dict[str, Mapping[str, Any]]:
        body = Message({"digest": self.plan.digest()})
        facts = {}
        for answer in self.fabric.gather(self.fabric.sites(), "open", body, self._timeout_s):
            if answer.message is None:
                raise RunError(f"site {answer.site} could not join: {answer.failure}")
            check_facts(answer.site, answer.message.fields)
            facts[answer.site] = answer.message.fields
        return facts

    def _task(self, facts: Mapping[str, Mapping[str, Any]]) -> Task:
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
        return self.plan.learns.task(self.plan.model, channels, classes, malignant)

    def _context(self, index: int, trainers: tuple[str, ...], resting: Collection[str]) -> RoundContext:
        asked = tuple(site for site in trainers if site not in resting)
        size = self.plan.sites_per_round or len(asked)
        if resting:
            size = min(size, len(asked))
        everyone = RoundContext(self.plan.seed, index, self.plan.rounds, asked, len(trainers))
        if size == len(asked):
            return everyone
        chosen = everyone.rng("cohort").choice(len(asked), size, replace=False)
        cohort = tuple(asked[place] for place in sorted(chosen.tolist()))
        return replace(everyone, cohort=cohort)

    def _round(
        self,
        algorithm: Algorithm,
        task: Task,
        ctx: RoundContext,
        server: Server,
        exchange: Exchange,
        memories: dict[str, int],
        host: BodyHost | None,
    ) -> RoundRecord:
        clock = Clock()
        accepted = {site: memories[site] for site in ctx.cohort if site in memories}
        body = {"round": ctx.round, "cohort": list(ctx.cohort), "population": ctx.population, "accepted": accepted}
        with clock.phase("train"):
            sent = server.broadcast(body)
            started = server.started(sent)
            if host is not None:
                host.begin(ctx)
            collected = exchange.collect(ctx, sent)
        with clock.phase("server"):
            digest = server.advance(ctx, collected)
            crossed = host.advance(ctx, collected.sites) if host is not None else None
        carried_down, carried_up = server.carried()
        record = RoundRecord(
            round=ctx.round,
            cohort=ctx.cohort,
            accepted=collected.accepted,
            failed=collected.failed,
            events=collected.events,
            validation={},
            bytes_down=collected.bytes_down + carried_down,
            bytes_up=collected.bytes_up + carried_up,
            seconds={},
            state_digest=digest,
            privacy={"spent": spent_by(collected, server.spent())} if self.plan.privacy else None,
            started=started,
            refused=collected.refused,
            split=crossed,
            judged=collected.judged,
            groups=tuple(collected.groups.values()) if self.plan.groups else (),
        )
        memories |= record.memories
        if self.plan.evaluation.every and (ctx.round + 1) % self.plan.evaluation.every == 0:
            with clock.phase("validate"):
                looked, missing = self._assess(algorithm, task, "val", server, memories)
            mishaps = [f"site {site} is missing from the validation: {reason}" for site, reason in missing.items()]
            record = record.having(validation=looked.values(), events=(*record.events, *mishaps))
        events = (*record.events, *server.events(), *self.fabric.events())
        return record.having(events=events, seconds=clock.seconds)

    def _assess(
        self,
        algorithm: Algorithm,
        task: Task,
        part: str,
        server: Server,
        memories: Mapping[str, int],
    ) -> tuple[Assessment, dict[str, str]]:
        body = server.model({"part": part, "accepted": dict(memories)})
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
