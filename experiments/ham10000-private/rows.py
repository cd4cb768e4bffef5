"""The rows of the table: each a plan, made from a file of this folder or of the federated experiment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from wardround.data.images import LabelledImages
from wardround.fabric.local import LocalFabric
from wardround.protect.clip import Clip
from wardround.protect.noise import AddNoise
from wardround.protect.pipeline import Homomorphic, Masks, Pipeline
from wardround.protect.quantise import Quantise
from wardround.rounds.listener import Silent
from wardround.rounds.plan import Plan
from wardround.study.build import opener_for, sites_of
from wardround.study.folder import RunFolder
from wardround.study.run import run_plan
from wardround.study.simulation import introduce_sites
from wardround.study.spec import load
from wardround.tasks.inputs import trained_part

HERE = Path(__file__).parent
FEDERATED = HERE.parent / "ham10000-federated"
SEALED = Pipeline((Clip(10.0), Quantise(16), Masks(), Homomorphic()))
"""As in experiments/ham10000-sealed."""
BY_COORDINATOR = Pipeline((AddNoise(at="coordinator"),))
NO_NOISE = 1e-6
"""A noise multiplier with which the same plan is as good as without noise."""


@dataclass(frozen=True)
class Row:
    """A plan and how the table calls it.

    Attributes:
        label: in the table.
        file: of the plan.
        yardstick: the row that it is compared with in pairs, if any.
        privacy: changes to the plan's ``[privacy]`` table.
        pipeline: instead of the plan's stages.
        encrypted: whether packed encryption joins the plan's stages.
        epsilon: as the figure calls it.
        parts: what is trained, instead of what the plan says.
        seeds: the first so many of the seven.
    """

    label: str
    file: Path
    yardstick: str = ""
    privacy: Mapping[str, Any] = field(default_factory=dict)
    pipeline: Pipeline | None = None
    encrypted: bool = False
    epsilon: str = ""
    parts: str = ""
    seeds: int = 7

    def plan(self, seed: int) -> Plan:
        """Return the plan with a seed."""
        plan = replace(load(self.file), seed=seed)
        if self.parts:
            plan = replace(plan, training=replace(plan.training, parts=self.parts))
        if self.privacy and plan.privacy is not None:
            plan = replace(plan, privacy=replace(plan.privacy, **self.privacy))
        if self.pipeline is not None:
            plan = replace(plan, pipeline=self.pipeline)
        if self.encrypted:
            plan = replace(plan, pipeline=Pipeline((*plan.pipeline.stages, Homomorphic())))
        return plan


def _private(label: str, epsilon: float = 1.2, **privacy: Any) -> Row:
    claim = {"epsilon": epsilon, **privacy}
    return Row(label, HERE / "private.toml", "features-central", claim, epsilon=f"{epsilon:g}")


def _scratch(label: str, epsilon: float = 1.2, parts: str = "", seeds: int = 7) -> Row:
    claim = {"epsilon": epsilon}
    return Row(
        label, HERE / "scratch.toml", "features-central", claim, epsilon=f"{epsilon:g}", parts=parts, seeds=seeds
    )


def _without_noise(label: str, file: Path, seeds: int = 7) -> Row:
    claim = {"epsilon": 0.0, "noise_multiplier": NO_NOISE}
    return Row(label, file, "features-central", claim, BY_COORDINATOR, epsilon="inf", seeds=seeds)


ROWS: dict[str, Row] = {
    "central": Row("central, CNN", FEDERATED / "central.toml"),
    "federated": Row("federated, CNN", FEDERATED / "federated.toml", "central"),
    "sealed": Row("federated, CNN, packed and masked", FEDERATED / "federated.toml", "federated", pipeline=SEALED),
    "scratch": _scratch("(a) private, CNN from scratch"),
    "scratch-head": _scratch("(a) its head alone, on random filters", parts="head"),
    "features-central": Row("central, fixed features", HERE / "features-central.toml"),
    "features-federated": Row("federated, fixed features", HERE / "features-federated.toml", "features-central"),
    "private": _private("(b) private, fixed features, masked"),
    "private-tuned": Row("(b) tuned further", HERE / "private-tuned.toml", "features-central"),
    "lesion": _private("(b) per lesion", unit="lesion"),
    "everything": Row("(b) and packed: everything on", HERE / "private.toml", "features-central", encrypted=True),
    "site": Row("(c) site-level, 4 sites", HERE / "site.toml", "features-central"),
}
"""Name -> row of the table."""

FRONTIER: dict[str, Row] = {
    "frontier-0.5": _private("private, 0.5", 0.5),
    "private": ROWS["private"],
    "frontier-3": _private("private, 3", 3.0),
    "frontier-8": _private("private, 8", 8.0),
    "frontier-inf": _without_noise("private, no noise", HERE / "private.toml"),
}
"""Name -> point of the figure."""

SCRATCH_FRONTIER: dict[str, Row] = {
    "scratch": ROWS["scratch"],
    "scratch-3": _scratch("from scratch, 3", 3.0, seeds=3),
    "scratch-8": _scratch("from scratch, 8", 8.0, seeds=3),
    "scratch-inf": _without_noise("from scratch, no noise", HERE / "scratch.toml", seeds=3),
}
"""The same of the CNN from scratch."""

CATALOGUE: dict[str, Row] = {**ROWS, **FRONTIER, **SCRATCH_FRONTIER}

QUOTED = {
    "central": ("ham10000-federated", "central"),
    "federated": ("ham10000-federated", "federated"),
    "sealed": ("ham10000-sealed", "sealed, 16 bits"),
}
"""Row -> the experiment, and the method in it, that trained the same plan with the same seeds."""


class Runner:
    """Trains plans in this process, one after another; features of fixed bodies are computed once for all of them."""

    def __init__(self, out: Path, data_root: Path) -> None:
        """Put run folders below `out`."""
        self.out = out
        self.data_root = data_root
        self._held: dict[tuple[Any, Any], LabelledImages] = {}

    def run(self, name: str, plan: Plan) -> Path:
        """Train one plan unless it is done; its CPU seconds, without those of the features, lie beside the folder."""
        path = self.out / name
        if path.exists() and RunFolder(path).is_done():
            return path
        self._prepare(plan)
        began = time.process_time()
        sites = sites_of(plan, self.data_root)
        folder = RunFolder(path)
        if plan.needs_keys:
            introduce_sites(folder.store_root, list(sites))
        fabric = LocalFabric(list(sites), opener_for(plan, sites, folder.store_root, self.data_root))
        run_plan(plan, fabric, path, path.exists(), Silent(), self.data_root)
        if plan.pipeline.opens_at_sites:
            folder.take_model()
        self._note(f"{name}.cpu", time.process_time() - began)
        return path

    def cpu_s(self, name: str) -> float:
        """Return the CPU seconds that were noted as `name`."""
        return float((self.out / f"{name}.cpu").read_text())

    def features_cpu_s(self, plan: Plan) -> float:
        """Return the CPU seconds of the features of all images, as noted for networks of the plan's kind."""
        kind = type(plan.model).__name__
        found = [float(path.read_text()) for path in self.out.glob(f"features-{kind}*.cpu")]
        return max(found, default=0.0) if plan.trains_on_features else 0.0

    def _prepare(self, plan: Plan) -> None:
        """Hold the plan's images, so that nothing is computed of them twice, and compute their features."""
        key = (plan.data.source, plan.model)
        if key in self._held:
            return
        images = self._held[key] = plan.data.source.load(self.data_root)
        if plan.trains_on_features:
            began = time.process_time()
            network = plan.model.build(images.shape[2], len(images.classes))
            trained_part(network).inputs(images, np.arange(len(images)))
            self._note(f"features-{plan.model}.cpu", time.process_time() - began)

    def _note(self, name: str, seconds: float) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / name).write_text(f"{seconds:.3f}\n")
