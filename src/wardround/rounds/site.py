"""A site: holds images that never leave it, and answers the coordinator's calls."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from wardround.core.codec import Message
from wardround.core.context import RoundContext, derive_seed
from wardround.core.files import SYNC_ROUND_S, write_atomically
from wardround.core.update import MODEL_GROUPS, Tensors, all_finite, of_group
from wardround.data.sites import SiteData
from wardround.errors import DataError, SiteError, WireError
from wardround.protect.outgoing import RESIDUAL, outgoing
from wardround.rounds.checks import shown
from wardround.rounds.digests import digest_of
from wardround.rounds.examination import Examination
from wardround.rounds.keyring import Credentials, Keyring
from wardround.rounds.logbook.contributions import Contribution, Contributions
from wardround.rounds.logbook.used_images import UsedImages
from wardround.rounds.logbook.witnessing import Witnessing
from wardround.rounds.malice import corrupted
from wardround.rounds.model_file import MODEL_FILE, model_file
from wardround.rounds.outlet import Given, Outlet
from wardround.rounds.plan import Plan
from wardround.rounds.release import Release
from wardround.rounds.replica import Replica
from wardround.rounds.spending import Account
from wardround.rounds.split.asks import GO_ON, Wire
from wardround.rounds.split.forms import FORMS
from wardround.rounds.split.speaker import Speaker
from wardround.rounds.store import SiteStore
from wardround.rounds.workbench import Workbench
from wardround.tasks.classification import weights_of


class Site:
    """One hospital in one run; implements `fabric.base.Handler`.

    Attributes:
        name: of the site.
    """

    def __init__(
        self,
        name: str,
        plan: Plan,
        data: SiteData,
        workbench: Workbench,
        store: SiteStore,
        credentials: Credentials | None = None,
        account: Account | None = None,
    ) -> None:
        """Check the plan for this site.

        Args:
            name: of the site.
            plan: of the run.
            data: the site's images.
            workbench: the process's network.
            store: where the site keeps what it remembers.
            credentials: who the site is and whom it trusts; needed where the plan masks or encrypts, or its sites
                co-sign the ledger.
            account: where what noise costs is written down; needed where the plan claims (epsilon, delta).

        Raises:
            PlanError: the plan is refused.
            TrustError: the plan needs keys and there are none, or the operator did not approve the plan.
        """
        plan.check()
        self.name = name
        self._plan = plan
        self._data = data
        self._bench = workbench
        self._store = store
        self._release = Release(plan, store, account) if plan.privacy else None
        self._algorithm = plan.composed()
        self._local = corrupted(plan.attacks or (), name, self._algorithm.local)
        self._personal = workbench.own(self._algorithm)
        self._template = workbench.shared(self._algorithm)
        self._lock = threading.Lock()
        opens = plan.pipeline.opens_at_sites
        self._replica = Replica(store.folder, self._algorithm.server, self._template) if opens else None
        self._contributions = Contributions(store.folder)
        keyring = Keyring.of(name, plan, credentials) if plan.needs_keys else None
        self._outlet = Outlet(name, plan, store, keyring, self._contributions) if plan.pipeline.sums_frames else None
        self._operations: dict[str, Callable[[Message], Message]] = {
            "open": self._open,
            "train": self._train,
            "evaluate": self._evaluate,
        }
        if plan.split is not None:
            wire = Wire(FORMS[plan.split.wire], *workbench.outer.channels)
            speaker = Speaker(workbench, wire, derive_seed(plan.seed, name, "cut"))
            for op in ("train", "evaluate"):
                self._operations[op] = speaker.around(self._operations[op])
            self._operations[GO_ON] = speaker.go_on
        self._witness = None
        self._used = None
        if keyring is not None:
            self._operations |= keyring.operations
        if plan.cosigned and keyring is not None:
            self._used = UsedImages(name, store.folder, keyring) if plan.ledger.data_use else None
            self._witness = Witnessing(
                name,
                plan,
                keyring,
                store.folder,
                self._contributions,
                self._used,
                HeldModel(store.folder, self._replica),
            )
            self._operations |= self._witness.operations
        if self._outlet is not None:
            self._operations |= self._outlet.operations
        if self._replica is not None and self._outlet is not None:
            self._operations |= self._outlet.replication(self._replica)
            self._operations["finish"] = self._finish

    def handle(self, op: str, body: Message) -> Message:
        """Carry out one operation at a time: ``open``, ``train``, ``evaluate``, and what the protections add.

        Raises:
            SiteError: the operation is unknown, or the request does not fit this site's run.
            WireError: the request lacks a field or a tensor.
        """
        if op not in self._operations:
            raise SiteError(f"operation {op!r} is unknown; choose from {', '.join(self._operations)}")
        with self._lock:
            try:
                return self._operations[op](body)
            except DataError as error:  # its sentence may name a patient or a path, which stay in the hospital
                raise SiteError(f"{op} failed at this site: its images or results cannot be used") from error
            except (KeyError, TypeError, ValueError) as error:
                raise SiteError(f"{op} failed at this site: {type(error).__name__}: {error}") from error

    def _open(self, body: Message) -> Message:
        if body.fields.get("digest") != self._plan.digest():
            raise SiteError("the coordinator runs another plan than the one this site was given")
        task = self._bench.task
        counts = task.counts(self._data.train)
        facts = {
            "num_train": len(self._data.train),
            "num_val": len(self._data.val),
            "num_test": len(self._data.test),
            "channels": task.channels,
            "classes": list(task.classes),
            "malignant": list(task.malignant),
            "trains_class": (counts > 0).tolist(),
        }
        if self._shares_predictions:
            facts["label_counts"] = counts.tolist()
        return Message(facts)

    def _train(self, body: Message) -> Message:
        if not len(self._data.train):
            raise SiteError("this site holds no training images")
        began = time.perf_counter()
        ctx = self._context(body)
        accepted_round = self._accepted_round(body)
        given = self._given(body)
        broadcast = given.tensors
        cause = ""
        if self._outlet is not None or self._release is not None:
            cause = f"{self._plan.digest()} {given.digest} {accepted_round}"
            # A body host that is started again has lost the steps of a round that it did not end: then train anew.
            answered = self._answered(ctx.round, cause) if self._plan.split is None else None
            if answered is not None:
                return answered
        if self._release is not None:
            self._release.check()
        memory = self._store.read(accepted_round)
        network = self._bench.lend(self._personal_of(memory), self._checked(broadcast))
        result = self._local.run(self._bench.task, network, self._data.train, broadcast, _without_weights(memory), ctx)
        if not (all_finite(result.change.values()) and math.isfinite(result.loss + (result.last_loss or 0.0))):
            raise SiteError("local training diverged: the update is not finite; lower training.learning_rate")
        withheld = self._personal | self._bench.frozen
        shared = {name: value for name, value in result.change.items() if name not in withheld}
        scale = self._plan.guarantee.scale if self._plan.guarantee else None
        leaving = outgoing(self._plan.pipeline, shared, memory, ctx, scale)
        memory = {**result.memory, **self._kept(network), **leaving.residual}
        if memory:
            self._store.write(ctx.round, memory, sync=time.perf_counter() - began > SYNC_ROUND_S)
            self._store.forget(accepted_round)
        fields: dict[str, Any] = {
            "round": ctx.round,
            "num_examples": len(self._data.train),
            "loss": result.loss,
            "seconds": time.perf_counter() - began,
            "remembers": bool(memory),
            **({} if result.last_loss is None else {"last_loss": result.last_loss}),
            **self._use(ctx, result.used),
        }
        encoded = self._outlet.encoded(ctx, broadcast, leaving.tensors) if self._outlet is not None else None
        if self._release is not None:
            added = (*result.events, *leaving.events, *(encoded.events if encoded is not None else ()))
            fields["spent"] = self._release.enter(added)
        if self._outlet is not None and encoded is not None:
            return Message(self._outlet.hold(ctx, cause, fields, given, encoded))
        answer = Message(fields, leaving.wire)
        if self._witness is not None:
            self._contributions.note(self._contribution(ctx, given, answer))
        if self._release is not None:
            self._release.replies.keep(ctx.round, cause, answer)
        return answer

    def _answered(self, round_index: int, cause: str) -> Message | None:
        """Return what this site answered before to the same request, where it may not answer anew."""
        if self._outlet is not None:
            trained = self._outlet.trained(round_index, cause)
            return None if trained is None else Message(trained)
        return self._release.replies.read(round_index, cause) if self._release is not None else None

    def _given(self, body: Message) -> Given:
        if self._replica is not None:
            tensors, logged = self._replica.broadcast(_opened(body)), self._replica.digest(_opened(body))
            return Given(tensors, digest_of(tensors), logged)
        needed = any(part is not None for part in (self._outlet, self._witness, self._release))
        digest = digest_of(body.tensors) if needed else ""
        return Given(body.tensors, digest, digest)

    def _use(self, ctx: RoundContext, rows: np.ndarray | None) -> dict[str, str | int]:
        if self._used is None or self._witness is None or not self._witness.run:
            return {}
        root, count = self._used.of(self._witness.run).use(ctx.round, self._data.train, rows)
        return {"use_root": root, "use_count": count}

    def _contribution(self, ctx: RoundContext, given: Given, answer: Message) -> Contribution:
        said = answer.fields
        return Contribution(
            ctx.round,
            0,
            given.logged,
            digest_of(answer.tensors),
            answer.size_bytes,
            self._plan.aggregator.share(said["num_examples"]),
            said.get("use_root", ""),
            said.get("use_count", 0),
        )

    def _finish(self, body: Message) -> Message:
        if self._replica is None:
            raise SiteError("the coordinator holds this run's weights")
        weights = {**self._bench.initial, **self._replica.model(_opened(body))} | self._bench.body_in(body.tensors)
        content = model_file(weights, self._bench.task, tuple(sorted(self._personal)))
        self._store.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._store.folder / MODEL_FILE, content)
        return Message({"sha256": hashlib.sha256(content).hexdigest()})

    def _evaluate(self, body: Message) -> Message:
        memory = self._store.read(self._accepted_round(body))
        weights = body.tensors if self._replica is None else self._replica.model(_opened(body))
        network = self._bench.lend(self._personal_of(memory), self._checked(weights), self._own_model(memory))
        part = body.fields["part"]
        images = {"val": self._data.val, "test": self._data.test}[part]
        return Examination(self._plan, self._bench.task, images, part == "test").answer(network)

    @property
    def _shares_predictions(self) -> bool:
        return self._plan.evaluation.shares_predictions(self._data.test.public)

    def _context(self, body: Message) -> RoundContext:
        round_index, cohort = body.fields["round"], tuple(body.fields["cohort"])
        if type(round_index) is not int or not 0 <= round_index < self._plan.rounds or self.name not in cohort:
            raise SiteError(f"round {round_index!r} with cohort {', '.join(cohort)} is no round of this site's plan")
        return RoundContext(
            self._plan.seed, round_index, self._plan.rounds, cohort, body.fields["population"], self.name
        )

    def _accepted_round(self, body: Message) -> int:
        accepted = body.fields.get("accepted")
        last = accepted.get(self.name, -1) if isinstance(accepted, dict) else None
        if type(last) is not int:
            raise SiteError(f"the request's accepted is {shown(accepted)}, which names no round for each site")
        return last

    def _checked(self, weights: Tensors) -> Tensors:
        for name, expected in self._template.items():
            if name not in weights or weights[name].shape != expected.shape or weights[name].dtype != expected.dtype:
                raise WireError(f"the broadcast lacks {name} as {expected.dtype} {expected.shape}")
        return {name: value for name, value in weights.items() if name in self._template}

    def _personal_of(self, memory: Tensors) -> Tensors:
        return {name: value for name, value in memory.items() if name in self._personal}

    def _own_model(self, memory: Tensors) -> Tensors:
        """Return the weights of the model that this site keeps beside the shared one, if it does."""
        group = self._algorithm.own_model
        return {n: v for n, v in of_group(memory, group).items() if n.startswith(MODEL_GROUPS)} if group else {}

    def _kept(self, network: nn.Module) -> dict[str, np.ndarray]:
        if not self._personal:
            return {}
        return {name: value for name, value in weights_of(network).items() if name in self._personal}


class HeldModel:
    """What a site holds of the run's model where the coordinator is blind; implements `witnessing.Held`."""

    def __init__(self, folder: Path, replica: Replica | None) -> None:
        """Look at the model file in `folder`, and at `replica`; ``None`` holds nothing."""
        self._path = folder / MODEL_FILE
        self._replica = replica

    def state(self, round_index: int) -> str:
        """Return the digest of the state after a round; see `Held.state`."""
        try:
            return self._replica.digest(round_index) if self._replica is not None else ""
        except SiteError:
            return ""

    def model_sha256(self) -> str:
        """Return the SHA-256 of the model file; see `Held.model_sha256`."""
        if self._replica is None or not self._path.exists():
            return ""
        return hashlib.sha256(self._path.read_bytes()).hexdigest()


def _opened(body: Message) -> int:
    last = body.fields.get("opened")
    if type(last) is not int or last < -1:
        raise WireError(f"the request's opened is {last!r}, which is no round")
    return last


def _without_weights(memory: Tensors) -> Tensors:
    kept_apart = (*MODEL_GROUPS, f"{RESIDUAL}/")
    return {name: value for name, value in memory.items() if not name.startswith(kept_apart)}
