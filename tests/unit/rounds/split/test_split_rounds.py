from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cut_sites
import numpy as np
import pytest
import rigged
import tiny
import torch

from wardround.core.codec import Message
from wardround.core.update import Tensors
from wardround.errors import QuorumLost, RunError
from wardround.rounds.digests import digest_of
from wardround.rounds.plan import Plan
from wardround.rounds.split.asks import ASK, is_ask
from wardround.rounds.split.trainee import Trainee
from wardround.tasks.classification import weights_of
from wardround.tasks.inputs import to_input

SETTINGS: dict[str, dict[str, Any]] = {
    "momentum": {},
    "adamw that is kept": {"training": {"optimiser": "adamw", "momentum": 0.0, "keep_optimiser": True}},
    "a cosine and server momentum": {"training": {"schedule": "cosine"}, "server": {"momentum": 0.5}},
    "equal weights, fewer sites, an average": {
        "aggregator": tiny.UNIFORM,
        "sites_per_round": 2,
        "average_decay": 0.5,
    },
    "unequal steps": {"training": {"steps": 0, "epochs": 1.0}},
}


@pytest.mark.parametrize(
    ("settings", "depth"), [*((each, 1) for each in SETTINGS.values()), ({}, 2)], ids=[*SETTINGS, "deeper"]
)
def test_splitfed_v1_is_fedavg_bit_for_bit(tmp_path: Path, settings: dict[str, Any], depth: int) -> None:
    whole, _, _ = cut_sites.run(cut_sites.plan("fedavg", rounds=3, **settings), tmp_path / "a")
    split, journal, _ = cut_sites.run(
        cut_sites.plan("splitfed_v1", {"depth": depth}, rounds=3, **settings), tmp_path / "b"
    )
    assert digest_of(split.weights) == digest_of(whole.weights)
    assert [record.loss for record in journal.records] == [record.loss for record in whole.records]
    assert split.test.pooled == whole.test.pooled


def test_rounds_of_one_step_are_one_descent_on_all_sites_images(tmp_path: Path) -> None:
    """Whole batches, so that an oracle needs no order: torch's SGD down the mean of the sites' losses by images."""
    kept = {"steps": 1, "batch_size": 64, "momentum": 0.9, "keep_optimiser": True, "learning_rate": 0.05}
    plan = cut_sites.plan("splitfed_v1", rounds=4, training=kept)
    split, _, _ = cut_sites.run(plan, tmp_path)
    sites = [tiny.masked_data(name, size).train for name, size in tiny.SIZES]
    task = plan.learns.task(plan.model, sites[0].shape[2], *plan.learns.names(sites[0]))
    network = task.build(plan.seed).train()
    optimiser = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)
    images = sum(len(each) for each in sites)
    for _ in range(4):
        optimiser.zero_grad()
        for each in sites:
            rows = np.arange(len(each))
            loss = task.loss(network, to_input(each.fed(rows)), task.targets(each, rows))
            torch.autograd.backward(loss * len(each) / images)
        optimiser.step()
    for name, value in weights_of(network).items():
        np.testing.assert_allclose(split.weights[name], value, atol=2e-6, err_msg=name)


def test_restoration_over_a_cut_is_restoration_of_the_whole(tmp_path: Path) -> None:
    settings = {"task": {"name": "restoration", "residual": True}}
    whole, _, _ = cut_sites.run(cut_sites.plan("fedavg", **settings), tmp_path / "a")
    split, _, _ = cut_sites.run(cut_sites.plan("splitfed_v1", **settings), tmp_path / "b")
    assert digest_of(split.weights) == digest_of(whole.weights)
    assert split.test.pooled == whole.test.pooled


@pytest.mark.parametrize("algorithm", ["splitfed_v1", "splitfed_v2", "interleaved", "split_learning"])
def test_with_one_site_every_order_is_plain_training(tmp_path: Path, algorithm: str) -> None:
    names = ("north",)
    whole, _, _ = cut_sites.run(cut_sites.plan("fedavg"), tmp_path / "a", names=names)
    split, _, _ = cut_sites.run(cut_sites.plan(algorithm), tmp_path / "b", names=names)
    assert digest_of(split.weights) == digest_of(whole.weights)


