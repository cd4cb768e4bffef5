"""Sites that do not follow the protocol: each fails alone and by name, or the round is void; the others go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rigged
import tiny
from hostile import plan_of
from rigged import Memory

from wardround.core.codec import Message
from wardround.errors import QuorumLost, RunError
from wardround.fabric.local import LocalFabric
from wardround.protect.attempt import SurvivorList
from wardround.protect.packing import Layout
from wardround.protect.unmask import Reveal
from wardround.rounds.coordinator import Coordinator
from wardround.rounds.keyring import frame_claim
from wardround.rounds.plan import Plan
from wardround.rounds.wire import tensor_of
from wardround.study.simulation import introduce_sites
from wardround.study.spec import to_json

FRAMES = ("masked", "packed", "packed and masked")
MASKED = ("masked", "packed and masked")
TIGHT = {name: [{**tiny.CLIP, "norm": 1.0}, *stages[1:]] for name, stages in tiny.PIPELINES.items()}
"""With a clip that is smaller than what the ranges of the numbers reach, as it is in any larger network."""
EIGHT = ("alba", "brno", "cork", "dijon", "evora", "faro", "gent", "hull")
BAD = "north"

Bend = Callable[[Any, str, Message, Message], Message]
"""(the site, op, what it was told, what it would answer) -> what it answers."""


class Crooked:
    """A site that answers as it likes; it has its own keys."""

    def __init__(self, site: Any, bend: Bend) -> None:
        self._site, self._bend = site, bend

    def handle(self, op: str, body: Message) -> Message:
        return self._bend(self._site, op, body, self._site.handle(op, body))


def played(
    plan: Plan, folder: Path, bend: Bend, bad: str = BAD, names: tuple[str, ...] = tiny.NAMES
) -> tuple[Memory, rigged.Tampering]:
    """Run a plan in which the site `bad` is crooked."""
    introduce_sites(folder, names)
    sizes = tuple((name, 8 + 4 * place) for place, name in enumerate(names))
    open_site = tiny.make_opener(to_json(plan), sizes, str(folder))
    fabric = LocalFabric(names, lambda name: Crooked(open_site(name), bend if name == bad else straight), encoded=True)
    journal, noted = Memory(), rigged.Tampering(fabric, rigged.honest)
    Coordinator(plan, noted, journal).run()
    return journal, noted


def straight(site: Any, op: str, body: Message, answer: Message) -> Message:
    return answer


def on(wanted: str, change: Callable[[Any, Message, Message], Message]) -> Bend:
    """Return what bends the answers to one operation."""
    return lambda site, op, body, answer: change(site, body, answer) if op == wanted else answer


def signed(site: Any, body: Message, frame: bytes) -> Message:
    """Return a frame with the signature of the site that sends it."""
    keyring, told = site._outlet._keyring, body.fields
    claim = frame_claim(keyring.keys.run_id, told["round"], told["attempt"], told["part"], site.name, frame)
    return Message({}, {"frame": tensor_of(frame), "signature": tensor_of(keyring.sign(claim))})


def garbage(site: Any, body: Message, answer: Message) -> Message:
    """Return a frame of the legal length that is full of noise below every modulus."""
    length = answer.tensors["frame"].size
    noise = np.random.default_rng(1).integers(0, 256, length, np.uint8)
    lattice, layout = site._outlet._scheme.lattice, site._outlet._scheme.layout
    width = lattice.residue_bytes[0] if lattice is not None else layout.word_bytes
    bits = lattice.data_primes[0].bit_length() - 1 if lattice is not None else layout.word_bits
    start = 64 if lattice is not None else 0
    noise[start + width - 1 :: width] &= 2 ** (bits - 8 * (width - 1)) - 1
    if lattice is not None:  # chunks do not start at multiples of the width
        noise[start:] &= 0x7F
    return signed(site, body, noise.tobytes())


def overflowing(site: Any, body: Message, answer: Message) -> Message:
    """Return words whose first field runs over into the next."""
    scheme = site._outlet._scheme
    layout: Layout = scheme.layout
    values = site._outlet._pending.read(body.fields["round"]).values
    words = layout.pack(np.asarray(values, np.int64), 1) + np.uint64(2 ** (2 * layout.field_bits - 2))
    return sent(site, body, words & np.uint64(layout.modulus - 1))


def overweight(site: Any, body: Message, answer: Message) -> Message:
    """Return the update times much more than was announced."""
    scheme = site._outlet._scheme
    weight = body.fields["weights"][site.name] if "weights" in body.fields else 1
    values = site._outlet._pending.read(body.fields["round"]).values
    return sent(site, body, scheme.words(np.asarray(values, np.int64), weight + 30))


def sent(site: Any, body: Message, words: np.ndarray) -> Message:
    """Return words as a frame: masked and encrypted like honest ones."""
    outlet = site._outlet
    scheme, sealing = outlet._scheme, outlet.operations["upload"].__self__
    if sealing._trials is not None:
        trial = sealing._trials._past.trial
        words = scheme.masked(words, trial.mask_words(0, words.size, scheme.word_bits))
    return signed(site, body, scheme.seal(words, outlet._keyring.sealer))


BENT_FRAMES = {"garbage": garbage, "fields that overflow": overflowing, "a weight of its own": overweight}


@pytest.mark.parametrize("pipeline", FRAMES)
@pytest.mark.parametrize("how", BENT_FRAMES)
def test_a_frame_that_no_honest_site_makes_voids_the_sum(tmp_path: Path, pipeline: str, how: str) -> None:
    """It has the legal length, legal numbers, and its maker's signature: only the opened sum shows it."""
    plan = plan_of(pipeline, rounds=1, protect=TIGHT[pipeline])
    with pytest.raises(QuorumLost, match="it is in a group whose sum was void") as lost:
        played(plan, tmp_path, on("upload", BENT_FRAMES[how]))
    assert all(name in str(lost.value) for name in tiny.NAMES)  # of three, nobody can say which


