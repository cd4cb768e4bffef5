"""What each rule about sums prevents; every test first sees the rule refuse the plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from rigged import run

from wardround.aggregate import Mean
from wardround.checker import Mixture, check
from wardround.core.codec import Message, decode
from wardround.core.update import Tensors, Update, of_group
from wardround.errors import PlanError, SiteError
from wardround.protect.clip import norm_of
from wardround.protect.lattice import LatticeKey, Sealer
from wardround.protect.outgoing import outgoing
from wardround.protect.pipeline import Homomorphic, Pipeline
from wardround.protect.quantise import Quantise
from wardround.protect.row import Row
from wardround.protect.scheme import Scheme
from wardround.protect.sparsify import TopK
from wardround.rounds.digests import digest_of
from wardround.rounds.opening import Opening
from wardround.rounds.store import SiteStore
from wardround.study.spec import parse, to_table

Lift = Callable[..., None]
UNIFORM = {"weighting": "uniform"}


def loud(op: str, site: str, answer: Message) -> Message:
    """North multiplies its update, before anything hides it: its trained weights are what its training made."""
    if (op, site) != ("train", "north") or not answer.tensors:
        return answer
    return Message(answer.fields, {name: np.asarray(50 * value) for name, value in answer.tensors.items()})


def test_each_behind_hides(tmp_path: Path, lift: Lift) -> None:
    """A median that is a mean: bit for bit what the mean makes, so it withstands as little."""
    plan = tiny.plan(aggregator={"name": "median"}, protect=tiny.PIPELINES["masked"])
    lift("each-behind-hides", plan)
    named = run(plan, tmp_path / "median")[0]
    mean = run(tiny.plan(aggregator=UNIFORM, protect=tiny.PIPELINES["masked"]), tmp_path / "mean")[0]
    assert digest_of(named.weights) == digest_of(mean.weights)


@pytest.mark.parametrize("judge", [{"aggregator": {"name": "median"}}, {"screen": [{"name": "norms"}]}])
def test_each_of_frames(tmp_path: Path, lift: Lift, judge: dict[str, Any]) -> None:
    """Updates lie open, and are summed all the same: the judge never sees one."""
    frames = {"rounds": 1, "protect": tiny.PIPELINES["quantised"]}
    plan = tiny.plan(**frames, **{"aggregator": UNIFORM, **judge})
    lift("each-of-frames", plan)
    named, journal, _ = run(plan, tmp_path / "judged")
    mean = run(tiny.plan(**frames, aggregator=UNIFORM), tmp_path / "mean")[0]
    assert digest_of(named.weights) == digest_of(mean.weights)
    assert not journal.records[0].failed


def test_a_judge_that_sees_each_update_does_what_it_says(tmp_path: Path) -> None:
    """The control of the two above: in the clear, median and mean differ, and the median withstands a loud site."""
    moved = {}
    for name in ("mean", "median"):
        plan = tiny.plan(rounds=1, aggregator={"name": name, **(UNIFORM if name == "mean" else {})})
        calm, spoilt = run(plan, tmp_path / f"{name}-calm")[0], run(plan, tmp_path / name, loud)[0]
        moved[name] = norm_of({key: spoilt.weights[key] - value for key, value in calm.weights.items()})
    assert moved["mean"] > 5 * moved["median"]


def test_own_coordinates_summed(lift: Lift) -> None:
    """What three sites chose for themselves, added place by place, is nobody's sum."""
    lift("own-coordinates-summed", tiny.plan(protect=[tiny.TOPK, tiny.QUANTISE, tiny.MASKS]))
    rng = np.random.default_rng(0)
    changes = [{"net/a": rng.normal(size=100).astype(np.float32)} for _ in range(3)]
    kept = [TopK(0.1).encode(change, tiny.context())["net/a"] for change in changes]
    packed = [value[np.flatnonzero(value)] for value in kept]
    opened = Row({"net/a": (100,)}, np.flatnonzero(kept[0])).tensors(np.sum(packed, axis=0))["net/a"]
    true = np.sum(kept, axis=0)
    assert np.linalg.norm(opened - true) > 0.5 * np.linalg.norm(true)


