"""A plan's digest covers everything, and its check refuses what would mean nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import tiny

from wardround.aggregate import AGGREGATORS
from wardround.algorithms import ALGORITHMS, Central, FedAvg, FedGan, Local, Scaffold, SplitFedV1
from wardround.algorithms.defences import DEFENCES, Pruning
from wardround.algorithms.server import SERVERS, Averaged
from wardround.attacks.poison import POISONS, ImageTrigger, LabelFlip, Lie, Trigger
from wardround.data.catalogue import SOURCES, Manifest
from wardround.data.degradations import DEGRADATIONS, SimulatedCt
from wardround.data.intensity import INTENSITIES
from wardround.data.probe import ProbeShare
from wardround.data.sites import RULES
from wardround.errors import PlanError
from wardround.privacy import Privacy
from wardround.protect.clip import Clip
from wardround.protect.pipeline import STAGES, Pipeline
from wardround.rounds.evaluation import Evaluation
from wardround.rounds.groups import Groups
from wardround.rounds.plan import Plan
from wardround.rounds.split.rules import SplitRules
from wardround.screen import SCREENS, GeneratorEDetector
from wardround.study.spec import from_json, parse, to_json
from wardround.tasks import Restore, Segment, Synthesise
from wardround.tasks.models import MODELS, DcGan, Diffusion, MonaiNet, RedCnn, StyleGan, UNet
from wardround.tasks.start import Start

BASE = tiny.plan()

# Valid values that differ from the defaults, for fields that do not take any value of their type.
CLAIM = Privacy("image", 1e-5, epsilon=1.0)
START = Start("body.safetensors", "0" * 64)
OTHER: dict[str, Any] = {
    "name": "other",
    "average_decay": 0.5,
    "beta1": 0.5,
    "beta2": 0.5,
    "momentum": 0.5,
    "nesterov": True,
    "dropout": 0.3,
    "width": 16,
    "personal": "head",
    "optimiser": "adamw",
    "schedule": "cosine",
    "augment": "flip",
    "precision": "float32",
    "weighting": "uniform",
    "share": "metrics",
    "cosign": "sites",
    "data_use": False,
    "held_out": ("somewhere",),
    "malignant": ("bad",),
    "classes": ("good", "bad"),
    "size_px": 28,
    "channels": 1,
    "unreadable_share": 0.5,
    "orientation": "RAS",
    "outside_mask": "crop",
    "percentiles": (2.0, 10.0, 25.0, 50.0, 75.0, 90.0, 99.0),
    "standard": (0.0, 0.2, 0.25, 0.5, 0.75, 0.9, 1.0),
    "val": 0.15,
    "test": 0.25,
    "alpha": 0.7,
    "fraction": 0.5,
    "dab_threshold": 0.06,
    "open_at": "coordinator",
    "scheme": "ckks",
    "stages": (Clip(1.0),),
    "network": "DenseNet169",
    "arguments": {"init_features": 8},
    "stride_px": 3,
    "by": "site",
    "stem": "large",
    "light": "centred",
    "threshold": 1,
    "warm_up": 0.5,
    "stem_stride": 1,
    "sampling_rate": 0.5,
    "noise": "sum",
    "mechanism": "discrete_gaussian",
    "at": "coordinator",
    "unit": "site",
    "randomness": "seed",
    "delta": 1e-6,
    "noise_multiplier": 2.5,
    "privacy": CLAIM,
    "parts": "head",
    "order": 1,
    "sha256": "1" * 64,
    "start": START,
    "task": Segment(),
    "degradation": (SimulatedCt(),),
    "read_noise": 0.2,
    "arc_deg": 90.0,
    "split": SplitRules(2),
    "body_host": "coordinator",
    "wire": "int8",
    "form": "released",
    "widths": (4, 8),
    "defence": Pruning(),
    "rms": 0.2,
    "exponent": 0.5,
    "draw": "each_round",
    "aim": "anti",
    "twin_rate": 0.01,
    "attacks": (Lie(sites=("west",)),),
    "probe": ProbeShare(),
    "groups": Groups(),
}
OTHER_OF: dict[tuple[str, str], Any] = {
    ("SplitFedV1", "personal"): "norms",
    ("SplitFedV2", "personal"): "norms",
    ("Interleaved", "personal"): "norms",
    ("FlatCnn", "activation"): "tanh",
    ("FedGan", "discriminator"): "averaged",
    ("Diffusion", "patch_px"): 4,
    ("GaussianUpdate", "share"): 0.3,
    ("Pruning", "share"): 0.3,
    ("Soteria", "share"): 0.3,
    ("GeometricMedian", "weighting"): "examples",
    ("Flame", "noise"): 0.5,
    ("AlignIns", "sparsity"): 0.5,
    ("FedDetect", "warm_up"): 3,
    ("FedDetect", "decay"): 0.5,
    ("CalibratedFedDetect", "warm_up"): 4,
    ("CalibratedFedDetect", "decay"): 0.25,
    ("EDetector", "false_alarms"): 0.01,
    ("GeneratorEDetector", "false_alarms"): 0.01,
    ("GroupEvidence", "false_alarms"): 0.01,
    ("Ats", "policies"): "1-2",
    ("GeneratorEDetector", "fade"): 0.5,
    ("ProbeShare", "share"): 0.2,
    ("LabelFlip", "share"): 0.25,
    ("Trigger", "share"): 0.25,
    ("ImageTrigger", "share"): 0.25,
    ("ImageTrigger", "opacity"): 0.5,
    ("ImageTrigger", "pattern"): "noise",
}
TOGETHER: dict[tuple[str, str], dict[str, Any]] = {
    ("Training", "optimiser"): {"momentum": 0.0},
    ("Plan", "task"): {"model": MonaiNet("UNet")},
    ("Plan", "split"): {"model": UNet(), "task": Segment(), "algorithm": SplitFedV1()},
    ("ServerSgd", "nesterov"): {"momentum": 0.5},
    ("Privacy", "noise_multiplier"): {"epsilon": 0.0, "noise_multiplier": 1.5},
}

SYNTHESIS: dict[str, Any] = {
    "model": DcGan(width=16),
    "task": Synthesise(),
    "algorithm": FedGan(beta1=0.4),
    "training": dataclasses.replace(BASE.training, optimiser="adamw", momentum=0.0),
}
ALONG: dict[type, dict[str, Any]] = {
    **{kind: {"task": Segment()} for kind in (UNet, RedCnn)},
    **dict.fromkeys((DcGan, StyleGan, FedGan), SYNTHESIS),
    Diffusion: {"task": Synthesise()},
}
"""What a component needs beside itself."""


def parts(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each dataclass in a plan with the way to it."""
    yield path, value
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        if dataclasses.is_dataclass(inner):
            yield from parts(inner, (*path, field.name))
        if isinstance(inner, tuple):
            for place, member in enumerate(inner):
                if dataclasses.is_dataclass(member):
                    yield from parts(member, (*path, field.name, str(place)))


