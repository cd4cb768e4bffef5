"""Attacks on what a site really sends of one image, defence by defence on the same images: one round of it, and ten.

The site holds all its images, and trains one step on one of them by the product's own local work and defence. What
leaves is attacked as the product attacks what crosses the wire, labels given, as in the shadow defence's paper;
``wire.py`` goes the whole way.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from disguises import ATTACKER_SEED, SITE_SEED, ground, reported
from settings import GAUSSIAN, HAM, SHARES, noises, on_updates, soteria
from side_by_side import distances, guesses, lbfgs, signed

from wardround.algorithms import LocalSgd, Training
from wardround.algorithms.defences import Defence, Undefended
from wardround.attacks.inversion.base import as_images
from wardround.attacks.inversion.cleanup import CleanUp, cleaned
from wardround.attacks.inversion.knowing import knowing, pairs_behind, undoing
from wardround.attacks.inversion.observation import Observation
from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.data.images import LabelledImages
from wardround.data.sites import SiteData
from wardround.metrics.image_quality import psnr_db, ssim
from wardround.metrics.reconstruction import identity_rank
from wardround.rounds.plan import Plan
from wardround.study.attacker import POOL, in_unit
from wardround.study.build import task_of
from wardround.tasks import Task
from wardround.tasks.classification import by_slot, load_weights, weights_of

UNDEFENDED = "none"
ROUNDS, STEPS, LONG_STEPS = 10, 400, 100
EACH = 2
LEARNING_RATE = 0.05
NOISY = ("Gaussian on the update", "CENSOR")
"""What leaves is near the true gradient nowhere: the cosine with total variation is tried as well."""
ZEROS = ("Soteria", "pruning")
LONG = ("Soteria, 80%", "pruning, 90%")

Row = tuple[str, Defence, str, int]
"""Name, defence, attack, and rounds of the same image."""


@dataclass(frozen=True)
class OneImage(Training):
    """One step of plain SGD on the same image in every round.

    Attributes:
        row: its place at the site.
    """

    row: int = 0

    def batches(self, num_examples: int, ctx: RoundContext) -> Iterator[np.ndarray]:
        """Yield the one batch."""
        yield np.array([self.row])


@dataclass(frozen=True, eq=False)
class Target:
    """An image, and the site that trains on it."""

    site: str
    images: LabelledImages
    row: int

    @property
    def true(self) -> np.ndarray:
        """The image, float32 ``(H, W, C)`` in ``[0, 1]``."""
        return in_unit(self.images, np.array([self.row]))[0]

    def rank(self, found: np.ndarray) -> int:
        """Return the image's place among the site's by likeness to a reconstruction."""
        rows = np.union1d([self.row], np.arange(min(POOL, len(self.images))))
        return identity_rank(found, in_unit(self.images, rows), int(np.searchsorted(rows, self.row)))


def core(data: str) -> list[Row]:
    """Return the rows of the comparison."""
    made: dict[str, Defence] = {UNDEFENDED: Undefended(), **on_updates()}
    return [(name, defence, _knowing_attack(name), 1) for name, defence in made.items()]


def ten(data: str) -> list[Row]:
    """Return the rows of the attacker who watches for ten rounds."""
    return [(name, on_updates()[name], _knowing_attack(name), ROUNDS) for name in (LONG if data == HAM else ())]


def shares(data: str) -> list[Row]:
    """Return Soteria's other strengths."""
    return [(name, one, _knowing_attack(name), 1) for name, one in soteria(SHARES).items()] if data == HAM else []


def more(data: str) -> list[Row]:
    """Return an attacker who does not know Soteria, other attacks, and noise on images."""
    if data != HAM:
        return []
    named = on_updates()
    made = [(LONG[0], named[LONG[0]], "idlg", 1), (GAUSSIAN, noises()[GAUSSIAN], "idlg", 1)]
    return made + [(name, named[name], "inverting-gradients", 1) for name in NOISY]


def measure(
    grounds: Mapping[str, tuple[Plan, dict[str, SiteData]]], out: Path, rows: Callable[[str], list[Row]]
) -> None:
    """Attack what is not attacked yet, one row of each data set in turn."""
    scenes = {name: _Scene.of(plan, sites) for name, (plan, sites) in grounds.items()}
    for place in range(max(len(rows(name)) for name in scenes)):
        for data, scene in scenes.items():
            for name, defence, attacked_with, rounds in rows(data)[place : place + 1]:
                _measure(path_of(out, data, name, attacked_with, rounds), scene, defence, attacked_with, rounds)


def _knowing_attack(name: str) -> str:
    return "idlg-nonzero" if name.startswith(ZEROS) else "idlg"


def path_of(out: Path, data: str, name: str, attacked_with: str, rounds: int) -> Path:
    """Return where a row is kept."""
    return out / "updates" / data / f"{name}, {attacked_with}, {rounds}.json"


