"""Which weights stay at their site, by name."""

from __future__ import annotations

import pytest
from torch import nn

from wardround.algorithms import (
    ALGORITHMS,
    CalibratedDpSgd,
    DpSgd,
    FedAvg,
    FedBn,
    FedProx,
    Local,
    Scaffold,
    Training,
)
from wardround.algorithms.personal import PERSONAL, personal
from wardround.algorithms.server import ServerSgd
from wardround.errors import PlanError
from wardround.tasks.classification import weights_of


class Net(nn.Module):
    """Two kinds of normalisation, two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.group = nn.GroupNorm(2, 4)
        self.normal = nn.Linear(4, 4)
        self.last = nn.Linear(4, 2)


NORMS = {
    "net/norm.weight",
    "net/norm.bias",
    "stat/norm.running_mean",
    "stat/norm.running_var",
    "net/group.weight",
    "net/group.bias",
}
HEAD = {"net/last.weight", "net/last.bias"}
EXPECTED = {
    "nothing": set(),
    "norms": NORMS,
    "head": HEAD,
    "norms+head": NORMS | HEAD,
}


@pytest.mark.parametrize("name", PERSONAL)
def test_scopes(name: str) -> None:
    assert personal(name)(Net()) == EXPECTED[name]


def test_every_name_is_one_the_network_shares() -> None:
    for scope in PERSONAL.values():
        assert scope(Net()) <= weights_of(Net()).keys()


def test_a_network_without_a_linear_layer_has_no_head() -> None:
    assert PERSONAL["head"](nn.Sequential(nn.Conv2d(1, 2, 3))) == frozenset()


def test_algorithms_keep_what_they_promise() -> None:
    def kept(spec: object) -> set[str]:
        return set(spec.compose(Training(), ServerSgd()).personal(Net()))  # type: ignore[attr-defined]

    assert kept(FedBn()) == NORMS
    assert kept(Local()) == set(weights_of(Net()))
    for spec in (FedAvg, FedProx, Scaffold):
        assert kept(spec()) == set()
        assert kept(spec(personal="norms+head")) == NORMS | HEAD


def test_only_central_pools_the_images() -> None:
    calibrated = {"dpsgd": CalibratedDpSgd(DpSgd(), "image", 1.0, seeded=False)}
    specs = {name: calibrated.get(name) or kind() for name, kind in ALGORITHMS.items()}
    pooled = {name for name, spec in specs.items() if spec.compose(Training(), ServerSgd()).pooled}
    assert pooled == {"central"}


@pytest.mark.parametrize("spec", [FedAvg, FedProx, Scaffold])
def test_an_unknown_scope_is_refused_by_name(spec: type) -> None:
    with pytest.raises(PlanError, match="'norm' is not one of nothing, norms"):
        spec(personal="norm")