def having(plan: Any, path: tuple[str, ...], changes: dict[str, Any]) -> Any:
    if not path:
        return dataclasses.replace(plan, **changes)
    if isinstance(plan, tuple):
        place = int(path[0])
        return (*plan[:place], having(plan[place], path[1:], changes), *plan[place + 1 :])
    inner = having(getattr(plan, path[0]), path[1:], changes)
    return dataclasses.replace(plan, **{path[0]: inner})


def other(value: Any, field: str) -> Any:
    if field in OTHER and OTHER[field] != value:
        return OTHER[field]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return value + "x" if isinstance(value, str) else (*value, "x")


def variants() -> Iterator[Plan]:
    yield BASE
    yield dataclasses.replace(BASE, privacy=CLAIM)
    yield dataclasses.replace(BASE, start=START)
    yield dataclasses.replace(BASE, groups=Groups(3))
    for stage in STAGES.values():
        yield dataclasses.replace(BASE, pipeline=Pipeline((stage(),)))
    for screen in SCREENS.values():
        yield dataclasses.replace(BASE, **(SYNTHESIS if screen is GeneratorEDetector else {}), screens=(screen(),))
    together: dict[str, Any]
    for poison in POISONS.values():
        aimed = {"target": "dark"} if poison in (LabelFlip, Trigger) else {}
        together = SYNTHESIS if poison is ImageTrigger else {}
        yield dataclasses.replace(BASE, **together, attacks=(poison(sites=("east",), **aimed),))
    yield dataclasses.replace(BASE, probe=ProbeShare(0.1))
    for key, registry in (
        ("model", MODELS),
        ("algorithm", ALGORITHMS),
        ("server", SERVERS),
        ("aggregator", AGGREGATORS),
        ("defence", {name: kind for name, kind in DEFENCES.items() if name != "none"}),
    ):
        for kind in registry.values():
            component = MonaiNet("DenseNet121") if kind is MonaiNet else kind()
            together = ALONG.get(kind, {})
            if key == "algorithm" and component.work.splits:
                together = {"model": UNet(), "task": Segment(), "split": SplitRules()}
            yield dataclasses.replace(BASE, **{**together, key: component})
    for kind in SOURCES.values():
        yield having(BASE, ("data",), {"source": kind()})
    for intensity in INTENSITIES.values():
        yield having(BASE, ("data",), {"source": Manifest(intensity=intensity())})
    for kind in (Segment, Restore):
        yield dataclasses.replace(BASE, model=MonaiNet("UNet"), task=kind())
    for each in DEGRADATIONS.values():
        yield dataclasses.replace(BASE, model=MonaiNet("UNet"), task=Restore(degradation=(each(sites=("a",)),)))
    for rule in RULES.values():
        yield having(BASE, ("data",), {"sites": rule()})


