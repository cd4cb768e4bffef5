"""Tiny images, plans and sites that several tests share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from wardround.core.context import RoundContext
from wardround.data.images import LabelledImages
from wardround.data.masks import Masks
from wardround.data.sites import SiteData
from wardround.fabric.local import LocalFabric, Opener
from wardround.rounds.plan import Plan
from wardround.rounds.site import Site
from wardround.rounds.spending import Account
from wardround.rounds.store import SiteStore
from wardround.rounds.workbench import Workbench
from wardround.study.simulation import introduce_sites, simulated
from wardround.study.spec import from_json, parse, to_json
from wardround.tasks.classification import Classification
from wardround.tasks.models import SmallCnn

CLASSES = ("dark", "light")
NAMES = ("east", "north", "west")
SIZE_PX = 8


def context(index: int = 0, site: str | None = None) -> RoundContext:
    """Return a place in the run of a tiny plan."""
    return RoundContext(1, index, 2, NAMES, len(NAMES), site)


def images(count: int = 12, site: str = "east", seed: int = 0, public: bool = True) -> LabelledImages:
    """Return noise that is lighter where the label is 1; two images a patient."""
    rng = np.random.default_rng([seed, *site.encode()])
    labels = np.arange(count) % 2
    pixels = rng.integers(0, 150, (count, SIZE_PX, SIZE_PX, 3)) + 60 * labels[:, None, None, None]
    return LabelledImages(
        pixels=pixels.astype(np.uint8),
        rows=np.arange(count),
        labels=labels.astype(np.int64),
        origins=np.full(count, site),
        groups=np.array([f"patient-{site}-{seed}-{index // 2}" for index in range(count)]),
        classes=CLASSES,
        malignant=(),
        parts=np.full(count, ""),
        public=public,
    )


def masked(count: int = 12, site: str = "east", seed: int = 0, public: bool = True) -> LabelledImages:
    """Return noise with a light square somewhere, and where it is as the mask; every fourth has none."""
    rng = np.random.default_rng([seed, *site.encode()])
    masks = np.zeros((count, 16, 16), np.uint8)
    for mask, corner in zip(masks, rng.integers(0, 9, (count, 2)), strict=True):
        mask[corner[0] : corner[0] + 7, corner[1] : corner[1] + 7] = 1
    masks[3::4] = 0
    pixels = rng.integers(0, 150, (count, 16, 16, 3)) + 100 * masks[..., None]
    return replace(
        images(count, site, seed, public),
        pixels=pixels.astype(np.uint8),
        masks=Masks(masks, ("paper", "square"), np.full((count, 2), 0.5)),
    )


def degraded(count: int = 12, site: str = "east", seed: int = 0, public: bool = True) -> LabelledImages:
    """Return grey squares, and the same with noise to be fed."""
    found = masked(count, site, seed, public)
    clean = (60 + 120 * found.masks.values).astype(np.uint8)[..., None]
    noise = np.random.default_rng([seed, 9]).normal(0, 25, clean.shape)
    seen = np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)
    return replace(found, pixels=clean, masks=None, degraded=seen)


def degraded_data(site: str, num_train: int = 12, public: bool = True) -> SiteData:
    """Return a site's three parts, degraded."""
    return SiteData(*(degraded(count, site, seed, public) for seed, count in ((1, num_train), (2, 6), (3, 8))))


def masked_data(site: str, num_train: int = 12, public: bool = True) -> SiteData:
    """Return a site's three parts, with masks."""
    return SiteData(*(masked(count, site, seed, public) for seed, count in ((1, num_train), (2, 6), (3, 8))))


def site_data(site: str, num_train: int = 12, public: bool = True) -> SiteData:
    """Return a site's three parts, with patients of their own."""
    return SiteData(*(images(count, site, seed, public) for seed, count in ((1, num_train), (2, 6), (3, 8))))


def plan(**changes: Any) -> Plan:
    """Return a plan that trains in a moment; `changes` are TOML tables or top-level keys."""
    table: dict[str, Any] = {
        "name": "tiny",
        "rounds": 2,
        "model": {"width": 8, "dropout": 0.2},
        "training": {"steps": 2, "batch_size": 4, "momentum": 0.9},
        "evaluation": {"every": 0, "bootstrap": 0, "min_positives": 1},
    }
    for key, value in changes.items():
        table[key] = {**table.get(key, {}), **value} if isinstance(value, Mapping) else value
    return parse(table)


SEGMENT: dict[str, Any] = {
    "task": {"name": "segmentation"},
    "model": {
        "name": "monai",
        "network": "UNet",
        "arguments": {"channels": [4, 8], "strides": [2], "norm": "INSTANCE"},
    },
}
"""Tables of a tiny plan that learns masks."""


RESTORE: dict[str, Any] = {**SEGMENT, "task": {"name": "restoration", "residual": True}}
"""Tables of a tiny plan that learns to restore."""


def segmenting(**changes: Any) -> Plan:
    """Return a plan that learns masks in a moment; ``**RESTORE`` makes it restore."""
    table: dict[str, Any] = {
        "name": "tiny",
        "rounds": 2,
        **SEGMENT,
        "training": {"steps": 2, "batch_size": 4, "momentum": 0.9},
    }
    table["evaluation"] = {"every": 0, "bootstrap": 0}
    for key, value in changes.items():
        table[key] = {**table.get(key, {}), **value} if isinstance(value, Mapping) else value
    return parse(table)