def test_orders_differ_where_there_is_more_than_one_site(tmp_path: Path) -> None:
    small = {"steps": 1}  # of two batches: three rounds, because DC-SFL corrects from the third on
    digests = {
        name: digest_of(cut_sites.run(cut_sites.plan(name, rounds=3, training=small), tmp_path / name)[0].weights)
        for name in cut_sites.SPLITTING
    }
    assert len(set(digests.values())) == len(digests), digests


@pytest.mark.parametrize("algorithm", cut_sites.SPLITTING)
def test_the_wire_format_changes_no_bit(tmp_path: Path, algorithm: str) -> None:
    plan = cut_sites.plan(algorithm)
    encoded, _, _ = cut_sites.run(plan, tmp_path / "a")
    direct, _, _ = cut_sites.run(plan, tmp_path / "b", encoded=False)
    assert digest_of(encoded.weights) == digest_of(direct.weights)


@pytest.mark.parametrize("algorithm", cut_sites.SPLITTING)
def test_a_run_resumed_after_any_round_is_the_same_run(tmp_path: Path, algorithm: str) -> None:
    kept = {"momentum": 0.9, "keep_optimiser": True}
    plan = cut_sites.plan(algorithm, rounds=3, training=kept)
    undisturbed, _, _ = cut_sites.run(plan, tmp_path / "whole")
    journal = rigged.Memory(tmp_path / "stopped" / "journal")
    with pytest.raises(QuorumLost):
        cut_sites.run(plan, tmp_path / "stopped", _broken_in(1), journal)
    assert [record.round for record in journal.records] == [0]
    resumed, _, _ = cut_sites.run(plan, tmp_path / "stopped", journal=journal)
    assert digest_of(resumed.weights) == digest_of(undisturbed.weights)
    assert [r.split for r in resumed.records] == [r.split for r in undisturbed.records]


def _broken_in(round_index: int) -> rigged.Tamper:
    """Let sites be lost at their second batch, once the body has been trained already."""
    seen = {"begun": 0, "asks": 0}

    def tamper(op: str, site: str, answer: Message) -> Message | str:
        seen["begun"] += op == "train"
        if op != "go_on" or seen["begun"] <= round_index * len(tiny.NAMES):
            return answer
        seen["asks"] += 1
        return "the power is out" if seen["asks"] > 2 else answer

    return tamper


LOST = {"splitfed_v1": 0, "dcsfl": 0, "splitfed_v2": 0, "split_learning": 0, "interleaved": 2}
"""Steps that a body keeps of a site that is lost in its second step."""


@pytest.mark.parametrize(("algorithm", "kept"), LOST.items())
def test_a_site_lost_in_the_middle_of_a_round_is_lost_alone(tmp_path: Path, algorithm: str, kept: int) -> None:
    plan = cut_sites.plan(algorithm, rounds=2)
    result, journal, _ = cut_sites.run(plan, tmp_path / "a", _lose("north", 3))
    first, second = journal.records
    assert first.failed == {"north": "the power is out"}
    assert set(first.accepted) == {"east", "west"}
    assert not second.failed
    told = [event for event in first.events if "north" in event]
    assert told == (
        [f"site north was lost in the middle of a round: the body keeps the {kept} steps it took with it"]
        if kept
        else []
    )
    never, _, _ = cut_sites.run(plan, tmp_path / "b", _lose("north", 0))
    assert (digest_of(result.weights) == digest_of(never.weights)) is not bool(kept)


def _lose(name: str, asks: int) -> rigged.Tamper:
    """Lose a site in the first round, after it has asked so often."""
    seen = {"asks": 0, "lost": False}

    def tamper(op: str, site: str, answer: Message) -> Message | str:
        if site != name or op not in ("train", "go_on") or seen["lost"]:
            return answer
        seen["lost"] = seen["asks"] == asks
        seen["asks"] += 1
        return "the power is out" if seen["lost"] else answer

    return tamper


def _with(tensors: Callable[[np.ndarray], np.ndarray]) -> Callable[[Message], Message]:
    return lambda m: Message(m.fields, {**m.tensors, "values": tensors(m.tensors["values"])})