@pytest.mark.parametrize("pipeline", FRAMES)
def test_with_more_sites_the_half_without_it_goes_on(tmp_path: Path, pipeline: str) -> None:
    plan = plan_of(pipeline, rounds=2, protect=TIGHT[pipeline])
    journal, _ = played(plan, tmp_path, on("upload", garbage), "brno", EIGHT)
    for record in journal.records:
        assert set(record.failed) == {"alba", "brno"}
        assert set(record.accepted) == set(EIGHT) - {"alba", "brno"}


def foreign(site: Any, body: Message, answer: Message) -> Message:
    """Return the frame of another place, as the site signed it there."""
    held: dict[int, Message] = site.__dict__.setdefault("sent_before", {})
    held[body.fields["round"]] = answer
    return held.get(body.fields["round"] - 1, answer)


@pytest.mark.parametrize("pipeline", FRAMES)
def test_a_frame_of_an_earlier_round_fails_alone(tmp_path: Path, pipeline: str) -> None:
    journal, _ = played(plan_of(pipeline, rounds=2), tmp_path, on("upload", foreign))
    assert set(journal.records[0].accepted) == set(tiny.NAMES)
    assert journal.records[1].failed == {BAD: "the frame of part 0 does not carry the signature of site north"}


def unsigned(site: Any, body: Message, answer: Message) -> Message:
    return Message({}, {**answer.tensors, "signature": tensor_of(bytes(64))})


def beyond_the_prime(site: Any, body: Message, answer: Message) -> Message:
    return signed(site, body, b"\xff" * answer.tensors["frame"].size)


def too_short(site: Any, body: Message, answer: Message) -> Message:
    return signed(site, body, answer.tensors["frame"].tobytes()[:-1])


def nothing(site: Any, body: Message, answer: Message) -> Message:
    return Message()


@pytest.mark.parametrize("pipeline", FRAMES)
@pytest.mark.parametrize(
    ("bend", "sentence"),
    [
        (unsigned, "does not carry the signature"),
        (beyond_the_prime, "not below its prime"),
        (too_short, "should have"),
        (nothing, "carries no bytes called"),
    ],
)
def test_a_frame_that_is_none_fails_alone(tmp_path: Path, pipeline: str, bend: Any, sentence: str) -> None:
    if pipeline == "masked" and bend is beyond_the_prime:
        pytest.skip("every word of that length is below 2^48")
    journal, _ = played(plan_of(pipeline, rounds=1), tmp_path, on("upload", bend))
    assert set(journal.records[0].accepted) == {"east", "west"}
    assert sentence in journal.records[0].failed[BAD]


