"""Training a part of the network: what is frozen stays, and does not travel."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import tiny
import torch

from wardround.algorithms import Training
from wardround.algorithms.augment import AUGMENTATIONS
from wardround.algorithms.local_sgd import LocalSgd
from wardround.algorithms.parts import PARTS, frozen_weights, own_weights
from wardround.algorithms.personal import PERSONAL
from wardround.algorithms.unit_gradients import UnitGradients
from wardround.core.codec import Message
from wardround.core.context import RoundContext
from wardround.errors import PlanError
from wardround.rounds.listener import Silent
from wardround.rounds.workbench import Workbench
from wardround.study.run import run_plan
from wardround.study.spec import parse
from wardround.tasks.classification import Classification, weights_of
from wardround.tasks.inputs import trained_part
from wardround.tasks.models import MonaiNet, SmallCnn

NETWORK = SmallCnn(8).build(3, 2)


@pytest.mark.parametrize(
    ("parts", "trained"),
    [("head", {"13.weight", "13.bias"}), ("norms", {"2.weight", "2.bias", "5.weight", "13.weight"})],
)
def test_parts_are_named_in_the_network_s_own_words(parts: str, trained: set[str]) -> None:
    found = {name.removeprefix("net/") for name in PARTS[parts](NETWORK)}
    assert trained <= found
    assert "1.weight" not in found
    assert frozen_weights(NETWORK, parts) == PARTS["all"](NETWORK) - PARTS[parts](NETWORK)


def test_all_freezes_nothing() -> None:
    assert not frozen_weights(NETWORK, "all")


@pytest.mark.parametrize("parts", ["head", "norms"])
@pytest.mark.parametrize("algorithm", ["fedavg", "fedprox", "scaffold"])
def test_frozen_weights_keep_their_values_and_do_not_travel(parts: str, algorithm: str, tmp_path: Path) -> None:
    plan = tiny.plan(training={"parts": parts}, algorithm={"name": algorithm})
    bench = tiny.make_bench(plan)
    travelling = set(bench.shared(plan.composed()))
    assert travelling == bench.initial.keys() - bench.frozen
    assert bench.frozen
    run_plan(plan, tiny.fabric(plan, tmp_path / "stores"), tmp_path / "run", False, Silent())
    model = safetensors.numpy.load_file(tmp_path / "run" / "model.safetensors")
    for name, value in bench.initial.items():
        assert np.array_equal(model[name.removeprefix("net/")], value) == (name in bench.frozen), name


def test_an_update_holds_trained_weights_alone(tmp_path: Path) -> None:
    plan = tiny.plan(training={"parts": "head"})
    fabric = tiny.fabric(plan, tmp_path)
    weights = tiny.make_bench(plan).shared(plan.composed())
    body = {"round": 0, "cohort": ["east"], "population": 3, "accepted": {}}
    [answer] = fabric.gather(["east"], "train", Message(body, weights), None)
    assert answer.message is not None
    assert set(answer.message.tensors) == {"net/13.weight", "net/13.bias"}


def test_frozen_norms_keep_their_statistics() -> None:
    model = MonaiNet("DenseNet", {"init_features": 4, "growth_rate": 2, "block_config": [1]})
    images = replace(tiny.images(4), pixels=np.zeros((4, 32, 32, 3), np.uint8))
    for parts, moves in (("head", False), ("norms", True)):
        bench = Workbench(Classification(model, 3, tiny.CLASSES), 1, parts)
        network = bench.lend()
        work = LocalSgd(Training(steps=1, batch_size=4, parts=parts))
        work.run(bench.task, network, images, {}, {}, RoundContext(1, 0, 1, ("east",), 1, "east"))
        after = weights_of(network)
        statistics = [name for name in after if name.startswith("stat/")]
        assert statistics
        assert any(not np.array_equal(after[name], bench.initial[name]) for name in statistics) == moves


TRAP = """
import torch
from torch import nn
from wardround.tasks.inputs import TrainedPart

