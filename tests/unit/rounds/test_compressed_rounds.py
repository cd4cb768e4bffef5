"""Compressed updates in whole rounds: what is lost with a round, what is not, and what hostile bytes do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import tiny
from rigged import Memory, run

from wardround.core.codec import Message
from wardround.core.update import Tensors, of_group
from wardround.fabric.base import Answer, Body
from wardround.fabric.local import LocalFabric
from wardround.protect.clip import norm_of
from wardround.protect.outgoing import RESIDUAL
from wardround.rounds.coordinator import Coordinator
from wardround.rounds.digests import digest_of
from wardround.rounds.plan import Plan
from wardround.rounds.store import SiteStore
from wardround.study.spec import to_json

NORTH = "north"


def plan_of(name: str, rounds: int = 3) -> Plan:
    return tiny.plan(rounds=rounds, quorum=2, protect=tiny.COMPRESSED[name])


def residual(folder: Path, site: str, round_index: int) -> Tensors:
    return of_group(SiteStore(folder / site).read(round_index), RESIDUAL)


@pytest.mark.parametrize("name", ["threshold", "topk and int8", "clipped randomk and int8"])
def test_updates_take_few_bytes_and_the_summary_counts_them(tmp_path: Path, name: str) -> None:
    _, journal, fabric = run(plan_of(name), tmp_path / "small")
    _, plain, _ = run(tiny.plan(rounds=3), tmp_path / "plain")
    sent = [len(frame) for op, site, frame in fabric.wire if op == "train" and site != "coordinator"]
    for record in journal.records:
        assert record.bytes_up == sum(said["bytes"] for said in record.accepted.values())
        assert record.bytes_up < plain.records[0].bytes_up / (1.5 if name == "threshold" else 5)
    counted = sum(record.bytes_up for record in journal.records)
    assert counted < sum(sent) < counted + 150 * len(sent)  # framing and the array's name


class Deaf(LocalFabric):
    """Tiny sites, of which one never hears of the second round."""

    def gather(self, sites: Sequence[str], op: str, body: Body, timeout_s: float | None) -> Iterator[Answer]:
        for site in sites:
            if isinstance(body, Message) and (op, site, body.fields.get("round")) == ("train", NORTH, 1):
                yield Answer(site, failure="the line is dead")
            else:
                yield from super().gather([site], op, body, timeout_s)


def lost(op: str, site: str, answer: Message) -> Message | str:
    return "the line went dead" if (op, site, answer.fields.get("round")) == ("train", NORTH, 1) else answer


@pytest.mark.parametrize("name", ["topk and int8", "clipped randomk and int8"])
def test_a_lost_round_changes_no_residual(tmp_path: Path, name: str) -> None:
    """A site whose answer was lost goes on as if it had never trained in that round."""
    plan = plan_of(name)
    answered, journal, _ = run(plan, tmp_path / "lost", lost)
    opener = tiny.make_opener(to_json(plan), tiny.SIZES, str(tmp_path / "deaf"))
    unheard = Coordinator(plan, Deaf(tiny.NAMES, opener, True), Memory()).run()
    assert NORTH in journal.records[1].failed
    assert digest_of(answered.weights) == digest_of(unheard.weights)
    assert digest_of(answered.weights) != digest_of(run(plan, tmp_path / "calm")[0].weights)
    assert norm_of(residual(tmp_path / "lost", NORTH, 2)) > 0


def test_a_residual_is_what_was_not_sent(tmp_path: Path) -> None:
    """From outside: after one round, residual and what the coordinator read are the update of a plain run."""
    plain = tiny.plan(rounds=1, aggregator={"weighting": "uniform"})
    compressed = tiny.plan(rounds=1, aggregator={"weighting": "uniform"}, protect=tiny.COMPRESSED["topk and int8"])
    whole, small = run(plain, tmp_path / "plain")[0], run(compressed, tmp_path / "small")[0]
    left = [residual(tmp_path / "small", site, 0) for site in tiny.NAMES]
    for name, value in whole.weights.items():
        rest = np.mean([each[name] for each in left], axis=0)
        np.testing.assert_allclose(small.weights[name] + rest, value, atol=1e-5)
    assert max(float(np.abs(each[name]).max()) for each in left for name in each) > 1e-3


@pytest.mark.parametrize("name", ["topk and int8", "clipped randomk and int8"])
def test_bytes_that_are_no_compact_update_fail_their_site_alone(tmp_path: Path, name: str) -> None:
    def hostile(op: str, site: str, answer: Message) -> Message:
        if (op, site) != ("train", NORTH):
            return answer
        data = answer.tensors["update"].copy()
        data[2:6] = 255
        return Message(answer.fields, {"update": data})

    _, journal, _ = run(plan_of(name, rounds=1), tmp_path, hostile)
    record = journal.records[0]
    assert set(record.accepted) == {"east", "west"}
    assert "compact update" in record.failed[NORTH]
    assert "4294967295" in record.failed[NORTH]


def test_a_site_cannot_send_other_coordinates_than_the_round_s(tmp_path: Path) -> None:
    def other(op: str, site: str, answer: Message) -> Message:
        if (op, site) != ("train", NORTH):
            return answer
        data = answer.tensors["update"].copy()
        data[1] = 0  # a bitmap of its own
        return Message(answer.fields, {"update": data})

    _, journal, _ = run(plan_of("clipped randomk and int8", rounds=1), tmp_path, other)
    assert "values of kind 0" in journal.records[0].failed[NORTH]