BAD_ASKS: dict[str, tuple[Callable[[Message], Message], str]] = {
    "another kind": (lambda m: Message({ASK: "weights"}, m.tensors), "asks for 'weights'"),
    "no kind": (lambda m: Message({ASK: None}, m.tensors), "asks for None"),
    "no tensor": (lambda m: Message(m.fields), "holds nothing"),
    "a tensor more": (lambda m: Message(m.fields, {**m.tensors, "x": np.zeros(1, np.float32)}), "not values"),
    "another dtype": (_with(lambda v: v.astype(np.float64)), "float64"),
    "another number of channels": (_with(lambda v: v[..., :-1]), "not float32"),
    "no images": (_with(lambda v: v[:0]), "not float32"),
    "a batch too large": (_with(lambda v: np.repeat(v, 9, axis=0)), "larger than the plan's"),
    "a giant": (_with(lambda v: np.broadcast_to(v[:1], (5000, *v.shape[1:]))), "larger than any here"),
    "not a number": (_with(lambda v: np.full_like(v, np.nan)), "NaN"),
    "a gradient first": (
        lambda m: Message({ASK: "backward"}, {"values": np.zeros((1, 4, 4, 6), np.float32)}),
        "without an activation",
    ),
}


@pytest.mark.parametrize("algorithm", ["splitfed_v2", "split_learning", "interleaved"])
def test_a_bad_ask_fails_alone_in_every_order(tmp_path: Path, algorithm: str) -> None:
    def tamper(op: str, site: str, answer: Message) -> Message:
        return Message({ASK: "weights"}) if op == "train" and site == "north" else answer

    _, journal, _ = cut_sites.run(cut_sites.plan(algorithm, rounds=1), tmp_path, tamper)
    assert "asks for 'weights'" in journal.records[0].failed["north"]
    assert set(journal.records[0].accepted) == {"east", "west"}


@pytest.mark.parametrize(("damage", "reason"), BAD_ASKS.values(), ids=BAD_ASKS.keys())
def test_a_bad_ask_fails_alone_and_by_name(tmp_path: Path, damage: Callable[[Message], Message], reason: str) -> None:
    def tamper(op: str, site: str, answer: Message) -> Message:
        return damage(answer) if op == "train" and site == "north" and is_ask(answer) else answer

    result, journal, _ = cut_sites.run(cut_sites.plan("splitfed_v1", rounds=1), tmp_path, tamper)
    assert reason in journal.records[0].failed["north"]
    assert len(journal.records[0].failed["north"]) < 300
    assert set(journal.records[0].accepted) == {"east", "west"}
    assert all(np.isfinite(value).all() for value in result.weights.values())


@pytest.mark.parametrize("algorithm", ["splitfed_v1", "splitfed_v2", "interleaved"])
def test_a_site_that_never_ends_is_stopped(tmp_path: Path, algorithm: str) -> None:
    kept: dict[str, Message] = {}

    def tamper(op: str, site: str, answer: Message) -> Message:
        if site != "north" or op not in ("train", "go_on"):
            return answer
        if is_ask(answer):
            kept[str(answer.fields[ASK])] = answer
            return answer
        return kept["forward"] if answer.fields.get("num_examples") else answer

    _, journal, _ = cut_sites.run(cut_sites.plan(algorithm, rounds=1), tmp_path, tamper)
    assert "more" in journal.records[0].failed["north"]
    assert "steps" in journal.records[0].failed["north"]


BAD_REPLIES: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "nothing": (lambda t: {}, "holds nothing"),
    "another shape": (lambda t: {"values": t["values"][:, :1]}, "the body's answer has shape"),
    "another batch": (lambda t: {"values": np.repeat(t["values"], 2, axis=0)}, "the body's answer has shape"),
    "an infinity": (lambda t: {"values": np.full_like(t["values"], np.inf)}, "NaN or an infinity"),
}