def test_every_field_of_every_component_changes_the_digest() -> None:
    seen, changed = {BASE.digest()}, 0
    done: set[tuple[str, str]] = set()
    for plan in variants():
        seen.add(plan.digest())
        for path, component in parts(plan):
            kind = type(component).__name__
            for field in dataclasses.fields(component):
                value = getattr(component, field.name)
                if dataclasses.is_dataclass(value) or (kind, field.name) in done:
                    continue
                done.add((kind, field.name))
                together = TOGETHER.get((kind, field.name), {})
                # An algorithm over a cut network cannot be without a cut.
                base = plan if field.name == "split" else having(plan, path, together)
                changed_to = OTHER_OF.get((kind, field.name)) or other(value, field.name)
                changes = {**together, field.name: changed_to}
                digest = having(plan, path, changes).digest()
                assert digest != base.digest(), (kind, field.name)
                assert digest not in seen, (kind, field.name)
                seen.add(digest)
                changed += 1
    assert changed > 50


def test_every_component_has_a_digest_of_its_own() -> None:
    digests = {plan.digest() for plan in variants()}
    count = sum(map(len, (MODELS, ALGORITHMS, SERVERS, AGGREGATORS, SOURCES, INTENSITIES, RULES, STAGES, SCREENS)))
    # The defaults of six registries are the one base plan (of which the width is not the default), and the default
    # intensity is that of the manifest among the sources.
    # Beside them: with a claim, with weights to start from, with a probe, in groups; four of other tasks; attacks;
    # defences.
    assert len(digests) == count - 5 - 1 + 4 + 4 + len(POISONS) + len(DEFENCES)


def test_equal_plans_have_equal_digests_whichever_way_they_came() -> None:
    plan = dataclasses.replace(BASE, timeout_s=5, training=dataclasses.replace(BASE.training, epochs=1))
    assert from_json(to_json(plan)).digest() == plan.digest()
    assert len(plan.digest()) == 64
    assert tiny.plan().digest() == BASE.digest()


REFUSED = {
    "quorum beyond the cohort": ({"sites_per_round": 2, "quorum": 3}, "quorum = 3 can never be met"),
    "central with a cohort": ({"algorithm": {"name": "central"}, "sites_per_round": 1}, "remove sites_per_round"),
    "local with a cohort": ({"algorithm": {"name": "local"}, "sites_per_round": 2}, "remove sites_per_round"),
    "local with an average": ({"algorithm": {"name": "local"}, "average_decay": 0.9}, "remove average_decay"),
}


