"""What is attacked, and how: each row of the table as a plan and an assault."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wardround.data.catalogue import Ham10000, MedMnist
from wardround.data.sites import Iid
from wardround.protect.clip import Clip
from wardround.protect.pipeline import Masks, Pipeline
from wardround.protect.quantise import Quantise
from wardround.rounds.plan import Plan
from wardround.study.attack import Assault
from wardround.study.spec import load
from wardround.tasks.models import LeNet, SmallCnn

VICTIM = load(Path(__file__).with_name("victim.toml"))
SECONDS_AN_IMAGE = 60.0
MAIN = ("round 0", "after 5 rounds")


@dataclass(frozen=True)
class Setting:
    """One row: the first updates of several runs that differ in their seed, hence in weights and images.

    Attributes:
        plan: whose updates are attacked.
        assault: how.
        seeds: of the runs.
    """

    plan: Plan
    assault: Assault
    seeds: tuple[int, ...] = (7, 8)


def settings() -> dict[str, Setting]:
    """Return every row by name, the ones that decide first."""
    whole = tuple(range(7, 13))
    four = Assault(updates=4)
    learned = dataclasses.replace(four, attack="learned-inversion")
    features = dataclasses.replace(four, attack="feature-inversion", steps=500)
    made = {
        "round 0": Setting(VICTIM, four, whole),
        "after 5 rounds": Setting(VICTIM, dataclasses.replace(four, after=5), whole),
        "LeNet": Setting(_model(LeNet()), four),
        "averaging network (small_cnn)": Setting(_model(SmallCnn(dropout=0.0)), four),
        "PneumoniaMNIST": Setting(_iid(_data(MedMnist()), 4), four),
        "labels searched for (dlg)": Setting(VICTIM, dataclasses.replace(four, attack="dlg")),
        "Inverting Gradients": Setting(VICTIM, dataclasses.replace(four, attack="inverting-gradients", steps=2000)),
        "GradInversion": Setting(VICTIM, dataclasses.replace(four, attack="grad-inversion", steps=2000)),
        "latent prior": Setting(VICTIM, dataclasses.replace(four, attack="latent-prior")),
        "learned inversion": Setting(VICTIM, learned),
        "feature inversion": Setting(VICTIM, features),
        "two local steps": Setting(_two_steps(), dataclasses.replace(four, images=0, updates=2), seeds=(7,)),
        "two local steps, learned inversion": Setting(_two_steps(), dataclasses.replace(learned, images=0), seeds=(7,)),
        "batch of 4": Setting(VICTIM, dataclasses.replace(four, images=4, updates=1), seeds=(7,)),
        "batch of 4, feature inversion": Setting(
            VICTIM, dataclasses.replace(features, images=4, updates=2, steps=1000), seeds=(7,)
        ),
        "64 px": Setting(_data(Ham10000(size_px=64)), four, seeds=(7,)),
        "64 px, feature inversion": Setting(_data(Ham10000(size_px=64)), features, seeds=(7,)),
    }
    for sites in (2, 4, 8):
        assault = Assault(updates=1, steps=8000, seconds=sites * SECONDS_AN_IMAGE / 2)
        made[f"masked sum of {sites} sites"] = Setting(_summed(sites), assault, tuple(range(7, 7 + 8 // sites)))
    summed = dataclasses.replace(features, updates=1, steps=1000)
    made["masked sum of 4 sites, feature inversion"] = Setting(_summed(4), summed)
    return made


def _model(model: Any) -> Plan:
    return dataclasses.replace(VICTIM, model=model)


def _data(source: Any) -> Plan:
    return dataclasses.replace(VICTIM, data=dataclasses.replace(VICTIM.data, source=source))


def _two_steps() -> Plan:
    return dataclasses.replace(VICTIM, training=dataclasses.replace(VICTIM.training, steps=2, batch_size=1))


def _summed(sites: int) -> Plan:
    masked = Pipeline((Clip(10.0), Quantise(24), Masks()), open_at="coordinator")
    return dataclasses.replace(_iid(VICTIM, sites), pipeline=masked)


def _iid(plan: Plan, sites: int) -> Plan:
    return dataclasses.replace(plan, data=dataclasses.replace(plan.data, sites=Iid(sites)))