def task(classes: tuple[str, ...] = CLASSES) -> Classification:
    """Return what tiny sites learn."""
    return Classification(SmallCnn(8, 0.2), 3, classes)


def make_opener(plan_json: str, sizes: tuple[tuple[str, int], ...], stores: str, public: bool = True) -> Opener:
    """Return what opens tiny sites; importable, so that worker processes can be given it."""
    opened = from_json(plan_json)
    make = partial(make_bench, opened)
    return partial(_open, opened, dict(sizes), make if opened.split else cache(make), Path(stores), public)


def make_bench(of: Plan) -> Workbench:
    """Return the network that tiny sites share; where it is cut, each has its own."""
    images = _DATA[of.learns.name](NAMES[0]).test
    task = of.learns.task(of.model, images.shape[2], *of.learns.names(images))
    return Workbench(task, of.seed, of.training.parts, split=of.split)


def _open(
    opened: Plan, sizes: Mapping[str, int], make: Callable[[], Workbench], stores: Path, public: bool, name: str
) -> Site:
    credentials = simulated(stores, sizes, name) if opened.needs_keys else None
    account = Account(stores / name / "spending.json", "tiny", opened.privacy.unit) if opened.privacy else None
    data = _DATA[opened.learns.name](name, sizes[name], public)
    return Site(name, opened, data, make(), SiteStore(stores / name), credentials, account)


_DATA = {"classification": site_data, "segmentation": masked_data, "restoration": degraded_data}
SIZES = tuple((name, 8 + 4 * index) for index, name in enumerate(NAMES))


def fabric(of: Plan, stores: Path, encoded: bool = True, public: bool = True) -> LocalFabric:
    """Return three tiny sites in this process."""
    if of.needs_keys:
        introduce_sites(stores, NAMES)
    return LocalFabric(NAMES, make_opener(to_json(of), SIZES, str(stores), public), encoded)


CLIP = {"stage": "clip", "norm": 10.0}
QUANTISE = {"stage": "quantise", "bits": 16}
MASKS = {"stage": "masks", "bisect": True}
PACKED = {"stage": "homomorphic", "scheme": "packed"}
CKKS = {"stage": "homomorphic", "scheme": "ckks"}
TOPK = {"stage": "topk", "fraction": 0.05}
RANDOMK = {"stage": "randomk", "fraction": 0.1}
INT8 = {"stage": "int8"}
COMPRESSED: dict[str, list[dict[str, Any]]] = {
    "threshold": [{"stage": "threshold", "tau": 0.003}],
    "topk and int8": [TOPK, INT8],
    "clipped randomk and int8": [RANDOMK, CLIP, INT8],
    "randomk under seal": [RANDOMK, CLIP, QUANTISE, MASKS, PACKED],
}
"""How a plan may make updates small, by name."""
PIPELINES: dict[str, list[dict[str, Any]]] = {
    "clipped": [CLIP],
    "quantised": [CLIP, QUANTISE],
    "masked": [CLIP, QUANTISE, MASKS],
    "packed": [CLIP, QUANTISE, PACKED],
    "packed and masked": [CLIP, QUANTISE, MASKS, PACKED],
    "ckks": [CLIP, CKKS],
}
"""What a plan may do to an update, by name."""

UNIFORM = {"name": "mean", "weighting": "uniform"}
DPSGD = {"name": "dpsgd", "sampling_rate": 0.5, "expected_units": 6.0}
SUM = {**DPSGD, "noise": "sum", "expected_units": 18.0}
SHARED = {"stage": "noise", "mechanism": "discrete_gaussian"}
SEALED = [
    {"stage": "clip", "norm": 16.0},
    {"stage": "quantise", "bits": 20},
    SHARED,
    {"stage": "masks", "threshold": 2},
]
PRIVATE: dict[str, dict[str, Any]] = {
    "each step at each site": {"algorithm": DPSGD, "training": {"momentum": 0.0}},
    "shares under masks": {"algorithm": SUM, "protect": SEALED},
    "shares under masks and encryption": {"algorithm": SUM, "protect": [*SEALED, PACKED]},
    "the coordinator's, clear": {"algorithm": SUM, "protect": [{"stage": "noise", "at": "coordinator"}]},
    "the coordinator's, quantised": {
        "algorithm": SUM,
        "protect": [{"stage": "clip", "norm": 16.0}, {"stage": "noise", "at": "coordinator"}, QUANTISE],
    },
    "each update": {"algorithm": SUM, "protect": [{"stage": "noise"}]},
    "site, each update": {"protect": [CLIP, {"stage": "noise"}], "unit": "site"},
    "site, shares under masks": {"protect": SEALED, "unit": "site"},
    "site, the coordinator's": {"protect": [CLIP, {"stage": "noise", "at": "coordinator"}], "unit": "site"},
}
"""Who adds which noise, by name."""


def private(name: str, randomness: str = "seed", **changes: Any) -> Plan:
    """Return a plan with a claim."""
    tables = dict(PRIVATE[name])
    unit = tables.pop("unit", "image")
    claim = {"unit": unit, "delta": 1e-3, "noise_multiplier": 2.0, "randomness": randomness}
    if "algorithm" in tables:
        tables["training"] = {"momentum": 0.0}
    return plan(aggregator=UNIFORM, **{**tables, "privacy": {**claim, **changes.pop("privacy", {})}, **changes})