@pytest.mark.parametrize(("changes", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_check_refuses(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        tiny.plan(**changes).check()


def test_check_passes_what_makes_sense() -> None:
    BASE.check()
    tiny.plan(sites_per_round=2, quorum=2).check()
    tiny.plan(algorithm={"name": "central"}, average_decay=0.9).check()


@pytest.mark.parametrize(("key", "value"), [("sites_per_round", 4), ("quorum", 4)])
def test_a_cohort_that_the_sites_cannot_make_up_is_refused(key: str, value: int) -> None:
    plan = tiny.plan(**{key: value})
    plan.check(4)
    with pytest.raises(PlanError, match=f"{key} = 4, but only 3 sites train"):
        plan.check(3)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "a b"}, "name"),
        ({"rounds": 0}, "rounds"),
        ({"seed": -1}, "seed"),
        ({"sites_per_round": -1}, "sites_per_round"),
        ({"quorum": -1}, "quorum"),
        ({"timeout_s": -1.0}, "timeout_s"),
        ({"average_decay": 1.0}, "average_decay"),
        ({"average_decay": float("nan")}, "average_decay"),
        ({"timeout_s": float("inf")}, "timeout_s"),
    ],
)
def test_values_out_of_range_are_refused_by_name(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(PlanError, match=named):
        dataclasses.replace(BASE, **changes)


@pytest.mark.parametrize("changes", [{"share": "all"}, {"every": -1}, {"bootstrap": -1}, {"min_positives": 0}])
def test_evaluation_refuses_values_by_name(changes: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match=next(iter(changes))):
        Evaluation(**changes)


def test_the_average_is_wrapped_around_whatever_the_server_step_is() -> None:
    plan = tiny.plan(algorithm={"name": "scaffold"}, average_decay=0.5)
    assert isinstance(plan.algorithm, Scaffold)
    composed = plan.composed()
    assert isinstance(composed.server, Averaged)
    assert composed.server.decay == 0.5
    assert composed.server.inner == Scaffold().compose(plan.training, plan.server).server
    for spec in (FedAvg(), Central(), Local()):
        plain = dataclasses.replace(BASE, algorithm=spec)
        assert plain.composed().server == plain.server


_U: dict[str, Any] = {"task": {"name": "segmentation"}, "model": {"name": "unet"}}
CUTS: dict[str, tuple[dict[str, Any], str]] = {
    "an algorithm without a cut": ({"algorithm": {"name": "splitfed_v1"}}, r"say where, \[split\] depth = 1"),
    "a cut without an algorithm": ({"split": {}}, "which this algorithm trains as a whole"),
    "a part of a cut network": (
        {"algorithm": {"name": "splitfed_v1"}, "split": {}, "training": {"parts": "norms"}},
        'parts = "all"',
    ),
    "a network without levels": (
        {"algorithm": {"name": "splitfed_v1"}, "split": {}},
        "Sequential cannot be cut: choose the model unet",
    ),
    "too deep": (
        {
            "algorithm": {"name": "dcsfl"},
            "split": {"depth": 4},
            "task": {"name": "segmentation"},
            "model": {"name": "unet"},
        },
        "depth 4 does not exist: this network has levels 1 to 3",
    ),
    "no depth": ({"algorithm": {"name": "dcsfl"}, "split": {"depth": 0}}, "leaves nothing at a site"),
    "an unknown host": (
        {"algorithm": {"name": "dcsfl"}, "split": {"body_host": "cloud"}},
        "apart or coordinator",
    ),
    "an unknown form": ({"algorithm": {"name": "dcsfl"}, "split": {"wire": "int4"}}, "choose from float32, bf16, int8"),
    "negative noise": ({"algorithm": {"name": "dcsfl"}, "split": {"noise_sd": -1.0}}, "not negative"),
    "a correction of none": ({"algorithm": {"name": "dcsfl", "mu": 0.0}, "split": {}}, "without a correction"),
    "an unknown correction": (
        {"algorithm": {"name": "dcsfl", "form": "best"}, "split": {}},
        'or "intended"',
    ),
}


@pytest.mark.parametrize(("table", "reason"), CUTS.values(), ids=CUTS.keys())
def test_a_cut_that_cannot_be_is_refused(table: dict[str, Any], reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        parse({"name": "x", **table})