@pytest.mark.parametrize(("damage", "reason"), BAD_REPLIES.values(), ids=BAD_REPLIES.keys())
def test_a_site_refuses_a_bad_reply_by_name(
    tmp_path: Path, damage: Callable[[Tensors], Tensors], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wardround.rounds.split.body_host import BodyHost

    honest = BodyHost.reply

    def hostile(self: BodyHost, site: str, message: Message) -> Message:
        reply = honest(self, site, message)
        return Message(reply.fields, damage(reply.tensors)) if site == "north" else reply

    monkeypatch.setattr(BodyHost, "reply", hostile)
    _, journal, _ = cut_sites.run(cut_sites.plan("splitfed_v1", rounds=1), tmp_path)
    assert reason in journal.records[0].failed["north"]


def test_the_wire_holds_no_image_no_label_and_no_weight_of_another_role(tmp_path: Path) -> None:
    _, _, seen = cut_sites.run(cut_sites.plan("splitfed_v1", rounds=1), tmp_path)
    for op, party, frame in seen.wire:
        if op in ("train", "go_on", "evaluate") and party != "coordinator":
            fields, tensors = _content(frame)
            if ASK in fields:
                assert set(fields) == {ASK}
                assert set(tensors) == {"values"}
    told = [body for op, _, body in seen.asked if op == "train"]
    names = {name for body in told if isinstance(body, Message) for name in body.tensors}
    assert names
    assert not any(".2." in name or "down.1" in name for name in names), "the body travels to a site"


def _content(frame: bytes) -> tuple[dict[str, Any], Tensors]:
    from wardround.core.codec import decode

    message = decode(frame)
    fields = message.fields.get("answer", message.fields)
    return dict(fields), message.tensors


@pytest.mark.parametrize("wire", ["float32", "bf16", "int8"])
def test_bytes_over_the_cut_are_counted(tmp_path: Path, wire: str) -> None:
    per_number = {"float32": 4, "bf16": 2, "int8": 1}[wire]
    plan = cut_sites.plan("splitfed_v1", {"wire": wire}, rounds=1)
    result, journal, _ = cut_sites.run(plan, tmp_path)
    crossed = journal.records[0].split
    assert crossed is not None
    assert crossed["steps"] == plan.training.steps * len(tiny.NAMES)
    numbers = crossed["steps"] * 4 * (4 + 6) * 8 * 8  # a batch of 4, 4 and 6 channels at 8 x 8, each way
    for way in ("bytes_up", "bytes_down"):
        assert numbers * per_number <= crossed[way] <= numbers * per_number + crossed["steps"] * 150
    assert all(np.isfinite(value).all() for value in result.weights.values())


@pytest.mark.parametrize("name", ["quantised", "masked", "packed", "packed and masked"])
def test_heads_and_tails_go_through_the_protected_sum(tmp_path: Path, name: str) -> None:
    plan = cut_sites.plan("splitfed_v1", protect=tiny.PIPELINES[name])
    clear, _, _ = cut_sites.run(cut_sites.plan("splitfed_v1", protect=[tiny.CLIP]), tmp_path / "a")
    sealed, _, _ = cut_sites.run(plan, tmp_path / "b")
    weights = sealed.weights or _written(tmp_path / "b")
    for key, value in clear.weights.items():
        found = weights.get(key, weights.get(key.split("/", 1)[1]))
        assert found is not None
        np.testing.assert_allclose(found, value, atol=2e-3)


def _written(folder: Path) -> Tensors:
    import safetensors.numpy

    return safetensors.numpy.load((folder / "north" / "model.safetensors").read_bytes())


def test_a_blind_coordinator_s_sites_refuse_a_body_of_another_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wardround.errors import RunError
    from wardround.rounds.split.body_host import BodyHost

    plan = cut_sites.plan("splitfed_v1", rounds=1, protect=tiny.PIPELINES["packed and masked"])
    monkeypatch.setattr(BodyHost, "weights", property(lambda self: {"net/strange": np.zeros(3, np.float32)}))
    monkeypatch.setattr(BodyHost, "_look", lambda self, site, activation: activation.repeat(1, 2, 1, 1)[:, :6])
    with pytest.raises(RunError, match="no site could write the trained weights"):
        cut_sites.run(plan, tmp_path)


def test_split_learning_hands_head_and_tail_on(tmp_path: Path) -> None:
    plan = cut_sites.plan("split_learning", rounds=1)
    result, _, seen = cut_sites.run(plan, tmp_path)
    told = [(sites[0], body.tensors) for op, sites, body in seen.asked if op == "train" and isinstance(body, Message)]
    assert sorted(site for site, _ in told) == sorted(tiny.NAMES)
    finals = {site: _last_update(seen, site) for site in tiny.NAMES}
    for (site, given), (_, following) in pairwise(told):
        for name, value in given.items():
            np.testing.assert_array_equal(following[name], value + finals[site][name])
    last, given = told[-1]
    for name, value in given.items():
        np.testing.assert_allclose(result.weights[name], value + finals[last][name], atol=1e-6)


def _last_update(seen: rigged.Tampering, site: str) -> Tensors:
    answers = [_content(frame) for op, party, frame in seen.wire if op == "go_on" and party == site]
    return next(tensors for fields, tensors in answers if "num_examples" in fields)


def test_the_schedule_spreads_each_site_s_batches_over_the_round(tmp_path: Path) -> None:
    plan = cut_sites.plan("interleaved", rounds=1, training={"steps": 0, "epochs": 1.0, "batch_size": 2})
    _, _, seen = cut_sites.run(plan, tmp_path)
    asked = [(op, sites[0]) for op, sites, _ in seen.asked]
    order = [site for op, site in asked[: asked.index(("evaluate", "east"))] if op == "go_on"]
    steps = {name: size // 2 for name, size in tiny.SIZES}
    # Two calls a step: after an activation, after a gradient. No other site's batch comes between the two.
    assert order[::2] == order[1::2]
    expected = sorted(((step + 0.5) / steps[site], site) for site in steps for step in range(steps[site]))
    assert order[::2] == [site for _, site in expected]


def test_a_digest_tells_split_plans_apart() -> None:
    plans: list[Plan] = [
        cut_sites.plan("splitfed_v1", rules)
        for rules in ({}, {"depth": 2}, {"wire": "int8"}, {"noise_sd": 1.0}, {"body_host": "coordinator"})
    ]
    assert len({plan.digest() for plan in plans}) == len(plans)


def test_a_sealed_run_resumed_after_a_stop_is_the_same_run(tmp_path: Path) -> None:
    """Sites that trained in the round that was cut short train anew: the body host has lost its steps of it."""
    plan = cut_sites.plan("interleaved", rounds=2, protect=tiny.PIPELINES["packed and masked"])
    whole, _, _ = cut_sites.run(plan, tmp_path / "whole")
    journal = rigged.Memory(tmp_path / "stopped" / "journal")

    def tamper(op: str, site: str, answer: Message) -> Message | str:
        broken = op == "upload" and len(journal.records) == 1
        return "the power is out" if broken else answer

    with pytest.raises(QuorumLost):
        cut_sites.run(plan, tmp_path / "stopped", tamper, journal)
    assert len(journal.records) == 1
    resumed, _, _ = cut_sites.run(plan, tmp_path / "stopped", journal=journal)
    assert resumed.model_sha256 == whole.model_sha256
    assert [record.split for record in resumed.records] == [record.split for record in whole.records]


def test_how_often_a_site_may_look_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardround.rounds.split.body_host.MOST_LOOKS", 0)
    with pytest.raises(RunError, match="north: the site looks at its 8 images more than 0 times over"):
        cut_sites.run(cut_sites.plan("splitfed_v1", rounds=1), tmp_path)


def test_noise_on_what_is_only_looked_at_is_the_same_on_every_way(tmp_path: Path) -> None:
    plan = cut_sites.plan("splitfed_v1", {"noise_sd": 1.0}, rounds=1)
    results = [cut_sites.run(plan, tmp_path / str(encoded), encoded=encoded)[0] for encoded in (True, False)]
    assert results[0].test.pooled == results[1].test.pooled


def test_a_body_that_is_not_finite_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainee, "change", lambda self: {"net/x": np.full(2, np.nan, np.float32)})
    with pytest.raises(RunError, match="the body diverged"):
        cut_sites.run(cut_sites.plan("interleaved", rounds=1), tmp_path)