def saying(**fields: Any) -> Callable[[Any, Message, Message], Message]:
    return lambda site, body, answer: Message({**answer.fields, **fields}, answer.tensors)


@pytest.mark.parametrize("pipeline", ["quantised", *FRAMES])
@pytest.mark.parametrize(
    "fields",
    [{"loss": 1}, {"num_examples": 0}, {"num_examples": 10**10}, {"cut": 7.0}, {"round": 1}, {"seconds": "x"}],
    ids=str,
)
def test_words_that_cannot_be_true_fail_alone(tmp_path: Path, pipeline: str, fields: dict[str, Any]) -> None:
    journal = Memory()
    tampered = saying(**fields)
    fabric = rigged.Tampering(
        tiny.fabric(plan_of(pipeline, rounds=1), tmp_path, encoded=False),
        lambda op, site, answer: tampered(None, answer, answer) if (op, site) == ("train", BAD) else answer,
    )
    Coordinator(plan_of(pipeline, rounds=1), fabric, journal).run()
    assert set(journal.records[0].failed) == {BAD}
    assert set(journal.records[0].accepted) == {"east", "west"}


@pytest.mark.parametrize("pipeline", ["quantised", *FRAMES])
def test_a_loss_that_is_no_number_fails_alone(tmp_path: Path, pipeline: str) -> None:
    """It does not even pass the wire format."""
    journal, _ = played(plan_of(pipeline, rounds=1), tmp_path, on("train", saying(loss=float("nan"))))
    assert "cannot be sent" in journal.records[0].failed[BAD]
    assert set(journal.records[0].accepted) == {"east", "west"}


def swollen(site: Any, op: str, body: Message, answer: Message) -> Message:
    """Claim more examples than anybody else, wherever they are asked for."""
    if op == "open":
        return Message({**answer.fields, "num_train": 10**9})
    if op == "train":
        _, held = site._outlet._pending._held
        rewrite(site, said={**held.said, "num_examples": 10**9})
        return Message({**answer.fields, "num_examples": 10**9})
    return answer


def rewrite(site: Any, **changes: Any) -> None:
    """Change what a site remembers of its update."""
    pending = site._outlet._pending
    index, held = pending._held
    pending._held = index, replace(held, **changes)


@pytest.mark.parametrize("pipeline", MASKED)
def test_other_examples_than_it_joined_with_leave_it_out(tmp_path: Path, pipeline: str) -> None:
    """The others would not reveal: weights must follow from the numbers that survivors sign."""
    journal, _ = played(plan_of(pipeline, rounds=1), tmp_path, on("open", saying(num_train=10**9)))
    assert "signs for 12 training examples and joined with 1000000000" in journal.records[0].failed[BAD]
    assert set(journal.records[0].accepted) == {"east", "west"}


@pytest.mark.parametrize("pipeline", ["quantised", *FRAMES])
def test_lying_about_examples_moves_weights_only_so_far(tmp_path: Path, pipeline: str) -> None:
    plan = plan_of(pipeline, rounds=1)
    lying, _ = played(plan, tmp_path / "lying", swollen)
    weights = {site: said["weight"] for site, said in lying.records[0].accepted.items()}
    assert weights == {"east": 1, "north": plan.weight_total - 2, "west": 1}
    # What it says of a round moves nothing: the weights of a run's rounds are settled when sites join.
    late, _ = played(plan, tmp_path / "late", on("train", saying(num_examples=10**9)))
    calm, _ = played(plan, tmp_path / "calm", straight)
    assert late.records[0].state_digest == calm.records[0].state_digest
    with pytest.raises(RunError, match="its num_train is 10000000000, which is no count"):
        played(plan, tmp_path / "beyond", on("open", saying(num_train=10**10)))


def wrong_shares(site: Any, body: Message, answer: Message) -> Message:
    told = bytearray(answer.tensors["reveal"].tobytes())
    reveal = Reveal.from_bytes(bytes(told))
    first = told.index(reveal.shares[0])
    told[first : first + len(reveal.shares[0])] = bytes(len(reveal.shares[0]))
    return Message({}, {"reveal": tensor_of(bytes(told))})