@dataclass(frozen=True, eq=False)
class _Scene:
    """What all rows of a data set share.

    Attributes:
        task: what is learned.
        broadcasts: weights at the start of each of ten rounds.
        targets: the images.
        public: what the attacker learns from.
        sites: names.
    """

    task: Task
    broadcasts: list[Tensors]
    targets: list[Target]
    public: LabelledImages
    sites: tuple[str, ...]

    @classmethod
    def of(cls, plan: Plan, sites: Mapping[str, SiteData]) -> _Scene:
        where, task, names = ground(sites, EACH), task_of(plan, sites), tuple(sorted(sites))
        targets = [
            Target(name, sites[name].train, int(row)) for name, rows in reported(sites, EACH).items() for row in rows
        ]
        return cls(task, _broadcasts(plan, task, sites, names), targets, where.public, names)

    def place(self, site: str, index: int) -> RoundContext:
        """Return a round as a site sees it."""
        return RoundContext(SITE_SEED, index, ROUNDS, self.sites, len(self.sites), site)

    def network(self, index: int) -> torch.nn.Module:
        """Return the network as it was broadcast in a round."""
        network = self.task.build(SITE_SEED)
        load_weights(network, self.broadcasts[index])
        return network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload,no-any-return]

    def seen(self, target: Target, defence: Defence, rounds: int) -> list[Observation]:
        """Return what a coordinator sees of a target in the first rounds."""
        memory: Tensors = {}
        found = []
        for index in range(rounds):
            local = LocalSgd(_one(target.row), defence=defence)
            start = self.broadcasts[index]
            ended = local.run(
                self.task, self.network(index), target.images, start, memory, self.place(target.site, index)
            )
            memory = ended.memory
            slopes = {n: -torch.from_numpy(v.copy()) / LEARNING_RATE for n, v in by_slot(ended.change).items()}
            network = self.network(index)
            gradients = [slopes[name] for name, value in network.named_parameters() if value.requires_grad]
            shape = (self.task.channels, *target.images.shape[:2])
            found.append(Observation.of_gradients(network, gradients, shape, 1))
        return found

    def clean_ups(self, defence: Defence) -> dict[str, CleanUp]:
        """Return those of an attacker who knows the defence."""
        if not defence.disguises:
            return {}
        place = dataclasses.replace(self.place("", 0), seed=ATTACKER_SEED)
        pairs = pairs_behind(defence, self.task, self.network(0), self.public, place)
        return {**knowing(pairs, ATTACKER_SEED), **undoing(defence)}


def _one(row: int) -> OneImage:
    return OneImage(steps=1, batch_size=1, learning_rate=LEARNING_RATE, precision="float32", row=row)


def _broadcasts(plan: Plan, task: Task, sites: Mapping[str, SiteData], names: tuple[str, ...]) -> list[Tensors]:
    """Return the weights at the start of ten rounds of an undefended federation of one-image steps."""
    work = LocalSgd(dataclasses.replace(_one(0), row=0))
    weights = weights_of(task.build(SITE_SEED))
    made = []
    for index in range(ROUNDS):
        made.append(weights)
        changes = []
        for name in names:
            network = task.build(SITE_SEED)
            load_weights(network, weights)
            row = int(np.random.default_rng((SITE_SEED, index)).integers(len(sites[name].train)))
            local = dataclasses.replace(work, training=_one(row))
            place = RoundContext(SITE_SEED, index, ROUNDS, names, len(names), name)
            changes.append(local.run(task, network, sites[name].train, weights, {}, place).change)
        weights = {key: value + np.mean([one[key] for one in changes], 0) for key, value in weights.items()}
    return made


def _measure(path: Path, scene: _Scene, defence: Defence, attacked_with: str, rounds: int) -> None:
    if path.exists():
        return
    seen = [scene.seen(target, defence, rounds) for target in scene.targets]
    labels = torch.tensor([int(target.images.labels[target.row]) for target in scene.targets])
    far = distances(seen, labels, attacked_with == "idlg-nonzero", attacked_with == "inverting-gradients")
    start, first = guesses([one[0] for one in seen], ATTACKER_SEED), seen[0][0]
    steps = STEPS if rounds == 1 else LONG_STEPS
    ended = signed(first, far, start, steps) if attacked_with == "inverting-gradients" else lbfgs(far, start, steps)
    clean_ups = scene.clean_ups(defence)
    scored = [_scored(*pair, clean_ups) for pair in zip(scene.targets, as_images(first, ended), strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(scored))
    print("updates", path.stem, np.round(np.mean([one["scores"]["raw"] for one in scored], 0), 3), flush=True)


def _scored(target: Target, image: np.ndarray, clean_ups: Mapping[str, CleanUp]) -> dict[str, Any]:
    candidates = {"raw": image, **cleaned(image, clean_ups)}
    scores = {name: [psnr_db(target.true, one), ssim(target.true, one)] for name, one in candidates.items()}
    nearest = max(scores, key=lambda name: scores[name][0])
    return {"scores": scores, "rank": target.rank(candidates[nearest]), "site": target.site}