def test_growth_after_bound(lift: Lift) -> None:
    """What leaves is ten times as long as the clip says."""
    stages = [{"stage": "clip", "norm": 1.0}, {"stage": "randomk", "fraction": 0.01, "feedback": False}]
    plan = tiny.plan(protect=stages)
    lift("growth-after-bound", plan)
    change = {"net/a": np.random.default_rng(0).normal(size=10_000).astype(np.float32)}
    assert norm_of(outgoing(plan.pipeline, change, {}, tiny.context()).tensors) > 5
    mended = tiny.plan(protect=stages[::-1])
    mended.check()
    assert norm_of(outgoing(mended.pipeline, change, {}, tiny.context()).tensors) <= 1 + 1e-6


def variates_at_sites(folder: Path, last_round: int) -> Tensors:
    """The mean of the control variates that the sites keep."""
    held = [of_group(SiteStore(folder / site).read(last_round), "variate") for site in tiny.NAMES]
    return {name: np.mean([each[name] for each in held], axis=0) for name in held[0]}


def test_variates_compressed(tmp_path: Path, lift: Lift) -> None:
    """The server's variate is no longer the mean of the sites', by which they correct each other."""

    def apart(plan: Any, folder: Path) -> float:
        _, journal, _ = run(plan, folder)
        assert journal.state is not None
        server, sites = of_group(journal.state, "variate"), variates_at_sites(folder, plan.rounds - 1)
        return norm_of({name: server[name] - value for name, value in sites.items()}) / norm_of(sites)

    plan = tiny.plan(algorithm={"name": "scaffold"}, aggregator=UNIFORM, protect=[tiny.TOPK])
    lift("variates-compressed", plan)
    whole = parse({**to_table(plan), "protect": []})
    assert apart(whole, tmp_path / "whole") < 1e-5
    assert apart(plan, tmp_path / "compressed") > 0.1


class Sealed:
    """One site's update, sealed without masks."""

    def __init__(self) -> None:
        self.grid = Quantise().grid({"net/a": np.ones(50, np.float32)})
        self.scheme = Scheme.of(Pipeline((Quantise(), Homomorphic())), 64)
        lattice = self.scheme.lattice
        assert lattice is not None
        self.sealer = Sealer(lattice, LatticeKey.new(lattice))
        self.change = {"net/a": np.linspace(-0.9, 0.9, 50)}
        values = self.grid.encode(self.change, np.random.default_rng(0))[0]
        self.upload = self.scheme.seal(self.scheme.words(values, 1), self.sealer)

    def read(self, sealer: Sealer) -> np.ndarray:
        """Open the upload as if it were the sum of a round."""
        total = self.scheme.running_sum(slice(0, 50))
        total.add(self.upload)
        return self.grid.decode(self.scheme.opened(total.frame(), slice(0, 50), 1, sealer))["net/a"]


def test_opener_without_key(tmp_path: Path, lift: Lift) -> None:
    """Without a key the run fails after all have trained; with one the coordinator reads every update."""
    plan = tiny.plan(open_at="coordinator", protect=tiny.PIPELINES["packed"])
    lift("opener-without-key", plan)
    with pytest.raises(PlanError, match="cannot be opened without its key"):
        run(plan, tmp_path)
    sealed = Sealed()
    np.testing.assert_allclose(sealed.read(sealed.sealer), sealed.change["net/a"], atol=1e-3)


def test_opener_not_needed(tmp_path: Path, lift: Lift) -> None:
    """The plan says that the sites open the sum; the coordinator reads what passes through its hands."""
    claimed = tiny.plan(rounds=1, open_at="sites", protect=tiny.PIPELINES["quantised"], aggregator=UNIFORM)
    lift("opener-not-needed", claimed)
    plan = parse({**to_table(claimed), "open_at": "auto"})
    result, _, fabric = run(plan, tmp_path)
    scheme = Scheme.of(plan.pipeline, plan.weight_total)
    initial = tiny.make_bench(plan).initial
    grid = plan.pipeline.grid(initial, tiny.context())
    read = {}
    for op, site, frame in fabric.wire:
        if op == "upload" and site != "coordinator":
            content = decode(frame).tensors["frame"].tobytes()
            read[site] = grid.decode(scheme.opened(content, slice(0, grid.num_values), 1, None))
    mean = {name: np.mean([read[site][name] for site in tiny.NAMES], axis=0) for name in initial}
    for name, value in initial.items():
        np.testing.assert_allclose(value + mean[name], result.weights[name], atol=1e-5)