def shares_of_another(site: Any, body: Message, answer: Message) -> Message:
    told = answer.tensors["reveal"].tobytes()
    held = site.__dict__.setdefault("told_before", told)
    return Message({}, {"reveal": tensor_of(held)})


@pytest.mark.parametrize("pipeline", MASKED)
@pytest.mark.parametrize(
    ("bend", "rounds", "sentence"),
    [
        (wrong_shares, 1, "the share of site 'east' that site 'north' revealed does not fit"),
        (shares_of_another, 2, "site 'north' revealed shares of another list or of another site"),
        (nothing, 1, "site north revealed nothing in round 0"),
    ],
)
def test_a_wrong_share_is_worked_around_and_named(
    tmp_path: Path, pipeline: str, bend: Any, rounds: int, sentence: str
) -> None:
    plan = plan_of(pipeline, rounds=rounds)
    journal, _ = played(plan, tmp_path / "bent", on("reveal", bend))
    calm, _ = played(plan, tmp_path / "calm", straight)
    assert [one.state_digest for one in journal.records] == [one.state_digest for one in calm.records]
    events = journal.records[-1].events
    assert any(sentence in event for event in events), events


def other_list(site: Any, body: Message, answer: Message) -> Message:
    trial = site._outlet.operations["offer"].__self__._trials._past.trial
    listed = SurvivorList(trial.attempt, trial.secrets.threshold, trial.attempt.cohort[:2])
    return Message(answer.fields, {"signature": tensor_of(site._outlet._keyring.sign(listed.message()))})


@pytest.mark.parametrize("pipeline", MASKED)
@pytest.mark.parametrize(
    ("bend", "sentence"),
    [
        (other_list, "did not sign the list of survivors"),
        (saying(start="0" * 64), "did not sign the list of survivors"),
        (saying(start=7), "names no state"),
        (nothing, "names no state"),
    ],
)
def test_a_site_that_does_not_sign_is_left_out_of_the_next_attempt(
    tmp_path: Path, pipeline: str, bend: Any, sentence: str
) -> None:
    journal = Memory()
    plan = plan_of(pipeline, rounds=1)
    fabric = rigged.Tampering(
        tiny.fabric(plan, tmp_path, encoded=False),
        lambda op, site, answer: answer,
    )
    opened: Any = fabric.inner
    open_site = opened._host.open_site
    opened._host.open_site = lambda name: Crooked(open_site(name), on("agree", bend) if name == BAD else straight)
    Coordinator(plan, fabric, journal).run()
    assert set(journal.records[0].accepted) == {"east", "west"}
    assert sentence in journal.records[0].failed[BAD]


@pytest.mark.parametrize("pipeline", MASKED)
def test_a_site_that_trained_from_another_state_is_left_out_of_the_next_attempt(tmp_path: Path, pipeline: str) -> None:
    """It signs what it says; its frame is already in the sum, so the sum is formed again without it."""

    def elsewhere(site: Any, op: str, body: Message, answer: Message) -> Message:
        if op == "train":
            rewrite(site, start="0" * 64)
        return answer

    journal, _ = played(plan_of(pipeline, rounds=1), tmp_path, elsewhere)
    assert journal.records[0].failed == {BAD: "it trained from another state than most sites"}
    assert set(journal.records[0].accepted) == {"east", "west"}


@pytest.mark.parametrize("pipeline", MASKED)
def test_offers_that_nobody_can_open_end_the_round_by_their_maker_s_name(tmp_path: Path, pipeline: str) -> None:
    """Whether the offer or its receiver lies, the coordinator cannot tell; nothing opens, and the sentence names it."""

    def sealed_wrong(site: Any, body: Message, answer: Message) -> Message:
        return Message(answer.fields, {peer: tensor_of(bytes(box.size)) for peer, box in answer.tensors.items()})

    with pytest.raises(QuorumLost, match="a box from north does not open"):
        played(plan_of(pipeline, rounds=1), tmp_path, on("offer", sealed_wrong))