torch.set_num_threads(1)
network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(4, 8), nn.Flatten(), nn.LazyLinear(2))
network(torch.zeros(1, 3, 8, 8))
network[0].requires_grad_(False)
network = network.to(memory_format=torch.channels_last)
images = torch.randn(4, 3, 8, 8).to(memory_format=torch.channels_last)
fed = TrainedPart(network).fed(images) if MENDED else images
nn.functional.cross_entropy(network(fed), torch.tensor([0, 1, 0, 1])).backward()
assert network[1].weight.grad.any()
"""


@pytest.mark.parametrize("mended", [True, False])
def test_a_frozen_first_convolution_does_not_end_the_process(mended: bool) -> None:
    """And without the remedy it does: when that test fails, torch was mended and `TrainedPart.fed` can go."""
    done = subprocess.run([sys.executable, "-c", TRAP.replace("MENDED", str(mended))], capture_output=True, check=False)
    assert (done.returncode == 0) == mended, done.stderr.decode()


def test_gradients_of_norms_are_those_of_training_all() -> None:
    images = tiny.images(4)
    found = {}
    for parts in ("all", "norms"):
        network = Workbench(tiny.task(), 1, parts).lend().eval()
        part = trained_part(network)
        fed = part.fed(part.inputs(images, np.arange(4)).to(memory_format=torch.channels_last))
        torch.nn.functional.cross_entropy(network(fed), torch.from_numpy(images.labels)).backward()
        found[parts] = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    assert 0 < len(found["norms"]) < len(found["all"])
    for name, gradient in found["norms"].items():
        torch.testing.assert_close(gradient, found["all"][name])


def test_a_network_without_such_parts_is_refused() -> None:
    with pytest.raises(PlanError, match="no norms to train"):
        frozen_weights(torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3, bias=False)), "norms")


@pytest.mark.parametrize("name", ["norms"])
def test_weights_that_stay_at_their_site_must_be_trained(name: str) -> None:
    frozen = frozen_weights(NETWORK, "head")
    with pytest.raises(PlanError, match="stay at their site"):
        own_weights(NETWORK, PERSONAL[name], frozen)
    assert own_weights(NETWORK, PERSONAL["norms+head"], frozen) == PERSONAL["head"](NETWORK)
    assert not own_weights(NETWORK, PERSONAL["nothing"], frozen)


@pytest.mark.parametrize("table", [{"training": {"parts": "head"}}, {"model": {"name": "scattering"}}])
def test_augmenting_what_is_computed_once_is_refused(table: dict[str, dict[str, str]]) -> None:
    with pytest.raises(PlanError, match="augment"):
        parse({"name": "fixed", **table, "training": {**table.get("training", {}), "augment": "flip"}})


def test_views_of_what_is_computed_once_are_refused() -> None:
    with pytest.raises(PlanError, match="views"):
        parse({"name": "fixed", "training": {"parts": "head"}, "algorithm": {"name": "dpsgd", "views": 2}})


@pytest.mark.parametrize("parts", ["head", "norms"])
def test_a_unit_s_gradient_is_that_of_its_trained_part(parts: str) -> None:
    images = tiny.images(6)
    network = Workbench(tiny.task(), 1, parts).lend().eval()
    total, _ = UnitGradients(tiny.task(), 1e6, AUGMENTATIONS["none"]).clipped_sum(network, images, np.arange(6))
    part = trained_part(network)
    loss = torch.nn.CrossEntropyLoss(reduction="sum")
    loss(part.module(part.fed(part.inputs(images, np.arange(6)))), torch.from_numpy(images.labels)).backward()
    expected = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    assert expected.keys() == total.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(total[name].float(), gradient, rtol=1e-3, atol=1e-4)


def test_unknown_parts_are_refused() -> None:
    with pytest.raises(PlanError, match="all, norms, head"):
        tiny.plan(training={"parts": "tail"})
