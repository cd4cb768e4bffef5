"""The plans that are compared: one local training, one server, and what sets each method apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from wardround.aggregate import Mean
from wardround.algorithms import AndMask, FedBn, FedGma, FedProx, FedSr, Irm, LogitAdjusted, Scaffold, VRex
from wardround.rounds.plan import Plan
from wardround.study.spec import load
from wardround.tasks.models import SmallCnn

HERE = Path(__file__).parent
SITES = ("rosendahl", "vidir_modern", "vidir_molemax", "vienna_dias")
FEDAVG = "fedavg"
CENTRED, GREY = SmallCnn(light="centred"), SmallCnn(light="grey_world")


def _methods() -> dict[str, Plan]:
    base = load(HERE / "fedavg.toml")
    bold = replace(base.training, augment="dihedral+appearance")
    by_site = Mean("uniform")  # one vote for each site, as in both papers
    return {
        FEDAVG: base,
        "vrex": replace(base, algorithm=VRex()),
        "and-mask": replace(base, algorithm=AndMask(), aggregator=by_site),
        "fedgma": replace(base, algorithm=FedGma(), aggregator=by_site),
        "fedsr": replace(base, algorithm=FedSr()),
        "irm": replace(base, algorithm=Irm()),
        "logit-adjusted": replace(base, algorithm=LogitAdjusted()),
        "fedbn": replace(base, algorithm=FedBn()),
        "fedprox": replace(base, algorithm=FedProx(0.1)),
        "scaffold": replace(base, algorithm=Scaffold()),
        "appearance": replace(base, training=bold),
        "centred": replace(base, model=CENTRED),
        "grey-world": replace(base, model=GREY),
        "grey-world, logit-adjusted": replace(base, model=GREY, algorithm=LogitAdjusted()),
    }


METHODS: dict[str, Plan] = {name: replace(plan, name=name.replace(", ", "-")) for name, plan in _methods().items()}
"""Method -> its plan, without held-out sites."""

ALGORITHMS = tuple(METHODS)[:10]
"""Those that the literature has, all of which are tested at the next hospital; of the others the chosen ones are."""


def without(method: str, sites: tuple[str, ...], seed: int, rounds: int) -> Plan:
    """Return a method's plan with `sites` held out."""
    plan = METHODS[method]
    rule = replace(plan.data.sites, held_out=sites)  # type: ignore[type-var]
    return replace(plan, seed=seed, rounds=rounds, data=replace(plan.data, sites=rule))