def test_lone_ciphertext() -> None:
    """A coordinator that sends one site's ciphertext as the sum has it opened by any other site."""
    deployed = Mixture(Pipeline((Quantise(), Homomorphic())).links, deployed=True)
    with pytest.raises(PlanError) as refused:
        check(deployed)
    assert refused.value.rule == "lone-ciphertext"
    sealed = Sealed()
    np.testing.assert_allclose(sealed.read(sealed.sealer), sealed.change["net/a"], atol=1e-3)


def votes_of(change: Tensors) -> Tensors:
    return {**change, **{f"vote/{name}": np.sign(value) for name, value in change.items()}}


def test_votes_uncounted(lift: Lift) -> None:
    """The largest numbers of an update are its votes, so that top-k sends them and nothing that they are about."""
    for stages in ([tiny.INT8], [tiny.RANDOMK], tiny.PIPELINES["ckks"]):
        with pytest.raises(PlanError, match="votes-uncounted"):
            tiny.plan(algorithm={"name": "fedgma"}, protect=stages).check()
    plan = tiny.plan(algorithm={"name": "fedgma"}, protect=[tiny.TOPK])
    lift("votes-uncounted", plan)
    rng = np.random.default_rng(0)
    change = votes_of({"net/a": rng.normal(size=200).astype(np.float32) / 20})
    sent = outgoing(plan.pipeline, change, {}, tiny.context()).tensors
    assert not sent["net/a"].any()
    assert sent["vote/net/a"].any()
    exact = tiny.plan(algorithm={"name": "fedgma"}, protect=tiny.PIPELINES["quantised"])
    exact.check()
    grid = exact.pipeline.grid(change, tiny.context())
    decoded = grid.decode(grid.encode(change, rng)[0])
    np.testing.assert_array_equal(decoded["vote/net/a"], change["vote/net/a"])


def test_votes_judged(lift: Lift) -> None:
    """The median of three votes is one of them: two against one pass for a full agreement."""
    plan = tiny.plan(algorithm={"name": "and_mask", "threshold": 0.9}, aggregator={"name": "median"})
    lift("votes-judged", plan)
    algorithm = plan.composed()
    updates = [
        Update(site, 0, votes_of({"net/a": np.float32([size])}), 1)
        for site, size in zip(tiny.NAMES, (0.5, 0.4, -0.3), strict=True)
    ]
    moved = {}
    for aggregator in (plan.aggregator, Mean("uniform")):
        mean = aggregator.combine(updates).mean()
        state = algorithm.server.apply({"net/a": np.zeros(1, np.float32)}, mean, tiny.context())
        moved[type(aggregator)] = state["net/a"][0]
    assert moved[Mean] == 0
    assert moved[type(plan.aggregator)] == pytest.approx(0.4)


def test_a_site_that_votes_twice_is_refused_in_the_clear(tmp_path: Path) -> None:
    """The control: the same site, voting once, is in every round."""

    def twice(op: str, site: str, answer: Message) -> Message:
        if (op, site) != ("train", "north"):
            return answer
        doubled = {n: np.asarray(v * 2 if n.startswith("vote/") else v) for n, v in answer.tensors.items()}
        return Message(answer.fields, doubled)

    plan = tiny.plan(algorithm={"name": "fedgma"})
    assert not any(record.failed for record in run(plan, tmp_path / "honest")[1].records)
    journal = run(plan, tmp_path / "twice", twice)[1]
    assert all("votes with other numbers" in record.failed["north"] for record in journal.records)


def test_a_sum_with_more_votes_than_weights_is_void() -> None:
    grid = Quantise().grid(votes_of({"net/a": np.ones(50, np.float32)}))
    scheme = Scheme.of(Pipeline((Quantise(),)), 64)
    change = {"net/a": np.zeros(50, np.float32), "vote/net/a": np.ones(50, np.float32)}
    honest = grid.encode(change, np.random.default_rng(0))[0]
    for values, void in ((honest, False), (2 * honest, True)):
        opening = Opening(scheme, grid, tiny.NAMES[:2], 3)
        total = scheme.running_sum(slice(0, 100))
        total.add(scheme.seal(scheme.words(values, 1), None), 3)
        opening.take(0, total.frame(), None)
        if void:
            with pytest.raises(SiteError, match="more votes than 3"):
                opening.aggregate(1.0)
        else:
            np.testing.assert_array_equal(opening.aggregate(1.0).tensors["vote/net/a"], 3.0)