@pytest.mark.parametrize("pipeline", MASKED)
@pytest.mark.parametrize(
    ("fields", "out"),
    [
        ({"past": 3, "listed": []}, True),
        ({"past": 3, "listed": ["north", "west"]}, True),
        ({"past": 10**6, "listed": []}, True),
        ({"past": "x", "listed": []}, True),
        ({"listed": "x"}, True),
        ({"listed": ["north", "north"]}, True),
        ({"listed": ["north", "west"]}, False),
        ({"listed": ["north"]}, False),
    ],
    ids=str,
)
def test_what_a_site_claims_of_earlier_attempts_binds_nobody_else(
    tmp_path: Path, pipeline: str, fields: dict[str, Any], out: bool
) -> None:
    journal, _ = played(plan_of(pipeline, rounds=1), tmp_path, on("offer", saying(**fields)))
    assert {"east", "west"} <= set(journal.records[0].accepted)
    assert (BAD in journal.records[0].failed) == out


class TestWhereTheSitesOpen:
    """One of three says something else of the sum, or of the state after it."""

    @pytest.fixture(params=["packed", "packed and masked"])
    def plan(self, request: pytest.FixtureRequest) -> Plan:
        return plan_of(request.param, rounds=2)

    def digests(self, journal: Memory) -> list[str]:
        return [record.state_digest for record in journal.records]

    @pytest.fixture
    def calm(self, plan: Plan, tmp_path: Path) -> list[str]:
        return self.digests(played(plan, tmp_path / "calm", straight)[0])

    def test_that_it_is_void(self, plan: Plan, tmp_path: Path, calm: list[str]) -> None:
        journal, _ = played(plan, tmp_path, on("unseal", saying(void="\x1b[31m" * 500)))
        assert self.digests(journal) == calm

    def test_another_digest(self, plan: Plan, tmp_path: Path, calm: list[str]) -> None:
        journal, _ = played(plan, tmp_path, on("step", saying(digest="0" * 64)))
        assert self.digests(journal) == calm
        assert any("north took over the state" in event for event in journal.records[0].events)

    def test_a_state_that_is_none(self, plan: Plan, tmp_path: Path, calm: list[str]) -> None:
        """East missed the step, and the first that is asked for the state shares something else."""

        def wrong_state(site: Any, body: Message, answer: Message) -> Message:
            return Message({}, {"state": tensor_of(bytes(answer.tensors["state"].size))})

        introduce_sites(tmp_path, tiny.NAMES)
        open_site = tiny.make_opener(to_json(plan), tiny.SIZES, str(tmp_path))
        bends = {"east": on("step", saying(digest="")), BAD: on("share", wrong_state)}
        fabric = LocalFabric(tiny.NAMES, lambda name: Crooked(open_site(name), bends.get(name, straight)), encoded=True)
        journal = Memory()
        Coordinator(plan, fabric, journal).run()
        assert self.digests(journal) == calm
        for record in journal.records:
            assert any("east took over the state" in event for event in record.events)

    def test_a_long_or_strange_reason_is_cut(self, tmp_path: Path) -> None:
        """Where most say void, the first reason is shown: another party's words, bounded."""
        plan = plan_of("packed", rounds=1)
        introduce_sites(tmp_path, tiny.NAMES)
        open_site = tiny.make_opener(to_json(plan), tiny.SIZES, str(tmp_path))
        bend = on("unseal", saying(void="\x1b" + "x" * 5000))
        fabric = LocalFabric(tiny.NAMES, lambda name: Crooked(open_site(name), bend), encoded=True)
        with pytest.raises(QuorumLost) as lost:
            Coordinator(plan, fabric, Memory()).run()
        assert len(str(lost.value)) < 2500
        assert "\x1b" not in str(lost.value)


@pytest.mark.parametrize("said", [[], {"a": 1}, 7, "zz", "0" * 63])
def test_a_run_that_is_none_is_told_by_name_or_starts_anew(tmp_path: Path, said: Any) -> None:
    journal, _ = played(plan_of("masked", rounds=1), tmp_path, on("run", saying(run=said)))
    assert len(journal.records) == 1
    with pytest.raises(RunError, match="agreed on keys of different runs"):
        played(plan_of("masked", rounds=1), tmp_path / "confirm", on("confirm", saying(run=said)))
